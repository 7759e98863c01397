"""Rows with missing values, which are integrated out of every quantity.

NaN is a value that was not seen, which is taken to say nothing of what it is.
"""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from ..execution.threads import ROW_BY_ROW
from ..kernels import Metric, Shapes
from .complete import DistinctRows
from .states import Clamp, FreeStates, HeldStates, ShapedStates
from .statistics import Statistics
from .weighted import WeightedRows


class Missing(NamedTuple):
    """Rows of X with missing values: the same calls as `Complete`."""

    values: np.ndarray  # (n_rows, n_features) NaN where missing

    has_missing = True

    @property
    def seen_part(self):
        """Part of the features that is seen (n_rows,)."""
        return 1 - np.isnan(self.values).mean(axis=1).astype(self.values.dtype)

    def usable(self, metric):
        """The metric with the features for axes: values are missing in all others."""
        return None if metric is None else metric.dense()

    def length_outside(self, network):
        """Nothing is outside the features."""
        return 0.0

    def logits(self, network):
        """The logit of each memory over what is seen (n_rows, n_clusters)."""
        return self._logits(network)[0]

    def posteriors(self, network):
        """The posterior of each memory given what is seen (n_rows, n_clusters)."""
        return posteriors(self.logits(network))

    def labels(self, network):
        """The memory of largest posterior (n_rows,)."""
        return self.posteriors(network).argmax(axis=1)

    def log_evidence(self, network):
        """The logsumexp of the logits (n_rows,)."""
        return logsumexp(self.logits(network), axis=1)

    def joint(self, network):
        """The logits with their normalisers: joint log densities, in nats."""
        logits, log_determinants = self._logits(network)
        return logits + self._log_normaliser(network, log_determinants)[:, None]

    def evidence_and_normaliser(self, network):
        """The logsumexp of the logits, and what makes it a log density, in nats."""
        logits, log_determinants = self._logits(network)
        normaliser = self._log_normaliser(network, log_determinants)
        return logsumexp(logits, axis=1), normaliser

    def log_density(self, network):
        """The log density of what is seen, in nats (n_rows,)."""
        return sum(self.evidence_and_normaliser(network))

    def completed(self, network):
        """The rows, missing values as they are expected given the others."""
        expected = filled(network.device, *network.in_features(self.values))
        if network.metric is not None:
            expected = expected + network.middle.astype(self.values.dtype)
        return np.where(np.isnan(self.values), expected, self.values)

    def states(self, network):
        """States of the network in which only what is missing moves."""
        if network.memories.roots is not None:
            values, memories, root = network.in_features(self.values)
            start = filled(network.device, *network.known.in_features(self.values))
            arguments = in_shapes(memories, root)
            metric, device = network.metric, network.device
            return ShapedStates(values, start, *arguments, metric, device)
        if network.metric is None and not network.has_base:
            memories = network.memories.astype(self.values.dtype)
            return FreeStates(self.values, memories, True, network.device)
        values, memories = network.in_coordinates(self.completed(network.known))
        start = FreeStates(values, memories, device=network.device)
        root = None if network.metric is None else network.metric.matrix
        return HeldStates(start, Clamp(self.values, root))

    def without_missing(self, centers, labels):
        """The rows, with what is missing at the center of their label."""
        return np.where(np.isnan(self.values), centers[labels], self.values)

    def _logits(self, network):
        return marginal_logits(network.device, *network.in_features(self.values))

    def _log_normaliser(self, network, log_determinants):
        memories, n_features = network.memories, self.values.shape[1]
        n_seen = np.count_nonzero(~np.isnan(self.values), axis=1)
        normaliser = memories.energy.log_normaliser(
            memories.reference_beta, n_seen, n_features - n_seen
        )
        return (normaliser - log_determinants / 2).astype(self.values.dtype)


