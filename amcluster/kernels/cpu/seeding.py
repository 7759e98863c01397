"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    distances,
    load,
    load_lanes,
    padded_matrix,
    room,
    squares_of_seen,
    store,
    weighted_sums,
)


def distances_seen(rows, memories, holes):
    """Squared distances of the rows to the centers, in tiles."""
    if not holes:
        return distances(rows, memories.centers)
    tiles = load(rows)
    out = room(tiles, len(memories.centers))
    squares_of_seen(tiles, padded_matrix(memories.centers), out)
    return out


def potentials(rows, weights, memories, holes, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    squared = distances_seen(rows, memories, holes)
    near = load_lanes(closest, len(squared))
    np.minimum(squared, near[:, None], out=squared)
    store(squared, nearer)
    w = load_lanes(weights, len(squared))
    return (weighted_sums(squared, w, len(memories.centers)),)


def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    shape = memories.centers.shape
    two_nearest(distances_seen(rows, memories, holes), shape[0], labels, first, second)
    counts = np.bincount(labels, weights, shape[0])
    inertia = np.bincount(labels, weights * first, shape[0])
    sums, seen = np.zeros(shape), np.zeros(shape)
    if holes:
        there = ~np.isnan(rows)
        add_rows(there.astype(rows.dtype), weights, labels, seen)
        rows = np.where(there, rows, rows.dtype.type(0))
    add_rows(rows, weights, labels, sums)
    return counts, sums, inertia, seen


@kernel
def two_nearest(squared, n_clusters, labels, first, second):
    """Write the nearest center of each row, and the two smallest squared distances."""
    best = np.empty(LANES, np.int32)
    nearer, next_one = np.empty(LANES, squared.dtype), np.empty(LANES, squared.dtype)
    for tile in range(squared.shape[0]):
        for lane in range(LANES):
            best[lane] = 0
            nearer[lane] = squared[tile, 0, lane]
            next_one[lane] = np.inf
        for k in range(1, n_clusters):
            number, values = np.int32(k), squared[tile, k]
            for lane in range(LANES):
                distance, least = values[lane], nearer[lane]
                next_one[lane] = min(next_one[lane], max(distance, least))
                best[lane] = number if distance < least else best[lane]
                nearer[lane] = min(distance, least)
        start = tile * LANES
        for lane in range(min(LANES, labels.shape[0] - start)):
            labels[start + lane] = best[lane]
            first[start + lane] = nearer[lane]
            second[start + lane] = next_one[lane]


@kernel
def add_rows(rows, weights, labels, sums):
    """Add weighted rows to the sums (K, D) of their labels."""
    for i in range(rows.shape[0]):
        total, weight = sums[labels[i]], weights[i]
        for j in range(rows.shape[1]):
            total[j] += weight * rows[i, j]


def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    n_candidates = len(memories.centers)
    squared = np.empty((len(rows), n_candidates), rows.dtype)
    store(distances_seen(rows, memories, holes), squared)
    stays = np.minimum(squared, first[:, None])
    moves = np.minimum(squared, second[:, None]) - stays
    extra = [
        np.bincount(labels, weights * moves[:, c], n_clusters)
        for c in range(n_candidates)
    ]
    return np.einsum("n,nc->c", weights, stays), np.array(extra)
