"""What the spread within fine cells of the data tells about noise.

Cells of a deliberately fine k-means are smaller than clusters, whatever those are:
spread within them is noise. Its covariance gives a metric in which noise is round, the
eigenvalues the number of dimensions it really has, and the lengths of residuals how far
from Gaussian it is.

Of rows with holes only what is seen is a residual, since what they are filled with is
too near to what is expected; cells are found in the filled rows.
"""

from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma

from ._coordinates import HoledRows, coordinates
from ._devices import CPU
from ._missing import marginal_logits
from ._seeding import k_means
from ._spread import ledoit_wolf_intensity, span
from .kernels import Memories

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

    @property
    def intensity(self):
        """Ledoit and Wolf's."""
        n_features = self.values.shape[1]
        return ledoit_wolf_intensity(self.values, self.weights, n_features)

    @property
    def log_variance(self):
        """Weighted variance of the logarithm of squared lengths that are not 0."""
        squares = np.square(self.values).sum(axis=1)
        return variance_of_logs(squares, self.weights)


class SeenResiduals(NamedTuple):
    """The same of what is seen of rows, in features; NaN where it is not."""

    values: np.ndarray  # (n_rows, n_coordinates)
    weights: np.ndarray  # (n_rows,)
    cells: float
    root: np.ndarray | None  # (n_coordinates, n_coordinates) of HoledRows
    device: object = CPU()  # where kernels meet them

    @property
    def pairs(self):
        """Weight of the rows where two features are seen, for each pair of them."""
        seen = ~np.isnan(self.values)
        return np.maximum((seen.T * self.weights) @ seen, 1.0)

    @property
    def freedom(self):
        """Rows over cells, if as many pairs were seen as are in the mean."""
        return self.pairs.mean() - self.cells

    @property
    def covariance(self):
        """Weighted means of the products, over the rows that have both factors."""
        of_features = self._of_features()
        return (
            of_features if self.root is None else self.root.T @ of_features @ self.root
        )

    @property
    def intensity(self):
        """Ledoit and Wolf's, with as many rows for each entry as have both factors."""
        covariance = self._of_features()
        n_features = len(covariance)
        squares = np.square(np.nan_to_num(self.values))
        fourth = (squares.T * self.weights) @ squares / self.pairs
        noise = ((fourth - np.square(covariance)) / self.pairs).sum()
        mean = np.trace(covariance) / n_features
        signal = np.square(covariance).sum() - n_features * mean**2
        return min(noise, signal) / signal if signal > 0 else 1.0

    @property
    def log_variance(self):
        """As of whole residuals: less what parts of Gaussian ones vary more than they.

        A squared length is divided by the part of the row that it is of. The marginal
        one is 0 but for rounding where what is seen is as in the whole cell.
        """
        origin = Memories(np.zeros((1, self.values.shape[1])), np.zeros(1), 1.0)
        logits, _ = marginal_logits(self.device, self.values, origin, self.root)
        part = (~np.isnan(self.values)).mean(axis=1)
        squares = -logits[:, 0] / part
        negligible = np.finfo(squares.dtype).eps * squares.mean()
        half = effective_dimension(self) / 2
        surplus = np.average(polygamma(1, half * part), weights=self.weights)
        surplus -= polygamma(1, half)
        squares = np.where(squares > negligible, squares, 0.0)
        return variance_of_logs(squares, self.weights) - surplus

    def _of_features(self):
        filled = np.nan_to_num(self.values)
        return (filled.T * self.weights) @ filled / self.pairs


def prepare(rows, random_state, learn_metric):
    """Coordinates, effective dimension and misfit for centred distinct rows.

    Parameters
    ----------
    rows : DistinctRows or HoledRows
    random_state : RandomState
    learn_metric : bool
        Otherwise coordinates are only scaled, and the model is taken as exact.

    Returns
    -------
    Prepared
    """
    n_features = rows.values.shape[1]
    matrix = _basis(rows) if learn_metric else np.eye(n_features)
    matrix /= _deviation(rows, matrix)
    exact = Prepared(matrix, float(matrix.shape[1]), misfit=1.0)
    if not learn_metric:
        return exact
    residuals = cell_residuals(coordinates(rows, matrix), random_state)
    if residuals is None:
        return exact
    matrix = matrix @ _whitening(residuals)
    matrix /= _deviation(rows, matrix)
    residuals = cell_residuals(coordinates(rows, matrix), random_state)
    if residuals is None:
        return exact
    dimension = effective_dimension(residuals)
    misfit = min(1.0, dimension_of_lengths(residuals) / dimension)
    return Prepared(matrix, dimension, misfit)


