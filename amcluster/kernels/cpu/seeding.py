"""Distances for the first memories: draws, the hard (beta -> infinity) phase, swaps.

In that limit the posterior is 1 for the nearest memory; only the centers matter. With
`holes`, distances run over the coordinates of a row that are not NaN.
"""

import numpy as np

from ._jit import kernel
from .posterior import squared_distance


@kernel
def seen_distance(row, center):
    """Squared distance over the coordinates that are seen."""
    total = row.dtype.type(0.0)
    for j in range(row.shape[0]):
        difference = row[j] - center[j]
        if difference == difference:
            total += difference * difference
    return total


@kernel
def distance_to(row, center, holes):
    """Squared distance of a row to a center."""
    return seen_distance(row, center) if holes else squared_distance(row, center)


@kernel
def potentials(rows, weights, memories, holes, closest):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple."""
    candidates = memories.centers
    out = np.zeros(candidates.shape[0])
    for i in range(rows.shape[0]):
        for c in range(candidates.shape[0]):
            distance = distance_to(rows[i], candidates[c], holes)
            out[c] += weights[i] * min(closest[i], distance)
    return (out,)


@kernel
def approach(rows, memories, holes, closest):
    """Lower closest (n_rows,) to the squared distance to the nearest center."""
    for i in range(rows.shape[0]):
        for k in range(memories.centers.shape[0]):
            distance = distance_to(rows[i], memories.centers[k], holes)
            closest[i] = min(closest[i], distance)


@kernel
def nearest(rows, weights, memories, holes, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns the weight, the weighted sum of rows and the inertia that fall to each
    center, and with holes the weight of what is seen: (K,), (K, D), (K,), (K, D).
    """
    centers = memories.centers
    n_clusters, n_features = centers.shape
    counts = np.zeros(n_clusters)
    sums = np.zeros((n_clusters, n_features))
    inertia = np.zeros(n_clusters)
    seen = np.zeros((n_clusters, n_features))
    for i in range(rows.shape[0]):
        best = 0
        labels[i] = 0
        first[i] = np.inf
        second[i] = np.inf
        for k in range(n_clusters):
            distance = distance_to(rows[i], centers[k], holes)
            if distance < first[i]:
                second[i] = first[i]
                first[i] = distance
                best = k
            elif distance < second[i]:
                second[i] = distance
        labels[i] = best
        counts[best] += weights[i]
        inertia[best] += weights[i] * first[i]
        for j in range(n_features):
            if not holes:
                sums[best, j] += weights[i] * rows[i, j]
            elif rows[i, j] == rows[i, j]:
                sums[best, j] += weights[i] * rows[i, j]
                seen[best, j] += weights[i]
    return counts, sums, inertia, seen


@kernel
def swap_costs(rows, weights, memories, n_clusters, holes, labels, first, second):
    """Inertia after putting candidate c in the place of a partition's center k.

    The candidates are the centers of `memories`; labels, first and second are what
    `nearest` wrote for the partition. Returns kept (C,), the inertia with the candidate
    added and nothing removed, and extra (C, K), what removing center k then adds: rows
    of k go to the candidate or to their second nearest center, whichever is nearer.
    """
    candidates = memories.centers
    kept = np.zeros(candidates.shape[0])
    extra = np.zeros((candidates.shape[0], n_clusters))
    for i in range(rows.shape[0]):
        for c in range(candidates.shape[0]):
            distance = distance_to(rows[i], candidates[c], holes)
            stays = min(first[i], distance)
            kept[c] += weights[i] * stays
            extra[c, labels[i]] += weights[i] * (min(second[i], distance) - stays)
    return kept, extra
