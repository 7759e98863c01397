"""What the spread within fine cells of the data tells about noise.

Cells of a deliberately fine k-means are smaller than clusters, whatever those are:
spread within them is noise. Its covariance gives a metric in which noise is round, the
eigenvalues the number of dimensions it really has, and the lengths of residuals how far
from Gaussian it is.

Of rows with missing values only what is seen is a residual, since what they are filled
with is too near to what is expected; cells are found in the filled rows.
"""

from copy import deepcopy
from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma

from ..execution.select import CPU
from ..kernels import Memories
from ..learning.seeding import k_means
from ..rows.missing import marginal_logits
from ..spaces.covariance import ledoit_wolf_intensity
from ..spaces.metric import LearnedMetric, column_units, inverse_root
from .column_noise import noise_deviations
from .coordinates import RowsWithMissing, coordinates

# Half of the metric is learned, half is the identity: a whole Ledoit-Wolf metric lost
# the classes of one real set, none at all costs ARI on most.
METRIC_SHRINKAGE = 0.5
# Singular values below this part of the largest are 0.
SPAN_TOLERANCE = 1e-7
# Of more columns than these, the deviations within clusters are taken to be like those
# of all rows: each tells but a little of clusters, and to learn them takes long.
MOST_COLUMNS = 100
# Least rows over cells for the moments of residuals to exist.
LEAST_FREEDOM = 3


class Prepared(NamedTuple):
    """Coordinates where noise is round, and what is known of it."""

    coordinates: LearnedMetric  # of those of the fit, with any determinant
    effective_dimension: float
    misfit: float  # 1: squared lengths of residuals vary as the model says

    @property
    def scale(self):
        """Squared length in coordinates over that in the metric of determinant 1."""
        return self._of_all_features().scale

    @property
    def rank(self):
        """Number of coordinates."""
        return self.coordinates.rank

    @property
    def metric(self):
        """The metric of determinant 1."""
        return self._of_all_features().normalised()

    def _of_all_features(self):
        """With constant features, which are no coordinates of the fit."""
        units, axes, root, outside = self.coordinates
        if axes is None or not _selects(axes):
            return self.coordinates
        full = np.eye(len(units))
        if root is not None:
            used = axes.any(axis=1)
            full[np.ix_(used, used)] = root
        return LearnedMetric(units, None, full, outside)


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
    root: np.ndarray | None  # (n_coordinates, n_coordinates) of RowsWithMissing
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


def prepare(rows, random_state, learn_metric):
    """Coordinates, effective dimension and misfit for centred distinct rows.

    Parameters
    ----------
    rows : DistinctRows or RowsWithMissing
    random_state : RandomState
    learn_metric : bool
        Otherwise coordinates are only scaled, and the model is taken as exact.

    Returns
    -------
    Prepared
    """
    if not learn_metric:
        units = np.ones(rows.values.shape[1], rows.values.dtype)
        return _exact(_scaled(rows, LearnedMetric(units)))
    metric = _scaled(rows, _first_metric(rows))
    if metric.rank <= MOST_COLUMNS and (metric.axes is None or _selects(metric.axes)):
        metric = _in_units_of_noise(rows, metric, random_state)
    residuals = cell_residuals(coordinates(rows, metric), random_state)
    if residuals is None:
        return _exact(metric)
    metric = _scaled(rows, metric._replace(root=_whitening(residuals)))
    residuals = cell_residuals(coordinates(rows, metric), random_state)
    if residuals is None:
        return _exact(metric)
    metric = _with_outside(rows, metric, residuals)
    return Prepared(metric, effective_dimension(residuals), misfit(residuals))


def _exact(metric):
    return Prepared(metric, float(metric.rank), misfit=1.0)


def cell_residuals(rows, random_state):
    """Residuals of the rows in the cells of a fine k-means; None if there are none."""
    total = rows.total_weight
    n_cells = min(max(2, floor(sqrt(total) / 1.5)), len(rows.values))
    cells = k_means(rows, n_cells, random_state)
    if isinstance(rows, RowsWithMissing):
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
        values[some],
        rows.weights[some],
        float(len(cells.counts)),
        rows.root,
        rows.device,
    )
    smallest = np.finfo(rows.values.dtype).eps * np.square(rows.values).sum()
    noise = np.nansum(np.square(values))
    return residuals if residuals.freedom > LEAST_FREEDOM and noise > smallest else None


