"""Exact linear relations between columns, which determine missing values.

A learned density fulfils them only up to its prior. If all rows lie on a plane, except
for rounding errors, projecting an estimate onto the plane brings it closer to the true
values, however many of a row are missing; a single missing value is found exactly.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from .._typing import Floats, Ints

# A direction is a candidate for a relation if the variance of standardised rows along
# it is less than SINGULAR times that of a column; columns whose coefficient is less
# than NEGLIGIBLE times the largest are not part of the relation.
SINGULAR = 1e-6
NEGLIGIBLE = 1e-3
# A relation is exact if its standard deviation over the rows is less than this times
# the square root of the dtype's epsilon.
ROOTS_OF_ROUNDING = 10
# A relation of n columns is accepted if DISTINCT_ROWS * n + MORE_ROWS distinct rows
# fulfil it, or ROWS * n rows, distinct or not. Columns with few values, such as yes and
# no, fulfil many relations in a few rows by chance.
DISTINCT_ROWS = 2
MORE_ROWS = 10
ROWS = 50
# Singular values below this fraction of the largest are ignored: such relations hardly
# depend on the missing values.
LEAST_SAY = 1e-6
# Rows are processed in blocks, since each row needs a matrix of its own.
BLOCK_ROWS = 1024


Relations = tuple[Floats, ...]  # coefficients and values


def fulfil(relations: Relations, filled: Floats, hidden: NDArray[np.bool_]) -> Floats:
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
        for _ in range(2):  # the second time removes the rounding error of the first
            misses = values - filled[rows] @ coefficients.T
            filled[rows] += np.einsum("nr,nrs,nsd->nd", misses, inverse, free)
    return filled


def exact_relations(Z: Floats, covariance: Floats) -> Relations | None:
    """The exact relations between columns of standardised rows with missing values.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_columns)
        NaN where a value is missing.
    covariance : ndarray of shape (n_columns, n_columns)
        Of the rows, with negligible shrinkage.

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


def _candidates(covariance: Floats) -> list[Ints]:
    """The columns of each candidate relation.

    There are as many candidates as directions without variance; combinations of these
    are chosen so that each has a column that the others do not have.
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


def _relation(Z: Floats, columns: Ints) -> tuple[Floats, float] | None:
    """Coefficients and value of a relation; None if the rows do not fulfil it."""
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
