"""CLAM+CRP+ELBO: responsibilities over memories, on one path from fine to coarse.

The path starts with more memories than the data need. At each level a few EM steps
settle them, then the pairs that are cheapest to merge are merged; the level with the
lowest objective is kept. There are no restarts and no choice of the first number.
"""

from math import log, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ..kernels import Memories
from ..learning.seeding import draw_evenly, k_means
from .model import Grown, Outcome

# The first level has this many rows a memory, or fewer memories: 2 * sqrt(rows).
ROWS_PER_MEMORY = 4
# Where copies or weights make rows heavy, there are no more memories than the larger of
# MOST_MEMORIES times the square root of the number of distinct rows, and FEW_MEMORIES.
MOST_MEMORIES, FEW_MEMORIES = 3, 60
# EM steps for each level of the path, and for the levels with no more than SETTLED
# memories, among which the best is likely to be.
STEPS = 8
SETTLING_STEPS, SETTLED = 32, 30
# One pair in this many memories is merged between levels.
MERGED_PART = 12
# A memory with less than this many rows, as sums of responsibilities or as decay leaves
# them, is dropped.
LEAST_COUNT = 1e-3
# The path is followed on a sample of so many rows where there are more.
PATH_ROWS = 4000


class Level(NamedTuple):
    """A settled point of the path."""

    objective: float  # per row, in nats; lower is better
    grown: Grown


class SoftObjective:
    """The free energy of a mixture, and what its memories cost.

    For tempered log densities l_ik and responsibilities r it is minus::

        sum_i log sum_k pi_k exp(l_ik) - (1 - misfit) * H(r) - cost / misfit

    with the entropy H and the cost of the memories under the base measure and the
    restaurant's prior, divided by the number of rows. With misfit 1 it stands for the
    evidence of the model; the more over-counted that is, the more the cost weighs and
    the more responsibilities count as a partition.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
    model : Nonparametric
    tol : float
        See `settle`.
    """

    def __init__(self, rows, model, tol):
        self.rows = rows
        self.model = model
        self.tol = tol
        self.total = rows.total_weight
        self.seen = rows.seen_weight
        self.least_variance = float(np.finfo(rows.values.dtype).eps)

    def start(self, partition):
        """Parameters of a partition."""
        used = partition.counts > 0
        counts = partition.counts[used]
        centers = partition.sums[used] / counts[:, None]
        return Grown(centers, counts, self._beta(partition.inertia, len(counts)))

    def settle(self, grown, n_steps):
        """EM steps, until one gains no more than `tol` nats per row and feature."""
        least = max(LEAST_COUNT, 2 * self.model.restaurant.discount)
        least_gain = self.tol * self.total * self.model.n_features
        evidence = -np.inf
        for _ in range(n_steps):
            before = evidence
            statistics = self._expectation(grown)
            evidence = statistics.evidence + self._log_normaliser(grown.beta)
            if abs(evidence - before) <= least_gain:
                break
            alive = statistics.counts >= min(least, statistics.counts.max())
            counts = statistics.counts[alive]
            centers = statistics.sums[alive] / counts[:, None]
            steps = np.square(centers - grown.centers[alive]).sum(axis=1)
            scatter = statistics.squares - counts @ steps
            grown = Grown(centers, counts, self._beta(scatter, len(counts)))
        return grown

    def value(self, grown):
        """The objective, per row."""
        model, beta = self.model, grown.beta
        statistics = self._expectation(grown)
        joint = statistics.counts @ np.log(grown.counts / self.total)
        joint -= model.tempering * beta * statistics.squares
        entropy = statistics.evidence - joint
        evidence = statistics.evidence + self._log_normaliser(beta)
        cost = self._cost(grown) / model.misfit
        return (cost + (1 - model.misfit) * entropy - evidence) / self.total

    def _cost(self, grown):
        """What memories cost: their centers' fit to the data, sizes, and number."""
        model, n_memories = self.model, len(grown.counts)
        restaurant = model.restaurant
        counts = grown.counts * (self.seen / self.total)
        spread = np.log1p(counts * grown.beta / model.base_precision).sum()
        sizes = 0.5 * n_memories * log(self.total)
        if restaurant.discount > 0:
            sizes += n_memories * gammaln(1 - restaurant.discount)
            sizes += restaurant.discount * np.log(grown.counts).sum()
        tables = restaurant.log_tables(n_memories)
        return model.effective_dimension / 2 * spread + sizes - tables

    def _expectation(self, grown):
        """The statistics of the rows; their evidence is without its normaliser."""
        memories = Memories(
            grown.centers,
            np.log(grown.counts / self.total),
            self.model.tempering * grown.beta,
        )
        return self.rows.expectation(memories)

    def _log_normaliser(self, beta):
        return self.seen * self.model.effective_dimension / 2 * log(beta / np.pi)

    def _beta(self, scatter, n_memories):
        return self.model.fitted_beta(
            scatter, self.seen, n_memories, self.least_variance
        )


