"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import inner, kernel
from .lanes import AS_SEEN, LANES, Meeting, square_tile


def potentials(rows, weights, memories, holes, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    meeting = Meeting.of(memories.centers, holes)
    return (shorten(rows, weights, meeting, closest, nearer),)


# Sums are allocated where they are added up: no line of the cache then has those of two
# threads.
@kernel
def shorten(rows, weights, meeting, closest, nearer):
    """Write what is nearer; return the sums for each center."""
    totals, n_rows = np.zeros(nearer.shape[1]), rows.shape[0]
    for start in range(0, n_rows, LANES):
        square_tile(rows, start, meeting, meeting.squared)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            for k in range(nearer.shape[1]):
                distance = meeting.squared[0, k, i - start]
                nearer[i, k] = distance if distance < closest[i] else closest[i]
                totals[k] += weights[i] * nearer[i, k]
    return totals


def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    n_clusters, meeting = len(memories.centers), Meeting.of(memories.centers, holes)
    return fall_to(rows, weights, n_clusters, meeting, labels, first, second)


@kernel
def fall_to(rows, weights, n_clusters, meeting, labels, first, second):
    """Find the two nearest; return what falls to each center."""
    counts, inertia = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, rows.shape[1]))
    seen = np.zeros((n_clusters, rows.shape[1]))
    best, n_rows = np.empty(LANES, np.int32), rows.shape[0]
    nearer, next_one = np.empty(LANES, rows.dtype), np.empty(LANES, rows.dtype)
    for start in range(0, n_rows, LANES):
        square_tile(rows, start, meeting, meeting.squared)
        two_nearest(meeting.squared[0], n_clusters, best, nearer, next_one)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            k, weight, lane = best[i - start], weights[i], i - start
            labels[i], first[i], second[i] = k, nearer[lane], next_one[lane]
            counts[k] += weight
            inertia[k] += weight * nearer[lane]
            if meeting.how != AS_SEEN:
                for j in range(rows.shape[1]):
                    sums[k, j] += weight * rows[i, j]
            else:
                for j in range(rows.shape[1]):
                    if rows[i, j] == rows[i, j]:
                        sums[k, j] += weight * rows[i, j]
                        seen[k, j] += weight
    return counts, sums, inertia, seen


@inner
def two_nearest(squared, n_clusters, best, nearer, next_one):
    """Write the nearest center of each lane, and the two smallest squared distances."""
    for lane in range(LANES):
        best[lane] = 0
        nearer[lane] = squared[0, lane]
        next_one[lane] = np.inf
    for k in range(1, n_clusters):
        number, values = np.int32(k), squared[k]
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
    centers = memories.centers
    meeting, shape = Meeting.of(centers, holes), (len(centers), n_clusters)
    return swap(rows, weights, meeting, shape, labels, first, second)


@kernel
def swap(rows, weights, meeting, shape, labels, first, second):
    """`swap_costs`, tile by tile."""
    kept, extra, n_rows = np.zeros(shape[0]), np.zeros(shape), rows.shape[0]
    for start in range(0, n_rows, LANES):
        square_tile(rows, start, meeting, meeting.squared)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            for c in range(shape[0]):
                distance = meeting.squared[0, c, i - start]
                stays = distance if distance < first[i] else first[i]
                moves = distance if distance < second[i] else second[i]
                kept[c] += weights[i] * stays
                extra[c, labels[i]] += weights[i] * (moves - stays)
    return kept, extra
