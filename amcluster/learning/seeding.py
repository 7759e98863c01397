"""First memories: k-means++ draws, the hard (beta -> infinity) phase, and swaps.

Everything here sees distinct rows in canonical order, and draws by inverting the
cumulative mass along that order: the answer depends on the rows as a set.
"""

from math import inf, log
from typing import NamedTuple

import numpy as np

from ..kernels import Memories

# A hard phase ends when an iteration lowers the inertia by less than this part of it.
HARD_TOLERANCE = 1e-4
HARD_ITERATIONS = 100
# The swap search follows each swap by so many hard iterations, ends after so many swaps
# in a row that did not lower the inertia, and takes no more passes over the rows than
# so many further starts would. On fifteen real sets and five drawn mixtures a budget of
# 600 passes took a third more of them, for the same inertia; with fewer failures it was
# up to 1 % higher on some.
SWAP_ITERATIONS = 5
SWAP_FAILURES = 20
SWAP_STARTS = 9


class Partition(NamedTuple):
    """Rows given to their nearest center; the farthest may be left out of the sums.

    Labels and distances are where the rows are: `numpy.asarray` brings them.
    """

    trim: float  # part of the weight that is left out
    weights: np.ndarray  # (n_rows,) 0 where a row is left out
    centers: np.ndarray  # (n_clusters, n_features)
    counts: np.ndarray  # (n_clusters,) weight of the rows of each center
    sums: np.ndarray  # (n_clusters, n_features) weighted sum of those rows
    seen: np.ndarray  # (n_clusters, 1 or n_features) weight of what sums are sums of
    inertia: float
    labels: np.ndarray  # (n_rows,)
    first: np.ndarray  # (n_rows,) squared distance to the nearest center
    second: np.ndarray  # (n_rows,) and to the next one


def seed(rows, n_clusters, random_state, *, swaps, trim=0.0):
    """First memories for distinct rows: greedy k-means++, hard phase, swaps.

    Parameters
    ----------
    rows : DistinctRows
    n_clusters : int
    random_state : RandomState
    swaps : bool
        Whether to search for better seeds within a fixed budget.
    trim : float
        Part of the weight, that of the farthest rows, which is left out of means and
        inertia: robust seeds for data with outliers.

    Returns
    -------
    ndarray of shape (n_clusters, n_features)
        Where there are fewer distinct rows than clusters, rows are repeated.
    """
    centers = k_means_plus_plus(rows, n_clusters, random_state)
    partition = partition_rows(rows, centers, trim)
    partition, n_iter = hard_phase(rows, partition, HARD_ITERATIONS)
    if swaps and 1 < n_clusters < len(rows.values):
        budget = SWAP_STARTS * (n_iter + _n_candidates(n_clusters))
        partition = swap_search(rows, partition, random_state, budget)
    return partition.centers


def k_means(rows, n_clusters, random_state):
    """The partition of one start: greedy k-means++, hard phase; labels in NumPy."""
    centers = k_means_plus_plus(rows, n_clusters, random_state)
    partition = partition_rows(rows, centers)
    partition, _ = hard_phase(rows, partition, HARD_ITERATIONS)
    return partition._replace(labels=np.asarray(partition.labels))


def draw(mass, uniforms):
    """Indices of rows drawn in proportion to their mass, by its inverse CDF."""
    cumulative = np.cumsum(mass, dtype=np.float64)
    drawn = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
    # Rounding may put a draw behind the last row that has mass.
    return np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1]))


def draw_evenly(mass, size, random_state):
    """Indices drawn in proportion to mass, at even steps along the order of rows."""
    return draw(mass, (np.arange(size) + random_state.uniform()) / size)


def random_rows(rows, n_clusters, random_state):
    """Distinct rows drawn at random by weight; all of them, repeated, if too few."""
    drawn = draw_apart(rows.weights, n_clusters, random_state)
    return np.resize(rows.centers(drawn), (n_clusters, rows.values.shape[1]))


def draw_apart(mass, size, random_state):
    """Indices of rows drawn in proportion to mass, no row twice; all if too few."""
    mass, drawn = mass.copy(), []
    for uniform in random_state.uniform(size=size)[: len(mass)]:
        drawn.append(draw(mass, uniform))
        mass[drawn[-1]] = 0.0
    return drawn


def k_means_plus_plus(rows, n_clusters, random_state):
    """Greedy k-means++ seeds (Arthur and Vassilvitskii, 2007).

    Each seed is the best of a few rows drawn with probability proportional to their
    weight times their squared distance to the nearest seed so far.
    """
    values, weights = rows.values, rows.weights
    closest, seeds = np.full(len(values), inf, values.dtype), []
    candidates = rows.centers([draw(weights, random_state.uniform())])
    while True:
        nearer = rows.device.empty((len(values), len(candidates)), values.dtype)
        (potentials,) = rows.device.sum_over(
            rows.device.kernels.potentials,
            values,
            weights,
            _hard(candidates),
            rows.has_missing,
            out=(closest, nearer),
        )
        best = potentials.argmin()
        seeds.append(candidates[best])
        closest = rows.device.column(nearer, best)
        mass = weights * np.asarray(closest)
        if len(seeds) == n_clusters or not mass.any():
            return np.resize(seeds, (n_clusters, values.shape[1]))
        candidates = _candidates(rows, mass, n_clusters, random_state)


