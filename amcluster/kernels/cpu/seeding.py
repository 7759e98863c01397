"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    add_weighted,
    load,
    load_weights,
    padded_matrix,
    squares,
    squares_of_seen,
    tile_of,
)


@kernel
def distances(rows, start, centers, holes, tile, out):
    """Load a tile and write its squared distances to padded centers; return its rows."""
    n_live = load(rows, start, tile)
    if holes:
        squares_of_seen(tile, centers, out)
    else:
        squares(tile, centers, out)
    return n_live


@kernel
def potentials(rows, weights, memories, holes, closest):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple."""
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    squared, w = tile_of(centers.shape[0], rows), np.empty(LANES)
    out = np.zeros(memories.centers.shape[0])
    for start in range(0, rows.shape[0], LANES):
        n_live = distances(rows, start, centers, holes, tile, squared)
        load_weights(weights, start, w)
        near = closest[start : start + n_live]
        for c in range(out.shape[0]):
            for lane in range(n_live):
                squared[c, lane] = min(squared[c, lane], near[lane])
        add_weighted(squared, w, out.shape[0], out)
    return (out,)


@kernel
def approach(rows, memories, holes, closest):
    """Lower closest (n_rows,) to the squared distance to the nearest center."""
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    squared = tile_of(centers.shape[0], rows)
    for start in range(0, rows.shape[0], LANES):
        n_live = distances(rows, start, centers, holes, tile, squared)
        near = closest[start : start + n_live]
        for k in range(memories.centers.shape[0]):
            for lane in range(n_live):
                near[lane] = min(near[lane], squared[k, lane])


@kernel
def two_nearest(squared, n_clusters, best, first, second):
    """Write the nearest center of each lane, and the two smallest squared distances."""
    best[:] = 0
    first[:] = squared[0]
    second[:] = np.inf
    for k in range(1, n_clusters):
        number = np.int32(k)
        for lane in range(LANES):
            distance, nearest = squared[k, lane], first[lane]
            second[lane] = min(second[lane], max(distance, nearest))
            best[lane] = number if distance < nearest else best[lane]
            first[lane] = min(distance, nearest)


@kernel
def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    n_clusters, n_features = memories.centers.shape
    counts = np.zeros(n_clusters)
    sums = np.zeros((n_clusters, n_features))
    inertia = np.zeros(n_clusters)
    seen = np.zeros((n_clusters, n_features))
    centers, tile = padded_matrix(memories.centers), tile_of(n_features, rows)
    squared, best = tile_of(n_clusters, rows), np.empty(LANES, np.int32)
    nearer, next_one = np.empty(LANES, rows.dtype), np.empty(LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        n_live = distances(rows, start, centers, holes, tile, squared)
        two_nearest(squared, n_clusters, best, nearer, next_one)
        for lane in range(n_live):
            i, k = start + lane, best[lane]
            labels[i] = k
            first[i] = nearer[lane]
            second[i] = next_one[lane]
            counts[k] += weights[i]
            inertia[k] += weights[i] * nearer[lane]
            for j in range(n_features):
                if not holes:
                    sums[k, j] += weights[i] * rows[i, j]
                elif rows[i, j] == rows[i, j]:
                    sums[k, j] += weights[i] * rows[i, j]
                    seen[k, j] += weights[i]
    return counts, sums, inertia, seen


@kernel
def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    n_candidates = memories.centers.shape[0]
    kept = np.zeros(n_candidates)
    extra = np.zeros((n_candidates, n_clusters))
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    squared = tile_of(n_candidates, rows)
    for start in range(0, rows.shape[0], LANES):
        n_live = distances(rows, start, centers, holes, tile, squared)
        for c in range(n_candidates):
            for lane in range(n_live):
                i, distance = start + lane, squared[c, lane]
                stays = min(first[i], distance)
                kept[c] += weights[i] * stays
                moves = min(second[i], distance) - stays
                extra[c, labels[i]] += weights[i] * moves
    return kept, extra