class DistinctRowsWithMissing(WeightedRows):
    """Distinct rows of which values are missing, NaN: the calls of `DistinctRows`."""

    has_missing = True

    @cached_property
    def n_seen(self):
        """How many values of each row are seen (n_rows,)."""
        return np.count_nonzero(~np.isnan(self.values), axis=1)

    @property
    def n_values(self):
        """The weight of all values that are seen."""
        return self.weights @ self.n_seen

    def mean_over_seen(self, numbers):
        """Mean over rows of the sum of a number for each feature that is seen."""
        return self.weights @ (~np.isnan(self.values) @ numbers) / self.total_weight

    @property
    def variances(self):
        """Weighted mean square of each feature about the mean, of what is seen."""
        return seen_means(np.square(self.values), self.weights)

    @property
    def total_variance(self):
        """The sum of the variances: length^2."""
        return self.variances.sum()

    def centers(self, index):
        """Some of the rows, as centers; what is missing is at the mean of the data."""
        return np.nan_to_num(self.values[index])

    def weights_of_means(self, counts, seen):
        """What sums over the rows of each center are divided by, for each feature."""
        return seen

    def spans_fewer_than(self, n_columns):
        """No: coordinates of their span would mix what is seen with what is not."""
        return False

    def with_values(self, values):
        """The same rows, with missing values filled."""
        return DistinctRows(values, *self[1:])

    def filled(self, fill):
        """The rows as ``fill(rows)`` fills them."""
        return fill(self)

    def log_normaliser(self, memories):
        """What makes the weighted sum of their log evidence one of log densities.

        It is for memories in coordinates of determinant 1 that are alike or have roots.
        """
        beta, n_hidden = memories.reference_beta, self.values.shape[1] - self.n_seen
        normaliser = memories.energy.log_normaliser(beta, self.n_seen, n_hidden)
        return self.weights @ normaliser

    def labels(self, memories, root=None):
        """The memory of largest posterior of each row, given what is seen."""
        return marginal_logits(self.device, self.values, memories, root)[0].argmax(1)

    def expectation(self, memories, root=None):
        """Sums over the rows under the posteriors of memories, given what is seen.

        Parameters
        ----------
        memories : Memories
            In the coordinates of the rows.
        root : ndarray of shape (n_features, n_features), default=None
            Root of the metric A; None: Euclidean. Memories with roots have those in
            the coordinates of the metric.

        Returns
        -------
        Statistics
            With the moment only if there is a metric, or memories have roots.
        """
        device = self.device
        if memories.roots is not None:
            memories, *settings = in_shapes(memories, root)
            kernel = device.kernels_in_shapes.shaped_seen_expectation
            passes = row_by_row(memories)
        elif root is None:
            memories, settings = memories.astype(self.values.dtype), ()
            kernel, passes = device.kernels.seen_expectation, 4
        else:
            memories = memories.astype(np.float64)
            kernel = device.kernels.metric_expectation
            settings = (Metric.of(root, memories.centers),)
            of_moment = 2 * self.values.shape[1] // len(memories.centers)
            passes = ROW_BY_ROW * (8 + of_moment)
        sums = device.sum_over(
            kernel,
            self.values,
            self.weights,
            memories,
            *settings,
            out=(device.empty(len(self.values)),),
            passes=passes,
        )
        return Statistics(self.total_weight, self.n_values, *sums)


def seen_means(values, weights):
    """Weighted means of what is not missing; 0 where everything is."""
    seen = ~np.isnan(values)
    sums = np.einsum("n,nd->d", weights, np.where(seen, values, 0), dtype=np.float64)
    total = weights @ seen
    return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)


def look_finite(values):
    """Whether all values are finite; rarely False where they are, if they are huge.

    A sum tells, in one pass and one thread. The threads that BLAS wakes for a long dot
    product spin for hundredths of a second when it is done, on cores that kernels need.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(values.sum())


def has_missing(values):
    """Whether something was not seen."""
    return not look_finite(values) and bool(np.isnan(values).any())


def posteriors(logits):
    """The softmax of logits over memories, for each row.

    Where all are -infinity, too far away for the dtype, no memory is preferred.
    """
    beyond = logits.max(axis=1, keepdims=True) == -np.inf
    return softmax(np.where(beyond, logits.dtype.type(0), logits), axis=1)


def marginal_logits(device, X, memories, root=None):
    """Logits over the seen coordinates, and log det A_hh of the hidden ones.

    Parameters
    ----------
    device : CPU or CUDA
        Where to compute them.
    X : ndarray of shape (n_rows, n_features)
    memories : Memories
        In the coordinates of X.
    root : ndarray of shape (n_features, n_features), default=None
        Root of the metric A; None: Euclidean.

    Returns
    -------
    logits : ndarray of shape (n_rows, n_clusters)
    log_determinants : ndarray of shape (n_rows,), float64
        0 for memories with roots: then they are of each, and in the logits.
    """
    out = np.empty((len(X), len(memories.centers)), X.dtype)
    log_determinants = np.zeros(len(X))
    if memories.roots is not None:
        kernel = device.kernels_in_shapes.shaped_seen_logits
        places, passes = (out, log_determinants), row_by_row(memories)
        device.rows_of(kernel, X, *in_shapes(memories, root), out=places, passes=passes)
    elif root is None:
        memories = memories.astype(X.dtype)
        device.rows_of(device.kernels.seen_logits, X, memories, out=(out,))
    else:
        memories = memories.astype(np.float64)
        metric = Metric.of(root, memories.centers)
        device.rows_of(
            device.kernels.metric_logits,
            X,
            memories,
            metric,
            out=(out, log_determinants),
            passes=ROW_BY_ROW,
        )
    return out, log_determinants


def filled(device, X, memories, root=None):
    """The rows with missing values as the memories expect them, given the others."""
    if memories.roots is not None:
        out, kernel = np.empty_like(X), device.kernels_in_shapes.shaped_complete
        arguments, passes = in_shapes(memories, root), row_by_row(memories)
        device.rows_of(kernel, X, *arguments, out=(out,), passes=passes)
        return out
    if root is None:
        logits, _ = marginal_logits(device, X, memories)
        expected = posteriors(logits) @ memories.centers.astype(X.dtype)
        return np.where(np.isnan(X), expected, X)
    memories = memories.astype(np.float64)
    out = np.empty(X.shape, X.dtype)
    metric = Metric.of(root, memories.centers)
    device.rows_of(
        device.kernels.metric_complete,
        X,
        memories,
        metric,
        out=(out,),
        passes=ROW_BY_ROW,
    )
    return out


def in_shapes(memories, root=None):
    """Memories with roots, and their metrics in features, as kernels take them."""
    return memories.astype(np.float64), Shapes.of(memories, root)


def row_by_row(memories):
    """How often a row is compared with all memories: with roots for each feature."""
    return ROW_BY_ROW * (1 + memories.centers.shape[1] // 2)
