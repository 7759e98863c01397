"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import kernel
from .lanes import LANES, distances, load, padded_matrix, room, squares_of_seen


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
    return (shorten(squared, weights, closest, nearer),)


# Sums are allocated where they are added up, so that those of two threads do not lie
# in the same line of the cache.
@kernel
def shorten(squared, weights, closest, nearer):
    """Write what is nearer; return the sums for each center."""
    totals = np.zeros(nearer.shape[1])
    for i in range(nearer.shape[0]):
        tile, lane = i // LANES, i % LANES
        for k in range(nearer.shape[1]):
            distance = squared[tile, k, lane]
            nearer[i, k] = distance if distance < closest[i] else closest[i]
            totals[k] += weights[i] * nearer[i, k]
    return totals


def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    squared, n_clusters = distances_seen(rows, memories, holes), len(memories.centers)
    two_nearest(squared, n_clusters, labels, first, second)
    if not holes:
        counts, sums, inertia = fall_to(rows, weights, n_clusters, labels, first)
        return counts, sums, inertia, np.zeros_like(sums)
    hidden = np.isnan(rows)
    seen, shown = (
        (~hidden).astype(rows.dtype),
        np.where(hidden, rows.dtype.type(0), rows),
    )
    _, seen, _ = fall_to(seen, weights, n_clusters, labels, first)
    counts, sums, inertia = fall_to(shown, weights, n_clusters, labels, first)
    return counts, sums, inertia, seen


@kernel
def fall_to(rows, weights, n_clusters, labels, first):
    """What falls to each center."""
    counts, inertia = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, rows.shape[1]))
    for i in range(rows.shape[0]):
        k, weight = labels[i], weights[i]
        counts[k] += weight
        inertia[k] += weight * first[i]
        for j in range(rows.shape[1]):
            sums[k, j] += weight * rows[i, j]
    return counts, sums, inertia


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
                closer = distance < least
                other = least if closer else distance
                next_one[lane] = other if other < next_one[lane] else next_one[lane]
                best[lane] = number if closer else best[lane]
                nearer[lane] = distance if closer else least
        for lane in range(LANES):
            i = tile * LANES + lane
            if i < labels.shape[0]:
                labels[i] = best[lane]
                first[i] = nearer[lane]
                second[i] = next_one[lane]


def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    squared = distances_seen(rows, memories, holes)
    shape = len(memories.centers), n_clusters
    return swap(squared, weights, shape, labels, first, second)


@kernel
def swap(squared, weights, shape, labels, first, second):
    """`swap_costs`, from the squared distances."""
    kept, extra = np.zeros(shape[0]), np.zeros(shape)
    for i in range(labels.shape[0]):
        tile, lane = i // LANES, i % LANES
        for c in range(shape[0]):
            distance = squared[tile, c, lane]
            stays = distance if distance < first[i] else first[i]
            moves = distance if distance < second[i] else second[i]
            kept[c] += weights[i] * stays
            extra[c, labels[i]] += weights[i] * (moves - stays)
    return kept, extra
