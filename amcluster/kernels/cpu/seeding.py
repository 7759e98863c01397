"""Distances for the first memories: k-means++ draws, hard (k-means) phase, swaps.

The hard phase is the limit beta -> infinity, where the posterior of the nearest memory
is 1 and only the centers matter. With `missing`, distances run over the coordinates
of a row that are not NaN.
"""

from typing import NamedTuple

import numpy as np

from ._jit import inner, kernel
from .pairwise import pairs_with, write_distances
from .tiles import LANES, aligned_zeros, indices


def potentials(rows, weights, memories, missing, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    n_centers, labels = len(memories.centers), np.empty(0, np.int32)
    kept, extra = aligned_zeros((n_centers,), float), np.empty((n_centers, 0))
    pairs = pairs_with(memories, missing)
    swap(rows, weights, pairs, labels, closest, closest, kept, extra, nearer)
    return (kept,)


def nearest(rows, weights, memories, missing, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns, over the rows nearest to each center, the weight, the weighted sum of rows,
    the inertia and, with missing values, the weight of the seen values of each feature:
    (K,), (K, D), (K,), (K, D).
    """
    shape = memories.centers.shape
    sums = Sums(
        counts=aligned_zeros(shape[:1], float),
        of_x=aligned_zeros(shape, float),
        inertia=aligned_zeros(shape[:1], float),
        seen=aligned_zeros(shape, float),
    )
    lanes = indices(rows.dtype), *aligned_zeros((2, LANES), rows.dtype)
    pairs = pairs_with(memories, missing)
    assign(rows, weights, pairs, missing, lanes, sums, labels, first, second)
    return sums


class Sums(NamedTuple):
    """Sums over the rows nearest to each center."""

    counts: np.ndarray  # (K,)
    of_x: np.ndarray  # (K, D)
    inertia: np.ndarray  # (K,)
    seen: np.ndarray  # (K, D), 0 without missing values


@kernel
def assign(rows, weights, pairs, missing, lanes, sums, labels, first, second):
    """Find the two nearest centers of each row, and add it to the sums of the first."""
    (best, nearer, next_one), (counts, of_x, inertia, seen) = lanes, sums
    n_rows, n_clusters = rows.shape[0], counts.shape[0]
    for start in range(0, n_rows, LANES):
        write_distances(rows, start, pairs)
        two_nearest(pairs.values[0], n_clusters, best, nearer, next_one)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            k, weight, lane = best[i - start], weights[i], i - start
            labels[i], first[i], second[i] = k, nearer[lane], next_one[lane]
            counts[k] += weight
            inertia[k] += weight * nearer[lane]
            if not missing:
                for j in range(rows.shape[1]):
                    of_x[k, j] += weight * rows[i, j]
            else:
                for j in range(rows.shape[1]):
                    if rows[i, j] == rows[i, j]:
                        of_x[k, j] += weight * rows[i, j]
                        seen[k, j] += weight


@inner
def two_nearest(squared, n_clusters, best, nearer, next_one):
    """Write the nearest center of each lane, and the two smallest squared distances."""
    for lane in range(LANES):
        best[lane] = 0
        nearer[lane] = np.inf
        next_one[lane] = np.inf
    for k in range(n_clusters):
        index, values = best.dtype.type(k), squared[k]
        for lane in range(LANES):
            distance, least = values[lane], nearer[lane]
            closer = distance < least
            other = least if closer else distance
            next_one[lane] = other if other < next_one[lane] else next_one[lane]
            best[lane] = index if closer else best[lane]
            nearer[lane] = distance if closer else least


def swap_costs(rows, weights, memories, n_clusters, missing, labels, first, second):
    """The inertia of a partition after candidate c replaces center k, for all c and k.

    The candidates are the centers of `memories`; labels, first and second are those
    that `nearest` wrote for the partition. Returns kept (C,), the inertia with the
    candidate added and no center removed, and extra (C, K), by how much removing center
    k then raises it: rows of k move to the candidate or to their second nearest center,
    whichever is nearer.
    """
    kept = aligned_zeros((len(memories.centers),), float)
    extra = aligned_zeros((len(kept), n_clusters), float)
    nearer = np.empty((0, 0), rows.dtype)
    pairs = pairs_with(memories, missing)
    swap(rows, weights, pairs, labels, first, second, kept, extra, nearer)
    return kept, extra


@kernel
def swap(rows, weights, pairs, labels, first, second, kept, extra, nearer):
    """Add to the costs of `swap_costs`, or of `potentials` if `extra` is empty.

    Writes the smaller squared distances into `nearer` unless that is empty.
    """
    n_rows = rows.shape[0]
    for start in range(0, n_rows, LANES):
        write_distances(rows, start, pairs)
        for i in range(start, start + LANES if start + LANES < n_rows else n_rows):
            for c in range(kept.shape[0]):
                distance = pairs.values[0, c, i - start]
                stays = distance if distance < first[i] else first[i]
                kept[c] += weights[i] * stays
                if nearer.shape[0] > 0:
                    nearer[i, c] = stays
                if extra.shape[1] > 0:
                    moves = distance if distance < second[i] else second[i]
                    extra[c, labels[i]] += weights[i] * (moves - stays)
