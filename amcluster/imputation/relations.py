"""Columns that are linear in others, exactly: what hidden values of theirs must be.

A density that is learned says it only up to its prior. Where rows are on a plane but
for rounding, the nearest point of the plane is nearer to what was hidden than any other
guess, however many values of a row are missing; one missing value is found exactly.
"""

import numpy as np
from scipy.linalg import qr

# A direction in which standardised rows vary by less than this part of a column's
# variance may be one in which they do not vary at all, and a column with less than this
# part in it has none.
SINGULAR = 1e-6
NEGLIGIBLE = 1e-3
# What varies by fewer roots of the rounding than this is rounding.
ROOTS_OF_ROUNDING = 10
# Rows that bear out a relation: for each of its columns so many and some more that
# differ, or as many as this that need not. What has few values, such as yes and no,
# fulfils many a relation in a few rows and breaks it in the next.
DISTINCT_ROWS = 2
MORE_ROWS = 10
ROWS = 50
# Relations that what is hidden changes by less than this part say nothing of it.
LEAST_SAY = 1e-6
# Rows are moved in blocks, each with a matrix of its own.
BLOCK_ROWS = 1024


def fulfil(relations, filled, hidden):
    """The nearest rows that fulfil the relations; only hidden values change.

    Parameters
    ----------
    relations : tuple of ndarray
        As `exact_relations` returns them.
    filled : ndarray of shape (n_rows, n_columns)
    hidden : ndarray of shape (n_rows, n_columns), bool

    Returns
    -------
    ndarray of shape (n_rows, n_columns), float64
    """
    (coefficients, values), filled = relations, filled.astype(np.float64)
    hit = np.flatnonzero((hidden @ (coefficients != 0).T).any(axis=1))
    for start in range(0, len(hit), BLOCK_ROWS):
        rows = hit[start : start + BLOCK_ROWS]
        free = hidden[rows, None] * coefficients
        products = free @ coefficients.T
        inverse = np.linalg.pinv(products, rcond=LEAST_SAY, hermitian=True)
        for _ in range(2):  # once more for what rounding left
            misses = values - filled[rows] @ coefficients.T
            filled[rows] += np.einsum("nr,nrs,nsd->nd", misses, inverse, free)
    return filled


def exact_relations(Z, covariance):
    """The relations between columns that standardised rows with holes fulfil.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_columns)
        NaN where a value is missing.
    covariance : ndarray of shape (n_columns, n_columns)
        Of the rows, shrunk by next to nothing.

    Returns
    -------
    tuple of ndarray or None
        Coefficients (n_relations, n_columns), rows of length 1, and the values
        (n_relations,) that these combinations of the columns have in all rows. None:
        there are none.
    """
    found = []
    for columns in _candidates(covariance):
        relation = _relation(Z, columns)
        if relation is not None:
            found.append(relation)
    if not found:
        return None
    return tuple(map(np.array, zip(*found, strict=True)))


def _candidates(covariance):
    """The columns that each of the relations seems to be between.

    There are as many as directions without variance, each with a column of its own.
    """
    variances, axes = np.linalg.eigh(covariance)
    flat = axes[:, variances < SINGULAR * variances.mean()]
    if not flat.shape[1]:
        return []
    *_, order = qr(flat.T, mode="economic", pivoting=True)
    own = order[: flat.shape[1]]
    combinations = np.linalg.solve(flat[own].T, flat.T)
    largest = np.abs(combinations).max(axis=1, keepdims=True)
    return [np.flatnonzero(row) for row in np.abs(combinations) > NEGLIGIBLE * largest]


def _relation(Z, columns):
    """Its coefficients and value; None if the rows do not bear it out."""
    seen = Z[~np.isnan(Z[:, columns]).any(axis=1)][:, columns].astype(np.float64)
    n_distinct, n_columns = len(np.unique(seen, axis=0)), len(columns)
    few = n_distinct < DISTINCT_ROWS * n_columns + MORE_ROWS
    if few and len(seen) < ROWS * n_columns:
        return None
    mean = seen.mean(axis=0)
    _, lengths, axes = np.linalg.svd(seen - mean, full_matrices=False)
    rounding = ROOTS_OF_ROUNDING * np.sqrt(np.finfo(Z.dtype).eps)
    if lengths[-1] > rounding * np.sqrt(len(seen)):
        return None
    coefficients = np.zeros(Z.shape[1])
    coefficients[columns] = axes[-1]
    return coefficients, mean @ axes[-1]
