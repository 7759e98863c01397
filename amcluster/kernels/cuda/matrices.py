"""Kernels for rows on the device that do what NumPy does for rows on the host."""

from ._jit import cuda, kernel
from ._launch import launch
from .tiles import (
    SHARED,
    add_products,
    lane_of,
    own,
    tile_at,
    tiles_of,
    weight_of_lane,
)


@kernel
def sum_outer_products(rows, weights, room, sums):
    """The sum that `moment` returns."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane = cuda.blockIdx.x, cuda.threadIdx.x
    weighted = room[block]
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        for j in own(rows.shape[1]):
            weighted[j, lane] = w * x[j, lane_of(x)]
        add_products(weighted, x, sums[block], shared)


@kernel
def copy_column(rows, j, out):
    """Write one feature of the rows."""
    for start in tiles_of(rows):
        row = start + cuda.threadIdx.x
        if cuda.threadIdx.y == 0 and row < rows.shape[0]:
            out[row] = rows[row, j]


def moment(rows, weights, memories):
    """Return the sum of w x x^T (D, D), in a tuple."""
    n_features = rows.shape[1]
    return launch(
        sum_outer_products,
        rows,
        weights,
        room=[(n_features,)],
        sums=[(n_features, n_features)],
    )


def column(rows, memories, j, out):
    """Write one feature of the rows into out (n_rows,)."""
    launch(copy_column, rows, j, out=[out])
