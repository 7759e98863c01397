"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

from typing import NamedTuple

import numpy as np

from ._jit import inner, kernel
from .pairwise import meet, meeting_of
from .tiles import LANES, aligned_zeros, numbers


def potentials(rows, weights, memories, holes, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    n_centers, labels = len(memories.centers), np.empty(0, np.int32)
    kept, extra = aligned_zeros((n_centers,), float), np.empty((n_centers, 0))
    meeting = meeting_of(memories.centers, holes)
    swap(rows, weights, meeting, labels, closest, closest, kept, extra, nearer)
    return (kept,)


def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    shape = memories.centers.shape
    falls = Falls(
        aligned_zeros(shape[:1], float),
        aligned_zeros(shape, float),
        aligned_zeros(shape[:1], float),
        aligned_zeros(shape, float),
    )
    lanes = numbers(rows.dtype), *aligned_zeros((2, LANES), rows.dtype)
    meeting = meeting_of(memories.centers, holes)
    fall_to(rows, weights, meeting, holes, lanes, falls, labels, first, second)
    return falls


class Falls(NamedTuple):
    """What falls to each center."""

    counts: np.ndarray  # (K,)
    sums: np.ndarray  # (K, D)
    inertia: np.ndarray  # (K,)
    seen: np.ndarray  # (K, D), 0 without holes


@kernel
def fall_to(rows, weights, meeting, holes, lanes, falls, labels, first, second):
    """Find the two nearest; add up what falls to each center."""
    (best, nearer, next_one), (counts, sums, inertia, seen) = lanes, falls
    n_rows, n_clusters = rows.shape[0], counts.shape[0]
    for start in range(0, n_rows, LANES):
        meet(rows, start, meeting)
        two_nearest(meeting.values[0], n_clusters, best, nearer, next_one)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            k, weight, lane = best[i - start], weights[i], i - start
            labels[i], first[i], second[i] = k, nearer[lane], next_one[lane]
            counts[k] += weight
            inertia[k] += weight * nearer[lane]
            if not holes:
                for j in range(rows.shape[1]):
                    sums[k, j] += weight * rows[i, j]
            else:
                for j in range(rows.shape[1]):
                    if rows[i, j] == rows[i, j]:
                        sums[k, j] += weight * rows[i, j]
                        seen[k, j] += weight


@inner
def two_nearest(squared, n_clusters, best, nearer, next_one):
    """Write the nearest center of each lane, and the two smallest squared distances."""
    for lane in range(LANES):
        best[lane] = 0
        nearer[lane] = np.inf
        next_one[lane] = np.inf
    for k in range(n_clusters):
        number, values = best.dtype.type(k), squared[k]
        for lane in range(LANES):
            distance, least = values[lane], nearer[lane]
            closer = distance < least
            other = least if closer else distance
            next_one[lane] = other if other < next_one[lane] else next_one[lane]
            best[lane] = number if closer else best[lane]
            nearer[lane] = distance if closer else least


def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    kept = aligned_zeros((len(memories.centers),), float)
    extra = aligned_zeros((len(kept), n_clusters), float)
    nearer = np.empty((0, 0), rows.dtype)
    meeting = meeting_of(memories.centers, holes)
    swap(rows, weights, meeting, labels, first, second, kept, extra, nearer)
    return kept, extra


@kernel
def swap(rows, weights, meeting, labels, first, second, kept, extra, nearer):
    """Add to the costs, those of removals where there is a center to remove.

    Writes what is nearer, where there is room for it.
    """
    n_rows = rows.shape[0]
    for start in range(0, n_rows, LANES):
        meet(rows, start, meeting)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            for c in range(kept.shape[0]):
                distance = meeting.values[0, c, i - start]
                stays = distance if distance < first[i] else first[i]
                kept[c] += weights[i] * stays
                if nearer.shape[0] > 0:
                    nearer[i, c] = stays
                if extra.shape[1] > 0:
                    moves = distance if distance < second[i] else second[i]
                    extra[c, labels[i]] += weights[i] * (moves - stays)
