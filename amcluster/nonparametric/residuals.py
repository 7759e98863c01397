"""What is left of rows about the means of fine cells, and what its lengths tell.

Of rows with missing values only what is seen is a residual, since what they are filled
with is too near to what is expected; cells are found in the filled rows.
"""

from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma

from ..execution.select import CPU
from ..kernels import Memories
from ..learning.seeding import k_means
from ..rows.complete import DistinctRows
from ..rows.kinds import by_kind
from ..rows.missing import marginal_logits
from ..spaces.covariance import ledoit_wolf_intensity
from .coordinates import FilledRows

# Least rows over cells for the moments of residuals to exist.
LEAST_FREEDOM = 3


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
        return variance_of_logs(beyond_rounding(squares), self.weights)


class SeenResiduals(NamedTuple):
    """The same of what is seen of rows, in features; NaN where it is not."""

    values: np.ndarray  # (n_rows, n_coordinates)
    weights: np.ndarray  # (n_rows,)
    cells: float
    root: np.ndarray | None  # (n_coordinates, n_coordinates) of FilledRows
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
        half = effective_dimension(self) / 2
        surplus = np.average(polygamma(1, half * part), weights=self.weights)
        surplus -= polygamma(1, half)
        return variance_of_logs(beyond_rounding(squares), self.weights) - surplus

    def _of_features(self):
        filled = np.nan_to_num(self.values)
        return (filled.T * self.weights) @ filled / self.pairs


def cell_residuals(rows, random_state):
    """Residuals of the rows in the cells of a fine k-means; None if there are none."""
    total = rows.total_weight
    n_cells = min(max(2, floor(sqrt(total) / 1.5)), len(rows.values))
    return residuals_in(rows, k_means(rows.whole, n_cells, random_state))


@by_kind
def residuals_in(rows, cells):
    """Residuals of the rows in the cells of a partition; None if there are none."""


@residuals_in.register(DistinctRows)
def _(rows, cells):
    counts = cells.counts[cells.labels]
    shared = counts > 1
    means = cells.sums[cells.labels] / counts[:, None]
    stretch = np.sqrt(counts[shared] / (counts[shared] - 1))
    values = (rows.values - means)[shared] * stretch[:, None]
    freedom = rows.total_weight - len(cells.counts)
    residuals = Residuals(values, rows.weights[shared], freedom)
    noise = np.square(values).sum()
    smallest = np.finfo(rows.values.dtype).eps * np.square(rows.values).sum()
    return residuals if residuals.freedom > LEAST_FREEDOM and noise > smallest else None


@residuals_in.register(FilledRows)
def _(rows, cells):
    # What is seen of rows, about the means of what is seen in their cells.
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
        values[some],
        rows.weights[some],
        float(len(cells.counts)),
        rows.root,
        rows.device,
    )
    smallest = np.finfo(rows.values.dtype).eps * np.square(rows.values).sum()
    noise = np.nansum(np.square(values))
    return residuals if residuals.freedom > LEAST_FREEDOM and noise > smallest else None


@by_kind
def variance_in(rows, metric):
    """Variance of a coordinate of the metric, in the mean over coordinates."""


@variance_in.register(DistinctRows)
def _(rows, metric):
    squares = np.square(metric.of_rows(rows.values)).mean(axis=1)
    return rows.weights @ squares / rows.weights.sum()


@variance_in.register(FilledRows)
def _(rows, metric):
    spread = SeenResiduals(rows.features, rows.weights, 0.0, metric.matrix)
    return np.trace(spread.covariance) / metric.rank


def effective_dimension(residuals):
    """(tr S)^2 / tr S^2 of their covariance, with an unbiased estimate of tr S^2."""
    covariance, freedom = residuals.covariance, residuals.freedom
    trace = np.trace(covariance)
    correction = freedom**2 / ((freedom - 1) * (freedom + 2))
    squares = (np.square(covariance).sum() - trace**2 / freedom) * correction
    dimension = trace**2 / squares if squares > 0 else inf
    return float(np.clip(dimension, 0.5, len(covariance)))


def misfit(residuals):
    """1 where residuals are Gaussian; less the heavier their tails."""
    return min(1.0, dimension_of_lengths(residuals) / effective_dimension(residuals))


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


def beyond_rounding(squares):
    """Squares, with 0 for those that rounding makes of copies of one row."""
    negligible = np.finfo(squares.dtype).eps * squares.mean()
    return np.where(squares > negligible, squares, 0.0)


def variance_of_logs(squares, weights):
    """Weighted variance of the logarithms of what is not 0."""
    logs, weights = np.log(squares[squares > 0]), weights[squares > 0]
    mean = np.average(logs, weights=weights)
    return np.average(np.square(logs - mean), weights=weights)
