"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import kernel
from .lanes import LANES, Desk, fill_tile, meet, squares_of_seen


@kernel
def meet_seen(rows, start, holes, desk):
    """As `meet`, over the coordinates that are not NaN."""
    if holes:
        fill_tile(rows, start, rows.shape[0] - 1, desk.tile[0])
        squares_of_seen(desk.tile, desk.centers, desk.squared)
    else:
        meet(rows, start, desk)


def desk_for(rows, memories, holes):
    """A desk for the centers; rows with holes come in tiles."""
    choose = Desk.with_tiles if holes else Desk.of
    return choose(rows, memories.centers)


def potentials(rows, weights, memories, holes, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    desk = desk_for(rows, memories, holes)
    return (shorten(rows, weights, holes, desk, closest, nearer),)


# Sums are allocated where they are added up, so that those of two threads do not lie
# in the same line of the cache.
@kernel
def shorten(rows, weights, holes, desk, closest, nearer):
    """`potentials`."""
    totals = np.zeros(nearer.shape[1])
    for start in range(0, rows.shape[0], LANES):
        meet_seen(rows, start, holes, desk)
        for i in range(start, min(start + LANES, rows.shape[0])):
            for k in range(nearer.shape[1]):
                nearer[i, k] = min(desk.squared[0, k, i - start], closest[i])
                totals[k] += weights[i] * nearer[i, k]
    return totals


def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    desk, n_clusters = desk_for(rows, memories, holes), len(memories.centers)
    return assign(rows, weights, holes, desk, n_clusters, labels, first, second)


@kernel
def assign(rows, weights, holes, desk, n_clusters, labels, first, second):
    """`nearest`."""
    counts, inertia = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, rows.shape[1]))
    seen = np.zeros((n_clusters, rows.shape[1]))
    for start in range(0, rows.shape[0], LANES):
        end = min(start + LANES, rows.shape[0])
        meet_seen(rows, start, holes, desk)
        two_nearest(
            *(desk.squared[0], n_clusters, labels[start:end]),
            *(first[start:end], second[start:end]),
        )
        for i in range(start, end):
            counts[labels[i]] += weights[i]
            inertia[labels[i]] += weights[i] * first[i]
        if holes:
            add_seen(rows, weights, labels, start, end, sums, seen)
        else:
            add_rows(rows, weights, labels, start, end, sums)
    return counts, sums, inertia, seen


@kernel
def add_rows(rows, weights, labels, start, end, sums):
    """Add weighted rows to the sums of their labels."""
    for i in range(start, end):
        k, weight = labels[i], weights[i]
        for j in range(rows.shape[1]):
            sums[k, j] += weight * rows[i, j]


@kernel
def add_seen(rows, weights, labels, start, end, sums, seen):
    """As `add_rows`, of what is not NaN, and what is seen."""
    for i in range(start, end):
        k, weight = labels[i], weights[i]
        for j in range(rows.shape[1]):
            if rows[i, j] == rows[i, j]:
                sums[k, j] += weight * rows[i, j]
                seen[k, j] += weight


@kernel
def two_nearest(squared, n_clusters, labels, first, second):
    """Write the nearest center of each lane, and the two smallest squared distances."""
    best = np.empty(LANES, np.int32)
    nearer, next_one = np.empty(LANES, squared.dtype), np.empty(LANES, squared.dtype)
    for lane in range(LANES):
        best[lane] = 0
        nearer[lane] = squared[0, lane]
        next_one[lane] = np.inf
    for k in range(1, n_clusters):
        number, values = np.int32(k), squared[k]
        for lane in range(LANES):
            distance, least = values[lane], nearer[lane]
            next_one[lane] = min(next_one[lane], max(distance, least))
            best[lane] = number if distance < least else best[lane]
            nearer[lane] = min(distance, least)
    for lane in range(labels.shape[0]):
        labels[lane] = best[lane]
        first[lane] = nearer[lane]
        second[lane] = next_one[lane]


def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    desk, shape = desk_for(rows, memories, holes), (len(memories.centers), n_clusters)
    return swap(rows, weights, holes, desk, shape, labels, first, second)


@kernel
def swap(rows, weights, holes, desk, shape, labels, first, second):
    """`swap_costs`."""
    kept, extra = np.zeros(shape[0]), np.zeros(shape)
    for start in range(0, rows.shape[0], LANES):
        meet_seen(rows, start, holes, desk)
        for lane in range(min(LANES, rows.shape[0] - start)):
            i = start + lane
            for c in range(kept.shape[0]):
                distance = desk.squared[0, c, lane]
                stays = min(distance, first[i])
                kept[c] += weights[i] * stays
                extra[c, labels[i]] += weights[i] * (min(distance, second[i]) - stays)
    return kept, extra