def _first_metric(rows):
    """Columns in units of their deviations; of wide tables the axes that tell.

    Constant features are no coordinates.
    """
    values = rows.features if isinstance(rows, RowsWithMissing) else rows.values
    units, varies = column_units(values, rows.weights, rows.offset)
    if not varies.any():
        return LearnedMetric(units)
    if not isinstance(rows, RowsWithMissing) and len(values) < np.count_nonzero(varies):
        return LearnedMetric(units, _leading_axes(values / units, rows.weights))
    if varies.all():
        return LearnedMetric(units)
    return LearnedMetric(units, np.eye(len(units))[:, varies])


def _selects(axes):
    """Whether axes are some of the features."""
    return np.count_nonzero(axes) == axes.shape[1]


def _leading_axes(values, weights):
    """The axes of fewer rows than features along which they spread more than noise.

    Few rows lie in general position: in the span of all of them each is as far from the
    others as noise makes it, and they look like one round cluster whatever they are.
    Singular values of noise alone are known but for its level, which their median
    tells; an axis is kept where its singular value is above the threshold of Gavish
    and Donoho (2014, Sect. III.E), or where the rows have no noise: where they span
    fewer dimensions than centred rows could.
    """
    roots = np.sqrt(weights)[:, None]
    _, lengths, axes = np.linalg.svd(values * roots, full_matrices=False)
    lengths = lengths[lengths > SPAN_TOLERANCE * lengths[0]]
    kept = len(lengths)
    if kept >= len(values) - 1:
        ratio = len(lengths) / values.shape[1]
        threshold = 0.56 * ratio**3 - 0.95 * ratio**2 + 1.82 * ratio + 1.43
        kept = max(1, np.count_nonzero(lengths > threshold * np.median(lengths)))
    return axes[:kept].T


def _in_units_of_noise(rows, metric, random_state):
    """Columns in units of their deviations within clusters, as far as those are told.

    They are told by a model that the rows may not be as: the deviations are taken to
    the power of the misfit, 1 where rows are as the model says.
    """
    # What the fit draws later does not depend on what is drawn here.
    random_state = deepcopy(random_state)
    deviations = noise_deviations(coordinates(rows, metric), random_state)
    used = slice(None) if metric.axes is None else metric.axes.any(axis=1)

    def in_units(deviations):
        units = metric.units.copy()
        units[used] *= deviations.astype(units.dtype)
        return _scaled(rows, metric._replace(units=units))

    whole = in_units(deviations)
    residuals = cell_residuals(coordinates(rows, whole), random_state)
    if residuals is None:
        return metric
    return in_units(deviations ** misfit(residuals))


def _with_outside(rows, metric, residuals):
    """Outside the axes noise is as within them, where there is some."""
    if metric.axes is None or _selects(metric.axes):
        return metric
    values = rows.values / metric.units
    squares = np.square(values).sum(axis=1)
    beyond = squares - np.square(values @ metric.axes).sum(axis=1)
    n_beyond = len(metric.units) - metric.rank
    variance = rows.weights @ beyond / (rows.total_weight * n_beyond)
    rounding = np.finfo(values.dtype).eps * (rows.weights @ squares) / rows.total_weight
    if variance <= rounding:
        return metric
    noise = np.trace(residuals.covariance) / metric.rank
    return metric._replace(outside=float(noise / variance))


def _whitening(residuals):
    """Triangular root of the inverse of the shrunk covariance."""
    covariance = residuals.covariance
    n_features = len(covariance)
    kept = (1 - residuals.intensity) * (1 - METRIC_SHRINKAGE)
    identity = np.eye(n_features) * np.trace(covariance) / n_features
    shrunk = kept * covariance + (1 - kept) * identity
    return inverse_root(shrunk)


def _scaled(rows, metric):
    """With a variance of 1 of a coordinate, in the mean over them, if there is any.

    A power of 2 in the values is a power of 2 in the units, exactly.
    """
    if isinstance(rows, RowsWithMissing):
        spread = SeenResiduals(rows.features, rows.weights, 0.0, metric.matrix)
        variance = np.trace(spread.covariance) / metric.rank
    else:
        squares = np.square(metric.of_rows(rows.values)).mean(axis=1)
        variance = rows.weights @ squares / rows.weights.sum()
    if variance <= 0:
        return metric
    deviation = np.sqrt(variance).astype(metric.units.dtype)
    return metric._replace(units=metric.units * deviation)
