"""What the spread within fine cells of the data tells about noise.

Cells of a deliberately fine k-means are smaller than clusters, whatever those are:
spread within them is noise. Its covariance gives a metric in which noise is round, the
eigenvalues the number of dimensions it really has, and the lengths of residuals how far
from Gaussian it is.
"""

from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma

from ._canonical import DistinctRows
from ._seeding import k_means
from ._spread import ledoit_wolf_intensity, span

# Half of the metric is learned, half is the identity: a whole Ledoit-Wolf metric lost
# the classes of one real set, none at all costs ARI on most.
METRIC_SHRINKAGE = 0.5
# Least rows over cells for the moments of residuals to exist.
LEAST_FREEDOM = 3


class Prepared(NamedTuple):
    """Coordinates where noise is round, and what is known of it."""

    matrix: np.ndarray  # (n_features, n_coordinates) from centred rows to coordinates
    effective_dimension: float
    misfit: float  # 1: squared lengths of residuals vary as the model says

    @property
    def scale(self):
        """Squared length in coordinates over that in the metric of determinant 1."""
        return np.exp(np.linalg.slogdet(self.matrix.T @ self.matrix)[1] / self.rank)

    @property
    def rank(self):
        """Number of coordinates."""
        return self.matrix.shape[1]

    @property
    def metric(self):
        """The metric of determinant 1; the identity outside the span of the rows."""
        basis, _ = np.linalg.qr(self.matrix)
        outside = np.eye(len(basis)) - basis @ basis.T
        return self.matrix @ self.matrix.T / self.scale + outside


class Residuals(NamedTuple):
    """Rows about the mean of their cell, scaled to be unbiased."""

    values: np.ndarray  # (n_rows, n_coordinates)
    weights: np.ndarray  # (n_rows,)
    freedom: float  # rows over cells

    @property
    def covariance(self):
        """Weighted mean of the outer products."""
        return (self.values.T * self.weights) @ self.values / self.weights.sum()


def prepare(rows, random_state, learn_metric):
    """Coordinates, effective dimension and misfit for centred distinct rows.

    Parameters
    ----------
    rows : DistinctRows
    random_state : RandomState
    learn_metric : bool
        Otherwise coordinates are only scaled, and the model is taken as exact.

    Returns
    -------
    Prepared
    """
    n_features = rows.values.shape[1]
    matrix = _basis(rows.values) if learn_metric else np.eye(n_features)
    matrix /= _deviation(rows.values @ matrix, rows.weights)
    exact = Prepared(matrix, float(matrix.shape[1]), misfit=1.0)
    if not learn_metric:
        return exact
    residuals = cell_residuals(coordinates(rows, matrix), random_state)
    if residuals is None:
        return exact
    matrix = matrix @ _whitening(residuals)
    matrix /= _deviation(rows.values @ matrix, rows.weights)
    residuals = cell_residuals(coordinates(rows, matrix), random_state)
    if residuals is None:
        return exact
    dimension = effective_dimension(residuals)
    misfit = min(1.0, dimension_of_lengths(residuals) / dimension)
    return Prepared(matrix, dimension, misfit)


def coordinates(rows, matrix):
    """Centred rows in the coordinates of a matrix, in their dtype."""
    values = np.ascontiguousarray(rows.values @ matrix, rows.values.dtype)
    return DistinctRows(values, rows.weights, np.zeros(matrix.shape[1], values.dtype))


def cell_residuals(rows, random_state):
    """Residuals of the rows in the cells of a fine k-means; None if there are none."""
    total = rows.total_weight
    n_cells = min(max(2, floor(sqrt(total) / 1.5)), len(rows.values))
    cells = k_means(rows, n_cells, random_state)
    counts = cells.counts[cells.labels]
    shared = counts > 1
    means = cells.sums[cells.labels] / counts[:, None]
    stretch = np.sqrt(counts[shared] / (counts[shared] - 1))
    values = (rows.values - means)[shared] * stretch[:, None]
    residuals = Residuals(values, rows.weights[shared], total - n_cells)
    noise = np.square(values).sum()
    smallest = np.finfo(rows.values.dtype).eps * np.square(rows.values).sum()
    return residuals if residuals.freedom > LEAST_FREEDOM and noise > smallest else None


def effective_dimension(residuals):
    """(tr S)^2 / tr S^2 of their covariance, with an unbiased estimate of tr S^2."""
    covariance, freedom = residuals.covariance, residuals.freedom
    trace = np.trace(covariance)
    correction = freedom**2 / ((freedom - 1) * (freedom + 2))
    squares = (np.square(covariance).sum() - trace**2 / freedom) * correction
    dimension = trace**2 / squares if squares > 0 else inf
    return float(np.clip(dimension, 0.5, len(covariance)))


def dimension_of_lengths(residuals):
    """Degrees of freedom of the chi^2 whose logarithm varies as squared lengths do.

    It solves trigamma(v / 2) = Var(log |r|^2).
    """
    squares = np.square(residuals.values).sum(axis=1)
    logs, weights = np.log(squares[squares > 0]), residuals.weights[squares > 0]
    mean = np.average(logs, weights=weights)
    variance = np.average(np.square(logs - mean), weights=weights)
    n_features = residuals.values.shape[1]
    if variance <= polygamma(1, n_features / 2):
        return float(n_features)
    if variance >= polygamma(1, 0.25):
        return 0.5
    return brentq(lambda v: polygamma(1, v / 2) - variance, 0.5, n_features)


def _basis(values):
    """Axes that span the rows: features that vary, or fewer where rows are fewer."""
    varies = np.ptp(values, axis=0) > 0
    if not varies.any():
        return np.eye(values.shape[1])
    axes = np.eye(values.shape[1])[:, varies]
    within = span(values[:, varies])
    return axes if within is None else axes @ within


def _whitening(residuals):
    """Triangular root of the inverse of the shrunk covariance."""
    covariance = residuals.covariance
    n_features = len(covariance)
    intensity = ledoit_wolf_intensity(residuals.values, residuals.weights, n_features)
    kept = (1 - intensity) * (1 - METRIC_SHRINKAGE)
    identity = np.eye(n_features) * np.trace(covariance) / n_features
    shrunk = kept * covariance + (1 - kept) * identity
    return np.linalg.cholesky(np.linalg.inv(shrunk))


def _deviation(values, weights):
    """Root of the variance of a feature, in the mean over features; 1 if there is none.

    A power of 2 in the values is a power of 2 here, exactly.
    """
    variance = weights @ np.square(values).mean(axis=1) / weights.sum()
    return np.sqrt(variance) if variance > 0 else 1.0