def path_rows(rows, random_state):
    """The rows that the path sees: all, or a sample that is even over their order."""
    if len(rows.values) <= PATH_ROWS:
        return rows
    drawn = draw_evenly(rows.weights, PATH_ROWS, random_state)
    drawn, times = np.unique(drawn, return_counts=True)
    return rows.drawn(drawn, times.astype(np.float64))


def most_memories(total_weight, n_rows):
    """How many memories distinct rows of this weight may need: where fits start."""
    most = min(total_weight / ROWS_PER_MEMORY, 2 * sqrt(total_weight), n_rows)
    most = min(most, max(FEW_MEMORIES, MOST_MEMORIES * sqrt(n_rows)))
    return max(1, int(most))


def coarsen(objective, random_state, watch, n_memories=None):
    """Follow the path from fine to coarse.

    `watch(n_levels, objective, grown)` is called at each level and may return True to
    stop. If a number of memories is asked for, only the levels nearest to it count.

    Returns
    -------
    Outcome
        The level with the lowest objective.
    """
    rows = objective.rows
    first = most_memories(objective.total, len(rows.values))
    first = max(first, min(n_memories or 1, len(rows.values)))
    partition = k_means(rows.whole, first, random_state)
    levels, stopped = [], False
    start = objective.start(partition)
    for level in _levels(objective, start, stop=1, n_merges=some_pairs):
        levels.append(level)
        stopped = watch(len(levels), *level)
        if stopped:
            break
    best = best_level(levels, n_memories)
    if len(levels[best].grown.counts) >= MERGED_PART and not stopped:
        # The best number may lie between levels: again, one merge at a time.
        above, below = levels[max(best - 1, 0)], levels[min(best + 1, len(levels) - 1)]
        start, stop = merge_nearest(above.grown, 1), len(below.grown.counts)
        for level in _levels(objective, start, stop, n_merges=lambda _: 1):
            levels.append(level)
            if watch(len(levels), *level):
                break
    return outcome_of(levels, n_memories)


def best_level(levels, n_memories=None):
    """Index of the level of lowest objective, of all or of those nearest a number."""
    values = np.array([level.objective for level in levels])
    if n_memories is not None:
        away = [abs(len(level.grown.counts) - n_memories) for level in levels]
        values[np.array(away) > min(away)] = np.inf
    return int(np.argmin(values))


def outcome_of(levels, n_memories=None):
    """What a path came to."""
    values = [level.objective for level in levels]
    tried = [(len(level.grown.counts), level.objective) for level in levels]
    best = levels[best_level(levels, n_memories)]
    return Outcome(best.grown, np.minimum.accumulate(values), tried)


def _levels(objective, grown, stop, n_merges):
    while True:
        few = len(grown.counts) <= SETTLED
        grown = objective.settle(grown, SETTLING_STEPS if few else STEPS)
        yield Level(objective.value(grown), grown)
        n_memories = len(grown.counts)
        if n_memories <= stop:
            return
        grown = merge_nearest(grown, n_merges(n_memories))


def some_pairs(n_memories):
    """How many pairs are merged between two levels."""
    return max(1, n_memories // MERGED_PART)


def merge_nearest(grown, n_merges):
    """Merge disjoint pairs whose merging adds least to the scatter (Ward, 1963)."""
    first, second = np.triu_indices(len(grown.counts), 1)
    centers, counts = grown.centers, grown.counts
    squares = np.square(centers).sum(axis=1)
    distances = squares[:, None] + squares - 2 * centers @ centers.T
    cost = distances * (counts[:, None] * counts / (counts[:, None] + counts))
    centers, counts = centers.copy(), counts.copy()
    gone = np.zeros(len(counts), bool)
    merged = np.zeros(len(counts), bool)
    for pair in np.argsort(cost[first, second], kind="stable"):
        a, b = first[pair], second[pair]
        if merged[a] or merged[b]:
            continue
        merged[[a, b]] = gone[b] = True
        both = counts[a] + counts[b]
        centers[a] = (counts[a] * centers[a] + counts[b] * centers[b]) / both
        counts[a] = both
        if gone.sum() == n_merges:
            break
    return grown._replace(centers=centers[~gone], counts=counts[~gone])


def filled_by_path(rows, sample, model, tol, random_state):
    """Rows whose missing values are filled as the likeliest memory of a path expects.

    Rows that are seated one after the other have to be complete.
    """

    def fill(rows):
        objective = SoftObjective(sample, model, tol)
        path = coarsen(objective, random_state, watch=lambda *_: False)
        return rows.filled_by(model.memories(path.grown))

    return rows.filled(fill)
