"""Distinct rows in canonical order: one answer for order, copies and weights.

A learner that sees only the distinct rows, in the order of their values and with the
weights of equal rows summed, cannot tell a shuffled table from the original, nor a
weight of 3 from three copies.
"""

import numpy as np

from .complete import DistinctRows
from .missing import DistinctRowsWithMissing, seen_means


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
    DistinctRows or DistinctRowsWithMissing
    """
    kept = weights > 0
    if not kept.all():
        X, weights = X[kept], weights[kept]
    missing = np.isnan(X)
    has_missing = bool(missing.any())
    keys = np.where(missing, np.inf, X) if has_missing else X
    order, is_first = canonical_order(keys, weights)
    starts = np.flatnonzero(is_first)
    weights = np.add.reduceat(weights[order], starts)
    values = np.ascontiguousarray(X[order[starts]])
    if has_missing:
        kind, mean = DistinctRowsWithMissing, seen_means(values, weights)
    else:
        kind = DistinctRows
        mean = np.einsum("n,nd->d", weights, values, dtype=np.float64) / weights.sum()
    offset = mean.astype(values.dtype)
    values -= offset
    return kind(values, weights, offset)


def canonical_order(X, weights):
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
