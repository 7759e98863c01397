"""Pairwise squared distances of rows and centers, tile by tile, in one of four ways.

Each way is a type of its own, and a kernel is compiled only for the way it is given.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import OPTIONS, inner
from .tiles import (
    LANES,
    aligned_zeros,
    fill_tile,
    padded,
    padded_matrix,
    squares,
    squares_in_shapes,
    squares_of_seen,
)

# Rows are read along their features, without copying them into tiles, if there are at
# least MANY features or TIMES times as many as padded centers: then the copy would cost
# more than it saves.
MANY, TIMES = 128, 8


class InTiles(NamedTuple):
    """Rows are copied into tiles, where they are lanes."""

    centers: np.ndarray  # (K, D) padded
    tile: np.ndarray  # (1, D, LANES) room for the rows
    values: np.ndarray  # (1, K, LANES) room for squared distances


class AlongFeatures(NamedTuple):
    """Rows are read as they lie, four at a time with four centers, along features."""

    centers: np.ndarray  # (K, D) padded
    values: np.ndarray  # (1, K, LANES) room for squared distances


class OfSeen(NamedTuple):
    """As InTiles, over the coordinates that are not NaN."""

    centers: np.ndarray  # (K, D) padded
    tile: np.ndarray  # (1, D, LANES)
    values: np.ndarray  # (1, K, LANES) room for squared distances


class InShapes(NamedTuple):
    """As InTiles, each center in a shape of its own."""

    centers: np.ndarray  # (K, D) padded
    roots: np.ndarray  # (n_clusters, D, D) padded, transposed
    tile: np.ndarray  # (1, D, LANES)
    away: np.ndarray  # (D, LANES) room for differences
    turned: np.ndarray  # (4, LANES)
    values: np.ndarray  # (1, K, LANES) room for squared distances


def pairs_with(memories, missing=False):
    """Room for distances of rows from the memories, in the way that costs least.

    Where values may be missing, shapes are not looked at.
    """
    n_features = memories.centers.shape[1]
    centers = padded_matrix(memories.centers)
    values = aligned_zeros((1, len(centers), LANES), centers.dtype)
    shaped = memories.roots is not None and not missing
    many = n_features >= min(MANY, TIMES * len(centers))
    if many and not (missing or shaped):
        return AlongFeatures(centers, values)
    tile = aligned_zeros((1, padded(n_features), LANES), centers.dtype)
    if shaped:
        roots = transposed_roots(memories.roots)
        away, turned = np.empty_like(tile[0]), aligned_zeros((4, LANES), tile.dtype)
        return InShapes(centers, roots, tile, away, turned, values)
    return OfSeen(centers, tile, values) if missing else InTiles(centers, tile, values)


def transposed_roots(roots):
    """The transposes, padded with zeros."""
    n_features = padded(roots.shape[1])
    out = np.zeros((len(roots), n_features, n_features), roots.dtype)
    out[:, : roots.shape[1], : roots.shape[1]] = roots.transpose(0, 2, 1)
    return out


def write_distances(rows, start, pairs):
    """Write the squared distances of the tile of rows from `start` on.

    They go into ``pairs.values``.
    """
    raise NotImplementedError  # numba compiles what `_write_distances` returns


@overload(write_distances, jit_options=OPTIONS)
def _write_distances(rows, start, pairs):
    return WAYS[pairs.instance_class]


def in_tiles(rows, start, pairs):
    """`write_distances`, as InTiles."""
    fill_tile(rows, start, rows.shape[0] - 1, pairs.tile[0])
    squares(pairs.tile, pairs.centers, pairs.values)


def of_seen(rows, start, pairs):
    """`write_distances`, as OfSeen."""
    fill_tile(rows, start, rows.shape[0] - 1, pairs.tile[0])
    squares_of_seen(pairs.tile, pairs.centers, pairs.values)


def in_shapes(rows, start, pairs):
    """`write_distances`, as InShapes."""
    fill_tile(rows, start, rows.shape[0] - 1, pairs.tile[0])
    squares_in_shapes(
        pairs.tile[0],
        pairs.centers,
        pairs.roots,
        pairs.away,
        pairs.turned,
        pairs.values[0],
    )


def along_features(rows, start, pairs):
    """`write_distances`, as AlongFeatures.

    The four rows read together are a quarter of a tile apart, so that each of the four
    streams reads consecutive rows, which processors prefetch.
    """
    zero, last, apart = rows.dtype.type(0.0), rows.shape[0] - 1, LANES // 4
    centers, values = pairs.centers, pairs.values[0]
    for lane in range(apart):
        i0, i1 = start + lane, start + lane + apart
        i2, i3 = i1 + apart, i1 + 2 * apart
        r0, r1 = rows[i0 if i0 < last else last], rows[i1 if i1 < last else last]
        r2, r3 = rows[i2 if i2 < last else last], rows[i3 if i3 < last else last]
        for k in range(0, centers.shape[0], 4):
            c0, c1, c2, c3 = centers[k], centers[k + 1], centers[k + 2], centers[k + 3]
            s0 = s1 = s2 = s3 = zero, zero, zero, zero
            for j in range(rows.shape[1]):
                c = c0[j], c1[j], c2[j], c3[j]
                s0, s1 = plus_four(s0, r0[j], c), plus_four(s1, r1[j], c)
                s2, s3 = plus_four(s2, r2[j], c), plus_four(s3, r3[j], c)
            for i in range(4):
                out = values[k + i]
                out[lane], out[lane + apart] = s0[i], s1[i]
                out[lane + 2 * apart], out[lane + 3 * apart] = s2[i], s3[i]


@inner
def plus_four(totals, x, c):
    """Four totals, increased by the squared differences of x and four numbers."""
    p, q, r, s = x - c[0], x - c[1], x - c[2], x - c[3]
    return totals[0] + p * p, totals[1] + q * q, totals[2] + r * r, totals[3] + s * s


WAYS = {
    InTiles: in_tiles,
    AlongFeatures: along_features,
    OfSeen: of_seen,
    InShapes: in_shapes,
}
