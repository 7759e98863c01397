"""Distinct rows in canonical order: one answer for order, copies and weights.

A learner that sees only the distinct rows, in the order of their values and with the
weights of equal rows summed, cannot tell a shuffled table from the original, nor a
weight of 3 from three copies.
"""

from typing import NamedTuple

import numpy as np

from ..execution.select import CPU


class DistinctRows(NamedTuple):
    """Distinct rows, centred, with summed weights; NaN where a value is missing."""

    values: np.ndarray  # (n_distinct, n_features), C-contiguous: (X - offset) / units
    weights: np.ndarray  # (n_distinct,) float64, positive
    offset: np.ndarray  # (n_features,) the weighted mean, in the dtype of values
    has_missing: bool = False  # whether a value is missing
    device: object = CPU()  # where kernels meet them
    units: np.ndarray | float = 1.0  # (n_features,) of values, in those of X

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.weights.sum()

    @property
    def n_values(self):
        """The weight of all values that are not missing."""
        if self.has_missing:
            return self.weights @ np.count_nonzero(~np.isnan(self.values), axis=1)
        return self.total_weight * self.values.shape[1]

    def in_units(self, units):
        """The same rows with columns divided by `units`."""
        return self._replace(values=self.values / units, units=self.units * units)

    def place(self, points):
        """Points of X beside the rows."""
        return (points - self.offset) / self.units

    @property
    def log_units(self):
        """What a change of units adds to the mean log density of a row of X."""
        if np.ndim(self.units) == 0:
            return 0.0
        logs = -np.log(self.units.astype(np.float64))
        if not self.has_missing:
            return logs.sum()
        return self.weights @ (~np.isnan(self.values) @ logs) / self.total_weight

    def with_values(self, values):
        """The same rows in other coordinates, or with missing values filled."""
        return self._replace(values=values, has_missing=False)

    @property
    def seen_weight(self):
        """The weight of all values that are not missing, in rows."""
        if self.has_missing:
            return self.n_values / self.values.shape[1]
        return self.total_weight

    def drawn(self, numbers, weights):
        """Some of the rows, with other weights."""
        return self._replace(values=self.values[numbers], weights=weights)

    def spread_out(self, size):
        """About this many rows, at even steps along their order; all if they are fewer.

        They keep their weights.
        """
        step = -(-len(self.values) // size)
        values, weights = self.values[::step], self.weights[::step]
        return self._replace(
            values=np.ascontiguousarray(values), weights=np.ascontiguousarray(weights)
        )

    @property
    def variances(self):
        """Weighted mean square of each feature about the mean, of what is seen."""
        if self.has_missing:
            return seen_means(np.square(self.values), self.weights)
        squares = np.einsum(
            "n,nd,nd->d", self.weights, self.values, self.values, dtype=np.float64
        )
        return squares / self.total_weight

    @property
    def total_variance(self):
        """Weighted mean squared distance to the mean: length^2, all features summed."""
        if self.has_missing:
            return seen_means(np.square(self.values), self.weights).sum()
        squares = np.einsum(
            "n,nd,nd->", self.weights, self.values, self.values, dtype=np.float64
        )
        return squares / self.total_weight


def distinct_rows(X, weights):
    """Merge equal rows, sort them by value and subtract their weighted mean.

    A missing value, NaN, is a value of its own here, and left out of the mean.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    weights : ndarray of shape (n_rows,), float64
        Not negative; rows of weight 0 are dropped.

    Returns
    -------
    DistinctRows
    """
    kept = weights > 0
    if not kept.all():
        X, weights = X[kept], weights[kept]
    missing = np.isnan(X)
    has_missing = bool(missing.any())
    keys = np.where(missing, np.inf, X) if has_missing else X
    order, is_first = _canonical_order(keys, weights)
    starts = np.flatnonzero(is_first)
    weights = np.add.reduceat(weights[order], starts)
    values = np.ascontiguousarray(X[order[starts]])
    if has_missing:
        mean = seen_means(values, weights)
    else:
        mean = np.einsum("n,nd->d", weights, values, dtype=np.float64) / weights.sum()
    offset = mean.astype(values.dtype)
    values -= offset
    return DistinctRows(values, weights, offset, has_missing)


def seen_means(values, weights):
    """Weighted means of what is not missing; 0 where everything is."""
    seen = ~np.isnan(values)
    sums = np.einsum("n,nd->d", weights, np.where(seen, values, 0), dtype=np.float64)
    total = weights @ seen
    return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)


def _canonical_order(X, weights):
    """Sort by the features, first to last, then by weight.

    Returns the order and, along it, whether a row differs from the one before. Only
    rows that are still tied are looked at again, so that data without ties cost one
    sort of one column. Sorting by weight last makes even the rounding of a summed
    weight the same for any order of the rows.
    """
    order = np.argsort(X[:, 0], kind="stable")
    is_first = _starts(X[order, 0])
    for column in range(1, X.shape[1]):
        tied, group = _tied(is_first)
        if not len(tied):
            break
        key = X[order[tied], column]
        by_key = np.lexsort((key, group))
        order[tied] = order[tied[by_key]]
        is_first[tied] |= _starts(key[by_key])
    tied, group = _tied(is_first)
    order[tied] = order[tied[np.lexsort((weights[order[tied]], group))]]
    return order, is_first


def _starts(values):
    return np.concatenate([[True], values[1:] != values[:-1]])


def _tied(is_first):
    """Positions that share their group with another, and the group of each."""
    group = np.cumsum(is_first)
    is_last = np.append(is_first[1:], True)
    tied = np.flatnonzero(~(is_first & is_last))
    return tied, group[tied]
