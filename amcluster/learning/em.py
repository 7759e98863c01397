"""The mean free energy of a mixture of memories, lowered by closed-form EM."""

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError

from ..kernels import Memories
from ..rows.statistics import Statistics
from ..spaces.covariance import Moments, covariance_about
from .squarem import TINY, ahead, between

# Several starts are compared when an iteration of each gains no more than this many
# times the gain at which EM ends. The ones that are not the lowest then are given up.
# With ten starts that halves the iterations, and the one that is kept is as good.
SETTLED = 100
# Where the density is bounded, a step is halved so often before it is given up, and the
# first variance is doubled so often until all rows have a density.
HALVINGS = 20
DOUBLINGS = 100


class Mixture(NamedTuple):
    """The parameters that EM learns."""

    centers: np.ndarray  # (n_clusters, n_features)
    weights: np.ndarray  # (n_clusters,) summing to 1
    spread: object  # Isotropic, Shared or Own


class Expected(NamedTuple):
    """What an E-step tells of the rows."""

    free_energy: float
    statistics: Statistics
    centers: np.ndarray  # (n_clusters, n_features) of the mixture, in their coordinates


class FreeEnergy:
    """-sum_n w_n log p(x_n) / sum_n w_n, plus the penalty of the spread, in nats.

    Parameters
    ----------
    rows : DistinctRows
        Perhaps in the coordinates of their span.
    likelihood : tuple
        An energy: how likely rows are about their memory.
    n_features : int
        Of the data.
    learn_weights : bool
        Whether mixing weights are learned.
    """

    extrapolates = True  # whether `extrapolated` can go on from its steps

    def __init__(self, rows, likelihood, n_features, learn_weights):
        self.rows = rows
        self.likelihood = likelihood
        self.n_features = n_features
        self.learn_weights = learn_weights

    @property
    def bounded(self):
        """Whether the density is 0 beyond some distance of all memories."""
        return self.likelihood.bounded

    def ahead(self, trail):
        """The mixture that three in a row lead to; None if not beyond the third."""
        return ahead(trail)

    def expectation(self, mixture):
        """The E-step: the free energy and what the M-step needs."""
        memories = self.memories_of(mixture)
        return self.expected(mixture, memories, self.statistics(mixture, memories))

    def memories_of(self, mixture):
        """The memories in the coordinates of the statistics."""
        spread = mixture.spread
        return self._memories(spread.project(mixture.centers), mixture)

    def statistics(self, mixture, memories):
        """The sums over the rows, which may be a part of all rows."""
        rows, spread = self.rows, mixture.spread
        irls = rows.device.empty(len(rows.values))
        projected = rows.with_values(spread.project_rows(rows))
        statistics = projected.expectation(memories, irls)
        return statistics._replace(moment=spread.moment(rows, irls))

    def expected(self, mixture, memories, statistics):
        """What the statistics of all rows tell; they may be merged from parts."""
        mean_log_density = self._mean_log_density(memories, statistics)
        free_energy = mixture.spread.penalty - mean_log_density
        return Expected(free_energy, statistics, memories.centers)

    def maximisation(self, mixture, expected):
        """The M-step: centers and weights, then the spread about the new centers."""
        statistics, centers = expected.statistics, expected.centers
        alive = statistics.irls > 0
        moved = centers.copy()
        moved[alive] = statistics.sums[alive] / statistics.irls[alive, None]
        step = np.square(moved - centers).sum(axis=1)
        closer = statistics.irls @ step
        return self._about(mixture.spread.restore(moved), mixture, statistics, closer)

    def _memories(self, centers, mixture):
        log_weights, beta = np.log(mixture.weights), mixture.spread.beta
        return Memories(centers, log_weights, beta, self.likelihood, self.n_features)

    def _mean_log_density(self, memories, statistics):
        normaliser = self.likelihood.log_normaliser(memories.beta, self.n_features, 0)
        mean_log_density = statistics.evidence / statistics.weight + normaliser
        return mean_log_density + self.rows.log_units

    def _about(self, centers, mixture, statistics, closer):
        """The mixture with new centers, to which squares are less by `closer`."""
        weights, covariance = mixture.weights, None
        if self.learn_weights:
            weights = np.maximum(statistics.counts / statistics.weight, TINY)
        if statistics.moment is not None:
            covariance = covariance_about(
                centers, statistics.irls, statistics.moment, statistics.weight
            )
        mean_square = (statistics.squares - closer) / statistics.n_values
        spread = mixture.spread.updated(Moments(mean_square, covariance))
        return Mixture(centers, weights, spread)


