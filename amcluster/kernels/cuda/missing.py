"""Kernels for rows with missing values, over the seen coordinates.

The mathematics is in `cpu/missing.py`; `metric` has the kernels for a learned metric.
"""

from ._jit import cuda, kernel, part
from ._launch import launch
from .energies import weight
from .reduce import to_logits, to_posteriors
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    add_products_of_filled,
    add_products_of_seen,
    add_sums,
    lane_of,
    squares_of_seen,
    store,
    sum_of_lane,
    tile_at,
    tiles_of,
    weight_of_lane,
)


@part
def hidden_of_lane(tile, dtype):
    """The number of hidden coordinates of this thread's lane."""
    n_hidden, lane = dtype.type(0), lane_of(tile)
    for j in range(tile.shape[0]):
        if tile[j, lane] != tile[j, lane]:
            n_hidden += dtype.type(1)
    return n_hidden


@kernel
def write_seen_logits(rows, memories, room, out):
    """`seen_logits`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values = room[cuda.blockIdx.x]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        squares_of_seen(memories.centers, x, values, shared)
        to_logits(values, hidden_of_lane(x, rows.dtype), memories, values)
        store(values, start, out)


@kernel
def sum_seen_expectation(
    rows, weights, memories, room, pulled, evidence, counts, seen, sums, squared_sums
):
    """`seen_expectation`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, number = cuda.blockIdx.x, cuda.threadIdx.x, cuda.threadIdx.y
    squared, p = room[block, 0], room[block, 1]
    n_clusters = memories.log_weights.shape[0]
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        n_hidden = hidden_of_lane(x, rows.dtype)
        n_seen = memories.dimension - n_hidden
        squares_of_seen(memories.centers, x, squared, shared)
        to_logits(squared, n_hidden, memories, p)
        of_lane = to_posteriors(p, n_clusters, shared)
        total, error = rows.dtype.type(0), rows.dtype.type(0)
        for k in range(number, n_clusters, PARTS):
            square = squared[k, lane]
            p[k, lane] *= w
            scaled = memories.beta[k] * square
            u = p[k, lane] * weight(memories.energy, scaled, n_seen, n_hidden)
            squared[k, lane] = u
            total += u
            error += u * square
        squared_sums[block, number, lane] += error
        total = sum_of_lane(total, shared)
        if number == 0 and start + lane < rows.shape[0]:
            pulled[start + lane] = total
            evidence[block, lane] += w * of_lane
        add_sums(p, counts[block], shared)
        add_products_of_seen(squared, x, seen[block], shared)
        add_products_of_filled(squared, x, sums[block], shared)


def seen_logits(rows, memories, out):
    """Write the logits over the seen coordinates into out (n_rows, n_clusters)."""
    room = [(len(memories.centers),)]
    launch(write_seen_logits, rows, memories, room=room, out=[out])


def seen_expectation(rows, weights, memories, pulled):
    """As `expectation`, over the seen coordinates; the sums of u are (K, D)."""
    n_clusters, n_features = memories.centers.shape
    shape = n_clusters, n_features
    evidence, counts, seen, sums, squared_sums = launch(
        sum_seen_expectation,
        rows,
        weights,
        memories,
        room=[(2, n_clusters)],
        out=[pulled],
        sums=[(LANES,), (n_clusters,), shape, shape, (PARTS, LANES)],
    )
    return evidence.sum(), counts, seen, sums, squared_sums.sum()
