"""EM of a mixture of von Mises-Fisher distributions, by `learning.em`.

A row x counts by its direction alone. Given memory k its log density on the sphere is
``log c(kappa_k) + kappa_k * cos(x, m_k)``.
"""

from typing import NamedTuple

import numpy as np

from ..energies.von_mises_fisher import concentration_of, log_normaliser
from ..kernels import Directions
from .directions import normalised
from .em import Expected, Mixture
from .squarem import TINY, factor_of, step_and_turn, weights_of

# Below this a distribution is uniform: its free energy is off by no more than rounding.
LEAST_CONCENTRATION = float(np.sqrt(np.finfo(np.float64).eps))


class Concentrations(NamedTuple):
    """How close rows are to the direction of their memory: the spread of mixtures."""

    values: np.ndarray  # (1,) tied, or (n_clusters,)
    n_features: int
    largest: float
    fixed: bool = False  # whether they are given

    penalty = 0.0

    @property
    def beta(self):
        """Inverse temperatures, 1/length^2, of which a concentration is twice one."""
        return self.values.max() / 2

    def updated(self, lengths):
        """Those that maximise the likelihood of rows with mean resultant lengths."""
        if self.fixed:
            return self
        # Numbers take a tenth of the time of arrays of one number.
        lengths = lengths if len(lengths) > 1 else lengths[0]
        values = np.atleast_1d(concentration_of(lengths, self.n_features))
        return self._replace(values=self._within(values))

    def relative_to(self, other):
        """Logarithms of the concentrations, in units of the others'."""
        return np.log(self.values / other.values)

    def scaled(self, logarithms):
        """The concentrations with these logarithms, relative to them."""
        if self.fixed:
            return self
        values = self.values * np.exp(np.minimum(logarithms, 700))
        return self._replace(values=self._within(values))

    def _within(self, values):
        return np.clip(values, LEAST_CONCENTRATION, self.largest)


class SphericalFreeEnergy:
    """-sum_n w_n log p(x_n) / sum_n w_n, in nats, on the sphere.

    Parameters
    ----------
    rows : UnitRows
    learn_weights : bool
        Whether mixing weights are learned.
    """

    extrapolates = True
    bounded = False

    def __init__(self, rows, learn_weights):
        self.rows = rows
        self.n_features = rows.n_features
        self.learn_weights = learn_weights

    def expectation(self, mixture):
        """The E-step: the free energy and what the M-step needs."""
        directions, constant = directions_of(
            mixture.centers, mixture.weights, mixture.spread.values
        )
        statistics = self.rows.expectation(directions)
        free_energy = -(statistics.evidence / statistics.weight + constant)
        return Expected(free_energy, statistics, mixture.centers)

    def maximisation(self, mixture, expected):
        """The M-step."""
        statistics, weights = expected.statistics, mixture.weights
        if self.learn_weights:
            weights = np.maximum(statistics.counts / statistics.weight, TINY)
        lengths = resultant_lengths(statistics, len(mixture.spread.values) == 1)
        return Mixture(
            normalised(statistics.sums, mixture.centers),
            weights,
            mixture.spread.updated(lengths),
        )

    def ahead(self, trail):
        """The mixture that three in a row lead to, on the sphere, or None."""
        return ahead(trail)


def ahead(mixtures):
    """The mixture that three in a row lead to, as `squarem.ahead`, on the sphere.

    Lengths are those of chords, in units of 1 / sqrt(kappa), by the weight of a memory.
    Directions of sparse rows are as large as the rows, so that few copies are made.
    """
    first, *_, last = mixtures
    centers = step_and_turn([mixture.centers for mixture in mixtures])
    weights = step_and_turn(np.log([mixture.weights for mixture in mixtures]))
    scales = step_and_turn([m.spread.relative_to(last.spread) for m in mixtures])
    kappa = last.weights * last.spread.values
    factor = factor_of(
        *(
            np.sqrt(
                kappa @ np.einsum("kd,kd->k", centers[i], centers[i])
                + last.weights @ np.square(weights[i])
                + np.square(scales[i]).sum()
            )
            for i in range(2)
        )
    )
    if factor is None:
        return None

    def extrapolated(start, moves):
        return start + (2 * factor * moves[0] + factor**2 * moves[1])

    scale = first.spread.relative_to(last.spread)
    return Mixture(
        normalised(extrapolated(first.centers, centers), last.centers),
        weights_of(extrapolated(np.log(first.weights), weights)),
        last.spread.scaled(extrapolated(scale, scales)),
    )


def directions_of(directions, weights, concentrations):
    """Memories for kernels, in float64, and what makes their log evidence a density.

    Logits leave out the log normaliser of the first memory, which float32 would round.
    """
    n_clusters, n_features = directions.shape
    kappa = np.array(concentrations, dtype=np.float64)
    constant = float(log_normaliser(kappa[0], n_features))
    offsets = np.log(weights, dtype=np.float64)
    if np.any(kappa != kappa[0]):
        offsets += log_normaliser(kappa, n_features) - constant
    return Directions(directions, np.resize(kappa, n_clusters), offsets), constant


def first_mixture(clusters, spread):
    """The mixture that hard clusters make, of equal weights, about their directions."""
    statistics, n_clusters = clusters.statistics, len(clusters.directions)
    alive = statistics.counts > 0
    along = np.einsum("kd,kd->k", statistics.sums, clusters.directions)
    if len(spread.values) == 1:
        lengths = np.array([along.sum() / statistics.weight])
    else:
        lengths = along / np.where(alive, statistics.counts, 1.0)
    uniform = np.full(n_clusters, 1 / n_clusters)
    return Mixture(clusters.directions, uniform, spread.updated(lengths))


def resultant_lengths(statistics, tied):
    """The mean resultant length of all memories (1,), or of each."""
    lengths = np.linalg.norm(statistics.sums, axis=1)
    if tied:
        return np.array([lengths.sum() / statistics.weight])
    return lengths / np.where(statistics.counts > 0, statistics.counts, 1.0)
