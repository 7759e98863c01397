"""Rows in the coordinates of a fit, and how they meet memories there.

Coordinates mix features, so a row with missing values has none. It is filled for those
who need whole rows, and meets memories by what was seen of it.
"""

from typing import NamedTuple

import numpy as np

from ..execution.select import CPU
from ..execution.threads import ROW_BY_ROW
from ..kernels import Memories, Metric
from ..learning.missing import roughly_filled
from ..rows.distinct import DistinctRows, seen_means
from ..rows.missing import filled, marginal_logits


class RowsWithMissing(NamedTuple):
    """Distinct rows with missing values; complete ones to who looks at `values`."""

    values: np.ndarray  # (n_distinct, n_coordinates) filled, features @ root
    weights: np.ndarray  # (n_distinct,)
    offset: np.ndarray  # (n_coordinates,)
    features: np.ndarray  # (n_distinct, n_coordinates) centred; NaN where missing
    root: np.ndarray | None  # (n_coordinates, n_coordinates); None: the identity
    device: object = CPU()  # as of DistinctRows

    has_missing = False  # in values

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.weights.sum()

    @property
    def seen_weight(self):
        """The weight of all values that are not missing, in rows."""
        return self.weights @ (~np.isnan(self.features)).mean(axis=1)

    def drawn(self, numbers, weights):
        """Some of the rows, with other weights."""
        return self._replace(
            values=self.values[numbers],
            weights=weights,
            features=self.features[numbers],
        )

    def in_features(self, memories):
        """Memories in the coordinates of features."""
        if self.root is None:
            return memories
        return memories._replace(centers=memories.centers @ np.linalg.inv(self.root))

    def filled_by(self, memories):
        """Each row with missing values as its likeliest memory expects them."""
        of_rows, memories = labels(self, memories), self.in_features(memories)
        features = self.features.copy()
        for k in np.unique(of_rows):
            alone = Memories(memories.centers[[k]], np.zeros(1), memories.beta)
            inside = of_rows == k
            features[inside] = filled(self.device, features[inside], alone, self.root)
        return self._filled_with(features)

    def filled_by_each_other(self):
        """Each row with missing values as the others, taken as one kind, expect."""
        mean = seen_means(self.features, self.weights)
        rows = DistinctRows(
            self.features - mean,
            self.weights,
            mean,
            has_missing=True,
            device=self.device,
        )
        return self._filled_with(roughly_filled(rows).values + mean)

    def _filled_with(self, features):
        values = features if self.root is None else features @ self.root
        return self._replace(values=np.ascontiguousarray(values, self.values.dtype))


def filled_rows(rows):
    """Distinct rows ready for a fit: as they are, and with missing values filled."""
    if not rows.has_missing:
        return rows
    whole = roughly_filled(rows)
    return RowsWithMissing(
        whole.values,
        rows.weights,
        rows.offset,
        rows.values,
        root=None,
        device=rows.device,
    )


def coordinates(rows, metric):
    """Centred rows in the coordinates of a metric, in their dtype.

    Where the metric is diagonal, features are coordinates, also if some are missing.
    """
    values = metric.of_rows(rows.values)
    offset = np.zeros(metric.rank, values.dtype)
    if not isinstance(rows, RowsWithMissing):
        return DistinctRows(values, rows.weights, offset, device=rows.device)
    matrix = metric.matrix
    used = matrix.any(axis=1)  # constant features have no part in it
    features, root = rows.features[:, used], matrix[used]
    if np.array_equal(root, np.diag(np.diag(root))):  # a value is a coordinate
        features, root = features * np.diag(root).astype(features.dtype), None
    features = np.ascontiguousarray(features)
    return RowsWithMissing(values, rows.weights, offset, features, root, rows.device)


def about(batch, base_mean, metric):
    """The distinct rows of a batch about the base mean, in coordinates of a metric."""
    about_base = batch.values + (batch.offset - base_mean)
    values = about_base if metric is None else metric.coordinates(about_base)
    if not batch.has_missing:
        return DistinctRows(values, batch.weights, base_mean)
    root = None if metric is None else metric.matrix
    return RowsWithMissing(values, batch.weights, base_mean, about_base, root)


def expectation(rows, memories):
    """Sums over rows under the posterior of Gaussian memories.

    Missing values are as each memory expects them, and squared distances are
    over what is seen.

    Returns
    -------
    evidence : float
        Weighted sum of the logsumexp of the logits.
    counts : ndarray of shape (n_memories,)
        Sums of weight times posterior, p.
    sums : ndarray of shape (n_memories, n_coordinates)
        Of p times row.
    squares : float
        Sum of p times squared distances.
    """
    if isinstance(rows, RowsWithMissing):
        return _expectation_with_missing(rows, memories)
    evidence, counts, _, sums, squares = rows.device.sum_over(
        rows.device.kernels.expectation,
        rows.values,
        rows.weights,
        memories.astype(rows.values.dtype),
        out=(rows.device.empty(len(rows.values)),),
        passes=4,
    )
    return evidence, counts, sums, squares


def _expectation_with_missing(rows, memories):
    device, values = rows.device, rows.features
    out = (device.empty(len(values)),)
    if rows.root is None:
        evidence, counts, pulls, sums, squares = device.sum_over(
            device.kernels.seen_expectation,
            values,
            rows.weights,
            memories.astype(values.dtype),
            out=out,
            passes=4,
        )
        sums += (counts[:, None] - pulls) * memories.centers  # of what is missing
        return evidence, counts, sums, squares
    memories = rows.in_features(memories).astype(np.float64)
    evidence, counts, _, sums, squares, *_ = device.sum_over(
        device.kernels.metric_expectation,
        values,
        rows.weights,
        memories,
        Metric.of(rows.root, memories.centers),
        out=out,
        passes=ROW_BY_ROW * (8 + 2 * values.shape[1] // len(memories.centers)),
    )
    return evidence, counts, sums @ rows.root, squares


def labels(rows, memories):
    """The memory of largest posterior of each row."""
    if isinstance(rows, RowsWithMissing):
        memories = rows.in_features(memories)
        logits, _ = marginal_logits(rows.device, rows.features, memories, rows.root)
        return logits.argmax(axis=1)
    device, memories = rows.device, memories.astype(rows.values.dtype)
    out = np.empty(len(rows.values), np.intp)
    device.rows_of(device.kernels.label, rows.values, memories, out=(out,))
    return out