def partition_rows(rows, centers, trim=0.0):
    """Give each row to its nearest center."""
    dtypes = np.int32, rows.values.dtype, rows.values.dtype
    out = [rows.device.empty(len(rows.values), dtype) for dtype in dtypes]

    def sums_of(weights):
        return rows.device.sum_over(
            rows.device.kernels.nearest,
            rows.values,
            weights,
            _hard(centers),
            rows.has_missing,
            out=out,
        )

    weights = rows.weights
    counts, sums, inertia, seen = sums_of(weights)
    if trim:
        weights = _without_farthest(weights, np.asarray(out[1]), trim)
        counts, sums, inertia, seen = sums_of(weights)
    seen = rows.weights_of_means(counts, seen)
    return Partition(trim, weights, centers, counts, sums, seen, inertia.sum(), *out)


def _without_farthest(weights, distances, trim):
    """The weights, with 0 for the farthest rows that make up a part `trim` of them."""
    order = np.argsort(distances, kind="stable")
    cumulative = np.cumsum(weights[order])
    last = np.searchsorted(cumulative, (1 - trim) * cumulative[-1])
    return np.where(distances <= distances[order[last]], weights, 0.0)


def hard_phase(rows, partition, max_iter, bar=inf):
    """Lloyd's iterations while they lower the inertia; returns their number too.

    They end where the inertia, if each of those left gained as much as the last one,
    would still be above `bar`: gains get smaller.
    """
    n_iter, gain = 0, inf
    while n_iter < max_iter and gain > HARD_TOLERANCE * partition.inertia:
        moved = partition_rows(rows, _means(rows, partition), partition.trim)
        gain = partition.inertia - moved.inertia
        n_iter += 1
        if gain > 0:
            partition = moved
        if partition.inertia - (max_iter - n_iter) * gain > bar:
            break
    return partition, n_iter


def swap_search(rows, partition, random_state, budget):
    """Move the least useful center to where the error is, and keep what is lower.

    Rows are drawn by their squared distance as for k-means++. For each of them the
    inertia after swapping it for any of the centers is computed in one pass (Lattanzi
    and Sohler, 2019); the best swap is followed by a few hard iterations and kept if
    the inertia fell. After every other failure the center to remove is drawn at random
    (Fränti, 2018), since the one that is cheapest to remove may be the wrong one. The
    search ends after a number of failures in a row or when its budget of passes over
    the rows is spent.
    """
    spent = failures = 0
    while spent < budget and failures < SWAP_FAILURES and partition.inertia > 0:
        bar = (1 - HARD_TOLERANCE) * partition.inertia
        centers = _swap(rows, partition, random_state, at_random=failures % 2 == 1)
        swapped = partition_rows(rows, centers, partition.trim)
        trial, n_iter = hard_phase(rows, swapped, SWAP_ITERATIONS, bar)
        spent += 1 + n_iter
        failures += 1
        if trial.inertia < bar:
            partition, failures = trial, 0
    return hard_phase(rows, partition, HARD_ITERATIONS)[0]


def _swap(rows, partition, random_state, at_random):
    n_clusters = len(partition.centers)
    mass = partition.weights * np.asarray(partition.first)
    candidates = _candidates(rows, mass, n_clusters, random_state)
    kept, extra = rows.device.sum_over(
        rows.device.kernels.swap_costs,
        rows.values,
        partition.weights,
        _hard(candidates),
        n_clusters,
        rows.has_missing,
        out=(partition.labels, partition.first, partition.second),
    )
    costs = kept[:, None] + extra
    if at_random:
        removed = int(random_state.uniform() * n_clusters)
        candidate = costs[:, removed].argmin()
    else:
        candidate, removed = np.unravel_index(costs.argmin(), costs.shape)
    centers = partition.centers.copy()
    centers[removed] = candidates[candidate]
    return centers


def _candidates(rows, mass, n_clusters, random_state):
    return rows.centers(candidates_drawn(mass, n_clusters, random_state))


def candidates_drawn(mass, n_clusters, random_state):
    """Indices of the rows that are compared for a seed, drawn by their mass.

    They are in canonical order, so that ties between them go to the first row.
    """
    uniforms = random_state.uniform(size=_n_candidates(n_clusters))
    return np.sort(draw(mass, uniforms))


def _n_candidates(n_clusters):
    """How many rows are compared for each seed, in one pass over all rows."""
    return 2 + int(log(n_clusters))


def _means(rows, partition):
    """Weighted means of the clusters; the farthest rows where a cluster is empty."""
    seen = partition.seen
    if seen.all():
        return (partition.sums / seen).astype(rows.values.dtype, copy=False)
    centers = np.where(
        seen > 0, partition.sums / np.where(seen > 0, seen, 1.0), partition.centers
    ).astype(rows.values.dtype)
    empty = np.flatnonzero(partition.counts == 0)
    if len(empty):
        kept = np.where(partition.weights > 0, np.asarray(partition.first), -1)
        farthest = np.argsort(-kept, kind="stable")
        centers[empty] = rows.centers(np.resize(farthest, len(empty)))
    return centers


def _hard(centers):
    """Memories in the limit beta -> infinity."""
    dtype = centers.dtype
    return Memories(
        np.ascontiguousarray(centers), np.zeros(len(centers), dtype), dtype.type(inf)
    )
