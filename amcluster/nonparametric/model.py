"""The model behind memories made on demand: a prior over partitions, a base measure.

Both ways to fit it, `soft` and `hard`, are about this model and use its units:
coordinates in which a feature has unit variance in the mean, and 0 is the mean of the
data.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ..kernels import Memories

# Base measure in those coordinates: as wide as the data, so rho = 1 / (2 * variance).
BASE_PRECISION = 0.5


class ChineseRestaurant(NamedTuple):
    """Prior over partitions: rows sit down at tables one after the other.

    A row joins a table of n rows with weight n - discount, and a new one, where there
    are k, with weight concentration + discount * k (Pitman and Yor, 1997; discount 0
    is the process of Aldous, 1985).
    """

    concentration: float
    discount: float

    def new_weight(self, n_tables):
        """Weight of a new table."""
        return self.concentration + self.discount * n_tables

    def log_sizes(self, counts):
        """The part of the log probability that depends on the sizes of tables."""
        return gammaln(counts - self.discount) - gammaln(1 - self.discount)

    def log_tables(self, n_tables):
        """The part that depends on their number: sum_{0<i<k} log new_weight(i)."""
        return np.log(self.new_weight(np.arange(1, n_tables))).sum()

    def log_total(self, total):
        """The part that depends on the number of rows only."""
        return gammaln(self.concentration + 1) - gammaln(self.concentration + total)


class Nonparametric(NamedTuple):
    """Gaussian memories under a restaurant prior, with centers from a base measure.

    A memory's rows are N(center, I / (2 beta)), its center is N(0, I / (2
    base_precision)). Real rows are neither isotropic nor Gaussian, and evidence for a
    further memory would be over-counted: data count as if they had
    `effective_dimension` features, and the cost of a memory is divided by `misfit`.
    With effective_dimension = n_features and misfit = 1 the model is exact.
    """

    restaurant: ChineseRestaurant
    n_features: int
    effective_dimension: float
    misfit: float
    base_precision: float = BASE_PRECISION
    beta: float | None = None  # fixed inverse temperature; None: learned

    @property
    def tempering(self):
        """The power on the likelihood of a row."""
        return self.effective_dimension / self.n_features

    def base_beta(self, beta):
        """gamma = beta * rho / (beta + rho), of the base measure's predictive."""
        smaller, larger = sorted((beta, self.base_precision))
        return smaller / (1 + smaller / larger)  # no product, which might overflow

    def memories(self, grown):
        """Memories as kernels take them, with tempered likelihoods."""
        least = np.finfo(np.float64).tiny  # a count of d would have no logarithm
        sizes = np.maximum(grown.counts - self.restaurant.discount, least)
        return grown.memories(np.log(sizes), self.tempering)

    @property
    def exact(self):
        """The model where neither data nor cost are adjusted."""
        dimension = float(self.n_features)
        return self._replace(effective_dimension=dimension, misfit=1.0)

    def fitted_beta(self, scatter, total_weight, n_memories, least_variance):
        """Inverse temperature for the scatter of rows about their means.

        It is the unbiased estimate, n_features * (N - K) / (2 * scatter).
        """
        if self.beta is not None:
            return self.beta
        freedom = self._freedom(total_weight, n_memories)
        return 0.5 / max(scatter / freedom, least_variance)

    def scatter(self, beta, total_weight, n_memories):
        """The scatter that an inverse temperature was fitted to."""
        return 0.5 / beta * self._freedom(total_weight, n_memories)

    def _freedom(self, total_weight, n_memories):
        # With fewer than two rows a memory N - K would be near 0, or less.
        return self.n_features * max(total_weight - n_memories, total_weight / 2)


class Grown(NamedTuple):
    """Memories made by a fit, in its coordinates."""

    centers: np.ndarray  # (n_memories, n_coordinates)
    counts: np.ndarray  # (n_memories,) weight of the rows of each
    beta: float

    @property
    def noise(self):
        """The variance of rows about their memory."""
        return 0.5 / self.beta

    @property
    def covariances(self):
        """The covariance of each."""
        n_memories, n_features = self.centers.shape
        return np.repeat(self.noise * np.eye(n_features)[None], n_memories, axis=0)

    def some(self, kept):
        """Some of the memories."""
        return self._replace(centers=self.centers[kept], counts=self.counts[kept])

    def memories(self, log_weights, power=1.0):
        """The memories as kernels take them, with likelihoods to a power."""
        return Memories(self.centers, log_weights, power * self.beta)


class Outcome(NamedTuple):
    """What one start of a fit came to."""

    grown: Grown
    history: list  # the objective, per row: the lowest so far
    tried: list  # (number of memories, objective) of what it compared
