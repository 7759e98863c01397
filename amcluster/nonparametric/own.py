"""CLAM+CRP+ELBO with covariances of a memory's own: a path of merges.

The path with one covariance for all ends at a number of memories that is too large
where clusters differ in shape or size: long and large ones are several memories. From
there pairs are merged, one at a time, as the evidence wants it, and the level of
largest evidence is kept. The evidence is the model's own, neither tempered nor divided
by a misfit: covariances and tails say what noise is.
"""

from math import inf, log

import numpy as np
from scipy.special import gammaln

from .merging import merge_best
from .shapes import (
    TAILS,
    InverseWishart,
    Shaped,
    log_determinants,
)
from .soft import LEAST_COUNT, Level, outcome_of

# The path begins with so many memories at least.
FEWEST = 4
# Fewer rows than these times the number of dimensions tell no covariance of their own;
# with more dimensions than MOST_DIMENSIONS it would take long.
ROWS_PER_DIMENSION, MOST_DIMENSIONS = 5, 100
# EM steps for each level, and for those with no more than SETTLED memories.
STEPS = 8
SETTLING_STEPS, SETTLED = 16, 12


class OwnObjective:
    """Minus the log evidence of memories with covariances of their own, per row.

    With log densities l_ik it is minus::

        sum_i log sum_k pi_k exp(l_ik) - cost

    where the cost is what is certain of covariances and centers only after the rows
    are known: of a covariance it is the plug-in log likelihood of its rows minus their
    evidence under the prior, of a center half the log determinant of its precision
    after and before.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
    model : Nonparametric
    unseen : ndarray of shape (n_coordinates, n_coordinates)
        Covariance of what rows do not show, as what rounding took from them.
    tol : float
        EM ends when a step gains no more than this, in nats per row and feature.
    tails : tuple of float
        Degrees of freedom of tails to choose from, in ascending order.
    prior : InverseWishart, default=None
        What covariances are drawn from; None: as is likeliest.
    """

    def __init__(self, rows, model, unseen, tol, tails=TAILS, prior=None):
        self.rows = rows
        self.model = model
        self.unseen = unseen
        self.tol = tol
        self.tails = tails
        self.prior = prior
        self.total = rows.total_weight

    def start(self, grown):
        """The memories of a path with one covariance for all."""
        n_features = self.model.n_features
        prior = InverseWishart(inf, 0.5 / grown.beta, n_features)
        scatters = np.zeros((len(grown.counts), n_features, n_features))
        shaped = Shaped(grown.centers, grown.counts, scatters, prior, self.tails[-1])
        shaped, _ = self.step(shaped)
        return self.with_likeliest_tails(shaped, self.tails)

    def step(self, shaped):
        """An EM step; returns also the log likelihood before it."""
        memories = self._memories(shaped)
        statistics = self.rows.expectation(memories)
        alive = statistics.counts >= min(LEAST_COUNT, statistics.counts.max())
        counts, irls = statistics.counts[alive], statistics.irls[alive]
        centers = statistics.sums[alive] / irls[:, None]
        moved = centers - shaped.centers[alive]
        outer = moved[:, :, None] * moved[:, None, :]
        scatters = statistics.moment[alive] - irls[:, None, None] * outer
        scatters = scatters + counts[:, None, None] * self.unseen
        prior = self.prior_of(counts, scatters, shaped.prior.variance)
        log_likelihood = statistics.evidence + self.rows.log_normaliser(memories)
        return Shaped(centers, counts, scatters, prior, shaped.tails), log_likelihood

    def prior_of(self, counts, scatters, variance):
        """What covariances are drawn from, given what they were about before."""
        if self.prior is not None:
            return self.prior
        return InverseWishart.likeliest(counts, scatters, variance)

    def settle(self, shaped, n_steps):
        """EM steps, until one changes no more than `tol`."""
        least_gain = self.tol * self.total * self.model.n_features
        before = -inf
        for _ in range(n_steps):
            shaped, log_likelihood = self.step(shaped)
            if abs(log_likelihood - before) <= least_gain:
                break
            before = log_likelihood
        return shaped

    def with_likeliest_tails(self, shaped, among=None):
        """The memories with tails of largest likelihood, of all or of near ones."""
        if among is None:
            index = self.tails.index(shaped.tails)
            among = self.tails[max(index - 1, 0) : index + 2]
        if len(among) == 1:
            return shaped
        return max((shaped._replace(tails=tails) for tails in among), key=self._fit)

    def value(self, shaped):
        """The objective, per row."""
        return (self._cost(shaped) - self._fit(shaped)) / self.total

    def posteriors(self, shaped):
        """Responsibilities of memories for rows (n_rows, n_memories)."""
        return self.rows.posteriors(self._memories(shaped))

    def cost_of_centers(self, counts, covariances):
        """What memories cost for their centers (n_memories,)."""
        prior = 0.5 / self.model.base_precision
        seen = counts * (self.rows.seen_weight / self.total)
        before = log_determinants(covariances)
        spread = (seen * prior)[:, None, None] * np.eye(self.model.n_features)
        after = log_determinants(covariances + spread)
        return (after - before) / 2

    def _fit(self, shaped):
        """The log likelihood of the rows, in their coordinates."""
        return self.rows.log_likelihood(self._memories(shaped))

    def _cost(self, shaped):
        counts, restaurant = shaped.counts, self.model.restaurant
        n_memories, covariances = len(counts), shaped.covariances
        squares = np.trace(
            np.linalg.solve(covariances, shaped.scatters), axis1=1, axis2=2
        )
        scales = self.model.n_features * log(2 * np.pi) + log_determinants(covariances)
        plugged_in = -(np.maximum(counts - 1, 0) * scales + squares) / 2
        shapes = plugged_in - shaped.prior.log_evidence(counts, shaped.scatters)
        centers = self.cost_of_centers(counts, covariances)
        sizes = 0.5 * n_memories * log(self.total)
        if restaurant.discount > 0:
            sizes += n_memories * gammaln(1 - restaurant.discount)
            sizes += restaurant.discount * np.log(counts).sum()
        return (shapes + centers).sum() + sizes - restaurant.log_tables(n_memories)

    def _memories(self, shaped):
        return shaped.memories(np.log(shaped.counts / self.total))


def tells_covariances(rows):
    """Whether rows, in coordinates, are enough to tell covariances of memories."""
    n_features = rows.values.shape[1]
    enough = rows.total_weight >= ROWS_PER_DIMENSION * n_features
    return enough and n_features <= MOST_DIMENSIONS


def merge_down(objective, start, watch, n_memories=None):
    """Follow the path of merges down to one memory.

    Parameters
    ----------
    objective : OwnObjective
    start : Grown
        Where the path with one covariance for all has led.
    watch : callable
        ``watch(n_levels, objective, shaped)`` is called at each level, and may return
        True to stop.
    n_memories : int, default=None
        Only levels with this number count; None: all do.

    Returns
    -------
    Outcome
        The level with the lowest objective.
    """
    levels, shaped = [], objective.start(start)
    while True:
        few = len(shaped.counts) <= SETTLED
        shaped = objective.settle(shaped, SETTLING_STEPS if few else STEPS)
        shaped = objective.with_likeliest_tails(shaped)
        levels.append(Level(objective.value(shaped), shaped))
        if watch(len(levels), *levels[-1]) or len(shaped.counts) == 1:
            break
        shaped, _, _ = merge_best(objective, shaped)
    return outcome_of(levels, n_memories)
