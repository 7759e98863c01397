"""Rows in which every value is seen: as a network meets them, and to learn from."""

from typing import NamedTuple

import numpy as np

from ..kernels import Shapes
from .states import FreeStates, ShapedStates
from .statistics import Statistics
from .weighted import WeightedRows


class Complete(NamedTuple):
    """Rows of X without missing values: the same calls as `Missing`."""

    values: np.ndarray  # (n_rows, n_features)

    has_missing = False

    @property
    def seen_part(self):
        """Part of the features that is seen."""
        return self.values.dtype.type(1)

    def usable(self, metric):
        """The metric in a form in which these rows have coordinates."""
        return metric

    def length_outside(self, network):
        """Length of the part that is outside the axes of the metric; 0 without any."""
        metric = network.metric
        has_axes = metric is not None and metric.axes is not None
        return network.length_outside(self.values) if has_axes else 0.0

    def logits(self, network):
        """The logit of each memory (n_rows, n_clusters)."""
        return self._written(network, "logits", len(network.memories.centers))

    def posteriors(self, network):
        """The posterior of each memory (n_rows, n_clusters)."""
        return self._written(network, "posterior", len(network.memories.centers))

    def labels(self, network):
        """The memory of largest posterior (n_rows,)."""
        return self._written(network, "label", dtype=np.intp)

    def log_evidence(self, network):
        """The logsumexp of the logits (n_rows,)."""
        return self._written(network, "log_evidence")

    def evidence_and_normaliser(self, network):
        """The same, and what makes it a log density, in nats."""
        return self.log_evidence(network), self._log_normaliser(network)

    def joint(self, network):
        """The logits with their normalisers: joint log densities, in nats."""
        return self.logits(network) + self._log_normaliser(network)

    def log_density(self, network):
        """The log density, in nats (n_rows,)."""
        return sum(self.evidence_and_normaliser(network))

    def completed(self, network):
        """The rows, of which nothing is missing."""
        return self.values

    def states(self, network):
        """States of the network that start at the rows."""
        rows, memories = network.in_coordinates(self.values)
        if memories.roots is not None:
            arguments = memories.astype(np.float64), Shapes.of(memories)
            return ShapedStates(rows, rows, *arguments, device=network.device)
        return FreeStates(rows, memories, device=network.device)

    def without_missing(self, centers, labels):
        """The rows, of which nothing is missing."""
        return self.values

    def _log_normaliser(self, network):
        memories = network.memories
        normaliser = memories.energy.log_normaliser(
            memories.reference_beta, self.values.shape[1], 0
        )
        return self.values.dtype.type(normaliser)

    def _written(self, network, kernel, *shape, dtype=None):
        values, device = self.values, network.device
        out = np.empty((len(values), *shape), dtype or values.dtype)
        kernel = getattr(device.kernels, kernel)
        rows, memories = network.in_coordinates(values)
        device.rows_of(kernel, rows, memories, out=(out,), passes=passes_of(memories))
        return out


class DistinctRows(WeightedRows):
    """Distinct rows without missing values: the calls of `DistinctRowsWithMissing`."""

    has_missing = False

    @property
    def n_values(self):
        """The weight of all values."""
        return self.total_weight * self.values.shape[1]

    @property
    def seen_weight(self):
        """The weight of all values, in rows."""
        return self.total_weight

    def mean_over_seen(self, numbers):
        """Mean over rows of the sum of a number for each feature that is seen."""
        return numbers.sum()

    @property
    def variances(self):
        """Weighted mean square of each feature about the mean."""
        squares = np.einsum(
            "n,nd,nd->d", self.weights, self.values, self.values, dtype=np.float64
        )
        return squares / self.total_weight

    @property
    def total_variance(self):
        """Weighted mean squared distance to the mean: length^2, all features summed."""
        squares = np.einsum(
            "n,nd,nd->", self.weights, self.values, self.values, dtype=np.float64
        )
        return squares / self.total_weight

    def centers(self, index):
        """Some of the rows, as centers."""
        return self.values[index]

    def weights_of_means(self, counts, seen):
        """What sums over the rows of each center are divided by (n_clusters, 1)."""
        return counts[:, None]

    @property
    def whole(self):
        """The rows with missing values filled, of which there are none."""
        return self

    @property
    def features(self):
        """What is seen of the rows (n_distinct, n_features)."""
        return self.values

    @property
    def seen_part(self):
        """Part of the values that is seen."""
        return 1.0

    def spans_fewer_than(self, n_columns):
        """Whether the rows span fewer dimensions, and have coordinates there."""
        return len(self.values) < n_columns

    def with_values(self, values):
        """The same rows in other coordinates."""
        return self._replace(values=values)

    def in_coordinates(self, metric):
        """The rows where a metric is Euclidean, in their dtype."""
        values = metric.of_rows(self.values)
        offset = np.zeros(metric.rank, values.dtype)
        return DistinctRows(values, self.weights, offset, self.device)

    def filled(self, fill):
        """The rows; ``fill(rows)`` is for those with missing values."""
        return self

    def filled_by_each_other(self):
        """The rows, of which nothing is missing."""
        return self

    def labels(self, memories):
        """The memory of largest posterior of each row."""
        device, out = self.device, np.empty(len(self.values), np.intp)
        memories = memories.astype(self.values.dtype)
        kernel, passes = device.kernels.label, passes_of(memories)
        device.rows_of(kernel, self.values, memories, out=(out,), passes=passes)
        return out

    def posteriors(self, memories):
        """The posterior of each memory for each row (n_distinct, n_clusters)."""
        return self._written("posterior", memories, len(memories.centers))

    def log_likelihood(self, memories):
        """The log density of all rows, in nats."""
        evidence = self._written("log_evidence", memories)
        return self.weights @ evidence + self.log_normaliser(memories)

    def log_normaliser(self, memories):
        """What makes the weighted sum of their log evidence one of log densities."""
        beta, n_features = memories.reference_beta, self.values.shape[1]
        normaliser = memories.energy.log_normaliser(beta, n_features, 0)
        return self.total_weight * normaliser

    def _written(self, kernel, memories, *shape):
        out = np.empty((len(self.values), *shape), self.values.dtype)
        memories = memories.astype(self.values.dtype)
        kernel, passes = getattr(self.device.kernels, kernel), passes_of(memories)
        self.device.rows_of(kernel, self.values, memories, out=(out,), passes=passes)
        return out

    def expectation(self, memories, irls=None):
        """Sums over the rows under the posteriors of memories.

        Parameters
        ----------
        memories : Memories
            In the coordinates of the rows.
        irls : ndarray of shape (n_distinct,), default=None
            Where u, summed over memories, is written.

        Returns
        -------
        Statistics
            With the moment only if memories have roots.
        """
        device = self.device
        if memories.roots is None:
            kernel = device.kernels.expectation
        else:
            kernel = device.kernels_in_shapes.shaped_expectation
        sums = device.sum_over(
            kernel,
            self.values,
            self.weights,
            memories.astype(self.values.dtype),
            out=(device.empty(len(self.values)) if irls is None else irls,),
            passes=4 * passes_of(memories),
        )
        return Statistics(self.total_weight, self.n_values, *sums)


def passes_of(memories):
    """How often a row is compared with all memories: with roots for each coordinate."""
    return 1 if memories.roots is None else memories.roots.shape[1]
