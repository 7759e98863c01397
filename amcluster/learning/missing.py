"""Rows with holes: every quantity integrates out what was not seen.

NaN is a coordinate that was not seen, which is taken to say nothing of its value.
"""

from typing import NamedTuple

import numpy as np

from ..energies import Gaussian
from ..execution.threads import ROW_BY_ROW
from ..kernels import Memories, Metric
from ..rows.missing import filled
from ..spaces.covariance import Isotropic, first_shared
from ..spaces.metric import column_units
from .em import FreeEnergy, Mixture, lower
from .seeding import partition_rows

# EM that fills missing values before the first memories are sought: rough steps, on as
# many rows as one covariance needs.
FILLING_ITERATIONS = 20
FILLING_TOLERANCE = 1e-4
FILLING_ROWS = 4000


def roughly_filled(rows):
    """Rows whose missing values are filled by one memory with a learned metric.

    Well enough to seek first memories in them: the rest of a row says something of what
    is hidden. Complete rows are left as they are.
    """
    return rows.filled(_filled_by_one)


def _filled_by_one(rows):
    units, _ = column_units(rows.values, rows.weights, rows.offset)
    return rows.with_values(_values_filled_by_one(rows.in_units(units)) * units)


def _values_filled_by_one(rows):
    """The values of rows in units of their deviations, missing ones filled in."""
    sample = rows.spread_out(FILLING_ROWS)
    whole = sample.with_values(np.nan_to_num(sample.values))
    n_features = rows.values.shape[1]
    partition = partition_rows(whole, np.zeros_like(whole.values[:1]))
    centers = np.zeros((1, n_features))
    spread = first_shared(whole, partition, centers, n_features, beta=None)
    free_energy = FreeEnergyWithMissing(sample, Gaussian(), n_features, False)
    mixture, *_ = lower(
        free_energy,
        Mixture(centers, np.ones(1), spread),
        max_iter=FILLING_ITERATIONS,
        tol=FILLING_TOLERANCE,
        watch=lambda *_: False,
    )
    memories, root = free_energy.memories_of(mixture)
    return filled(rows.device, rows.values, memories, root)


class Expected(NamedTuple):
    """Sums over rows under the posteriors of a mixture, in the coordinates of rows.

    As `_free_energy.Expected`, of rows that are filled as each memory expects them
    where there is a metric, and of what is seen where there is none.
    """

    free_energy: float
    counts: np.ndarray  # (n_clusters,)
    pulls: np.ndarray  # (n_clusters, 1) or, for each feature, (n_clusters, n_features)
    sums: np.ndarray  # (n_clusters, n_features)
    squares: float
    moment: np.ndarray | None  # (n_features, n_features) sum of u row row^T


class Moments(NamedTuple):
    """Squares about the new centers, divided by the weight they stand for."""

    mean_square_: float
    covariance_: np.ndarray | None

    def mean_square(self):
        """Variance of a feature, in the mean over features."""
        return self.mean_square_

    def covariance(self):
        """Covariance of the features."""
        return self.covariance_


class FreeEnergyWithMissing(FreeEnergy):
    """The free energy of what is seen, lowered by exact EM."""

    def __init__(self, rows, likelihood, n_features, learn_weights):
        super().__init__(rows, likelihood, n_features, learn_weights)
        self.n_seen = np.count_nonzero(~np.isnan(rows.values), axis=1)

    def memories_of(self, mixture):
        """The memories in the coordinates of rows, and the root of their metric."""
        memories = Memories(
            mixture.centers,
            np.log(mixture.weights),
            mixture.spread.beta,
            self.likelihood,
            self.n_features,
        )
        if isinstance(mixture.spread, Isotropic):
            return memories.astype(self.rows.values.dtype), None
        return memories.astype(np.float64), mixture.spread.project(
            np.eye(self.n_features)
        )

    def expectation(self, mixture):
        """The E-step: the free energy and what the M-step needs."""
        memories, root = self.memories_of(mixture)
        values, weights = self.rows.values, self.rows.weights
        device = self.rows.device
        kernel, settings, passes = device.kernels.seen_expectation, (), 4
        if root is not None:
            settings = (Metric.of(root, memories.centers),)
            kernel = device.kernels.metric_expectation
            of_covariance = 2 * self.n_features // len(mixture.weights)
            passes = ROW_BY_ROW * (8 + of_covariance)
        evidence, counts, pulls, sums, squares, *rest = device.sum_over(
            kernel,
            values,
            weights,
            memories,
            *settings,
            out=(device.empty(len(values)),),
            passes=passes,
        )
        normaliser = self.likelihood.log_normaliser(
            mixture.spread.beta, self.n_seen, self.n_features - self.n_seen
        )
        log_density = evidence + weights @ normaliser
        log_density += self.rows.log_units * self.rows.total_weight
        moment = None
        if rest:
            moment, log_determinants = rest
            log_density -= log_determinants / 2
            pulls = pulls[:, None]
        free_energy = mixture.spread.penalty - log_density / self.rows.total_weight
        return Expected(free_energy, counts, pulls, sums, squares, moment)

    def maximisation(self, mixture, expected):
        """The M-step: centers and weights, then the spread about the new centers."""
        pulls = expected.pulls
        moved = expected.sums / np.where(pulls > 0, pulls, 1.0)
        centers = np.where(pulls > 0, moved, mixture.centers)
        step = centers - mixture.centers
        squares = expected.squares - (pulls * np.square(step)).sum()
        n_values = self.rows.weights @ self.n_seen
        covariance = None
        if expected.moment is not None:
            covariance = expected.moment - (centers.T * pulls[:, 0]) @ centers
            covariance /= self.rows.total_weight
        spread = mixture.spread.updated(Moments(squares / n_values, covariance))
        return Mixture(centers, self._weights(mixture, expected.counts), spread)