def lower(free_energy, mixture, *, max_iter, tol, watch, bar=inf):
    """EM until a step of it gains no more than tol nats per row and feature.

    Every other iteration is extrapolated from its step and the one before it
    (SQUAREM), if the free energy is lower there. EM has settled after the first
    iteration that gains no more than SETTLED times that; it is given up if its free
    energy is above `bar` then.

    Returns
    -------
    mixture : Mixture
        The last whose free energy is known.
    history : list of float
        Its free energies, the first before any step.
    settled : float
        The free energy when it had settled, or else the last.
    """
    least_gain = tol * free_energy.n_features
    settled = None
    expected = free_energy.expectation(mixture)
    history = [expected.free_energy]
    stop = watch(1, history[-1], mixture)
    trail = [mixture]
    while len(history) <= max_iter and not stop:
        trail.append(free_energy.maximisation(mixture, expected))
        further = None
        if len(trail) == 3 and free_energy.extrapolates:
            further = extrapolated(free_energy, trail, history[-1])
        following, expected = further or step(free_energy, trail[-1])
        if free_energy.bounded and not below(expected, history[-1]):
            following, expected = shorter(free_energy, mixture, following, history[-1])
        if expected is None:
            break
        gain = history[-1] - expected.free_energy
        if gain < 0:  # EM never rises, but for rounding where it has converged
            break
        mixture = following
        history.append(expected.free_energy)
        stop = watch(len(history), history[-1], mixture)
        if len(trail) == 3:
            trail = [mixture]
        if settled is None and gain <= SETTLED * least_gain:
            settled = history[-1]
            stop = stop or settled > bar
        # That an extrapolation gains little does not tell that a step would.
        if gain <= least_gain and not further:
            break
    return mixture, history, history[-1] if settled is None else settled


def step(free_energy, mixture):
    """The mixture and its E-step; None where rounding makes the covariance singular."""
    try:
        return mixture, free_energy.expectation(mixture)
    except LinAlgError:
        return mixture, None


def extrapolated(free_energy, trail, bar):
    """The mixture that three in a row lead to, with its E-step, if below `bar`."""
    mixture = free_energy.ahead(trail)
    if mixture is None or not np.isfinite(mixture.spread.beta):
        return None
    mixture, expected = step(free_energy, mixture)
    return (mixture, expected) if below(expected, bar) else None


def below(expected, bar):
    """Whether a free energy is known, and below another."""
    return expected is not None and expected.free_energy < bar


def shorter(free_energy, mixture, following, bar):
    """Parts of a step, with the E-step, that end below `bar`; None if none does.

    Where the density is 0 beyond some distance, a step of EM may leave rows without
    any. Its direction is downhill all the same: a part of the step is taken for the
    centers and weights first, and then one for the spread.
    """
    found = None
    for with_spread in (False, True):
        aim = mixture if with_spread else following
        aim = aim._replace(spread=(following if with_spread else mixture).spread)
        for halvings in range(HALVINGS):
            part, expected = step(free_energy, between(mixture, aim, 0.5**halvings))
            if below(expected, bar):
                mixture, found, bar = part, expected, expected.free_energy
                break
    return mixture, found


def in_reach(free_energy, mixture):
    """The mixture, so wide that all rows have a density.

    Raises
    ------
    ValueError
        If beta is given, and some have none.
    """
    for _ in range(DOUBLINGS):
        if np.isfinite(free_energy.expectation(mixture).free_energy):
            return mixture
        wider = mixture._replace(spread=mixture.spread.widened())
        if wider.spread is mixture.spread:
            break
        mixture = wider
    raise ValueError(
        f"beta == {mixture.spread.beta:.3g} leaves rows at 1 / sqrt(beta) or farther"
        f" from all memories, where {type(free_energy.likelihood).__name__} has no"
        " density: lower it, or let beta='auto' find one that reaches all rows."
    )
