"""How rows meet centers: in one of four ways, tile by tile.

Each way is a type of its own. A kernel is compiled with the way that it is given, and
without the others.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import CHOSEN
from .expansion import expanded, expands
from .lanes import (
    LANES,
    aligned_zeros,
    fill_tile,
    padded,
    padded_matrix,
    product,
    squares,
    squares_of_seen,
)

# Rows meet centers one after the other where so many times the centers are no more
# than the features (or than so many): it costs more to bring them into tiles.
FEW, MANY = 16, 512


class InTiles(NamedTuple):
    """Rows become lanes."""

    centers: np.ndarray  # (K, D) padded
    tile: np.ndarray  # (1, D, LANES) room for the rows
    values: np.ndarray  # (1, K, LANES) and for their squared distances


class OneByOne(NamedTuple):
    """Rows meet centers along their features."""

    centers: np.ndarray  # (K, D) padded
    values: np.ndarray  # (1, K, LANES) room for squared distances


class OfSeen(NamedTuple):
    """Rows have holes, NaN, and what is seen is met."""

    centers: np.ndarray  # (K, D) padded
    tile: np.ndarray  # (1, D, LANES)
    values: np.ndarray  # (1, K, LANES) room for squared distances


class Expanded(NamedTuple):
    """Inner products make logits, but for what is the same for all memories."""

    matrix: np.ndarray  # (K, D) padded, see `expansion.expanded`
    start: np.ndarray  # (K,)
    tile: np.ndarray  # (1, D, LANES)
    values: np.ndarray  # (1, K, LANES) room for logits


def of_distances(centers, holes=False):
    """The meeting that writes squared distances to these centers."""
    n_centers, n_features = centers.shape
    centers = padded_matrix(centers)
    values = aligned_zeros((1, len(centers), LANES), centers.dtype)
    if n_centers * FEW <= min(n_features, MANY) and not holes:
        return OneByOne(centers, values)
    tile = aligned_zeros((1, padded(n_features), LANES), centers.dtype)
    return OfSeen(centers, tile, values) if holes else InTiles(centers, tile, values)


def of_logits(memories):
    """The meeting that writes what tells memories apart: logits or distances."""
    meeting = of_distances(memories.centers)
    if isinstance(meeting, OneByOne) or not expands(memories):
        return meeting
    return Expanded(*expanded(memories), meeting.tile, meeting.values)


def meet(rows, start, meeting):
    """Write the values of the rows from `start` on into a tile."""
    raise NotImplementedError  # numba compiles what `_meet` returns


@overload(meet, jit_options=CHOSEN)
def _meet(rows, start, meeting):
    return WAYS[meeting.instance_class]


def in_tiles(rows, start, meeting):
    """`meet`, as InTiles."""
    fill_tile(rows, start, rows.shape[0] - 1, meeting.tile[0])
    squares(meeting.tile, meeting.centers, meeting.values)


def of_seen(rows, start, meeting):
    """`meet`, as OfSeen."""
    fill_tile(rows, start, rows.shape[0] - 1, meeting.tile[0])
    squares_of_seen(meeting.tile, meeting.centers, meeting.values)


def products(rows, start, meeting):
    """`meet`, as Expanded."""
    fill_tile(rows, start, rows.shape[0] - 1, meeting.tile[0])
    product(meeting.matrix, meeting.start, meeting.tile, meeting.values)


def one_by_one(rows, start, meeting):
    """`meet`, as OneByOne: four centers at a time."""
    zero, last = rows.dtype.type(0.0), rows.shape[0] - 1
    centers, values = meeting.centers, meeting.values[0]
    for lane in range(LANES):
        row = rows[start + lane if start + lane < last else last]
        for k in range(0, centers.shape[0], 4):
            c0, c1 = centers[k], centers[k + 1]
            c2, c3 = centers[k + 2], centers[k + 3]
            s0 = s1 = s2 = s3 = zero
            for j in range(row.shape[0]):
                d0, d1 = row[j] - c0[j], row[j] - c1[j]
                d2, d3 = row[j] - c2[j], row[j] - c3[j]
                s0 += d0 * d0
                s1 += d1 * d1
                s2 += d2 * d2
                s3 += d3 * d3
            values[k, lane], values[k + 1, lane] = s0, s1
            values[k + 2, lane], values[k + 3, lane] = s2, s3


WAYS = {InTiles: in_tiles, OneByOne: one_by_one, OfSeen: of_seen, Expanded: products}