def cell_residuals(rows, random_state):
    """Residuals of the rows in the cells of a fine k-means; None if there are none."""
    total = rows.total_weight
    n_cells = min(max(2, floor(sqrt(total) / 1.5)), len(rows.values))
    cells = k_means(rows, n_cells, random_state)
    if isinstance(rows, HoledRows):
        return _seen_residuals(rows, cells)
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
    variance = residuals.log_variance
    n_features = residuals.values.shape[1]
    if variance <= polygamma(1, n_features / 2):
        return float(n_features)
    if variance >= polygamma(1, 0.25):
        return 0.5
    return brentq(lambda v: polygamma(1, v / 2) - variance, 0.5, n_features)


def variance_of_logs(squares, weights):
    """Weighted variance of the logarithms of what is not 0."""
    logs, weights = np.log(squares[squares > 0]), weights[squares > 0]
    mean = np.average(logs, weights=weights)
    return np.average(np.square(logs - mean), weights=weights)


def _seen_residuals(rows, cells):
    """What is seen of rows about the means of what is seen in their cells."""
    seen = ~np.isnan(rows.features)
    counts, sums = (np.zeros((len(cells.counts), seen.shape[1])) for _ in range(2))
    np.add.at(counts, cells.labels, seen * rows.weights[:, None])
    filled = np.nan_to_num(rows.features) * rows.weights[:, None]
    np.add.at(sums, cells.labels, filled)
    counts, sums = counts[cells.labels], sums[cells.labels]
    shared = seen & (counts > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (rows.features - sums / counts) * np.sqrt(counts / (counts - 1))
    values = np.where(shared, values, np.nan)
    some = shared.any(axis=1)
    residuals = SeenResiduals(
        *(values[some], rows.weights[some], float(len(cells.counts))),
        *(rows.root, rows.device),
    )
    smallest = np.finfo(rows.values.dtype).eps * np.square(rows.values).sum()
    noise = np.nansum(np.square(values))
    return residuals if residuals.freedom > LEAST_FREEDOM and noise > smallest else None


def _basis(rows):
    """Axes that span the rows: features that vary, or fewer where rows are fewer."""
    values = rows.features if isinstance(rows, HoledRows) else rows.values
    varies = np.fmax.reduce(values) > np.fmin.reduce(values)
    if not varies.any():
        return np.eye(values.shape[1])
    axes = np.eye(values.shape[1])[:, varies]
    within = None if isinstance(rows, HoledRows) else span(values[:, varies])
    return axes if within is None else axes @ within


def _whitening(residuals):
    """Triangular root of the inverse of the shrunk covariance."""
    covariance = residuals.covariance
    n_features = len(covariance)
    kept = (1 - residuals.intensity) * (1 - METRIC_SHRINKAGE)
    identity = np.eye(n_features) * np.trace(covariance) / n_features
    shrunk = kept * covariance + (1 - kept) * identity
    return np.linalg.cholesky(np.linalg.inv(shrunk))


def _deviation(rows, matrix):
    """Root of the variance of a coordinate, in the mean over them; 1 if there is none.

    A power of 2 in the values is a power of 2 here, exactly.
    """
    if isinstance(rows, HoledRows):
        spread = SeenResiduals(rows.features, rows.weights, 0.0, matrix)
        variance = np.trace(spread.covariance) / matrix.shape[1]
    else:
        squares = np.square(rows.values @ matrix).mean(axis=1)
        variance = rows.weights @ squares / rows.weights.sum()
    return np.sqrt(variance) if variance > 0 else 1.0
