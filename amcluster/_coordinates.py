"""Rows in the coordinates of a fit, and how they meet memories there.

Coordinates mix features, so a row with holes has none. It is filled for those who need
whole rows, and meets memories by what was seen of it.
"""

from typing import NamedTuple

import numpy as np

from ._blocks import rows_of, sum_over
from ._canonical import DistinctRows
from ._missing import marginal_logits, roughly_filled
from .kernels import Metric, target


class HoledRows(NamedTuple):
    """Distinct rows with holes; whole rows to those that only look at `values`."""

    values: np.ndarray  # (n_distinct, n_coordinates) filled, features @ matrix
    weights: np.ndarray  # (n_distinct,)
    offset: np.ndarray  # (n_coordinates,)
    features: np.ndarray  # (n_distinct, n_coordinates) centred; NaN where missing
    matrix: np.ndarray  # (n_coordinates, n_coordinates)

    has_holes = False  # in values

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.weights.sum()

    @property
    def n_seen(self):
        """Number of values of each row that are not missing."""
        return np.count_nonzero(~np.isnan(self.features), axis=1)

    @property
    def seen_weight(self):
        """The weight of all values that are not missing, in rows."""
        return self.weights @ self.n_seen / self.features.shape[1]

    def drawn(self, numbers, weights):
        """Some of the rows, with other weights."""
        return self._replace(
            values=self.values[numbers],
            weights=weights,
            features=self.features[numbers],
        )

    def meet(self, memories):
        """The memories as kernels for holes take them, and their metric."""
        inverse = np.linalg.inv(self.matrix)
        memories = memories._replace(centers=memories.centers @ inverse)
        return memories.astype(np.float64)


def filled_rows(rows):
    """Distinct rows ready for a fit: as they are, or with their holes filled too."""
    if not rows.has_holes:
        return rows
    identity = np.eye(rows.values.shape[1])
    whole = roughly_filled(rows)
    return HoledRows(whole.values, rows.weights, rows.offset, rows.values, identity)


def coordinates(rows, matrix):
    """Centred rows in the coordinates of a matrix, in their dtype."""
    values = np.ascontiguousarray(rows.values @ matrix, rows.values.dtype)
    offset = np.zeros(matrix.shape[1], values.dtype)
    if not isinstance(rows, HoledRows):
        return DistinctRows(values, rows.weights, offset)
    used = matrix.any(axis=1)  # constant features have no part in it
    features = np.ascontiguousarray(rows.features[:, used])
    return HoledRows(values, rows.weights, offset, features, matrix[used])


def expectation(rows, memories):
    """Sums over rows under the posterior of Gaussian memories.

    Rows with holes are filled as each memory expects them, and squared distances are
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
    kernel, values, settings, passes = target().expectation, rows.values, (), 4
    holed = isinstance(rows, HoledRows)
    if holed:
        memories, values = rows.meet(memories), rows.features
        settings = (Metric.of(rows.matrix, memories.centers),)
        kernel = target().metric_expectation
        passes += 2 * values.shape[1] // len(memories.centers) + 4
    else:
        memories = memories.astype(values.dtype)
    evidence, counts, _, sums, squares, *_ = sum_over(
        *(kernel, values, rows.weights, memories, *settings),
        out=(np.empty(len(values)),),
        passes=passes,
    )
    return evidence, counts, sums @ rows.matrix if holed else sums, squares


def labels(rows, memories):
    """The memory of largest posterior of each row."""
    if isinstance(rows, HoledRows):
        logits, _ = marginal_logits(rows.features, rows.meet(memories), rows.matrix)
        return logits.argmax(axis=1)
    out = np.empty(len(rows.values), np.intp)
    rows_of(target().label, rows.values, memories.astype(rows.values.dtype), out=(out,))
    return out
