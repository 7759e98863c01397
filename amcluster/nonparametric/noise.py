"""What the spread within fine cells of the data tells about noise.

Cells of a deliberately fine k-means are smaller than clusters, whatever those are:
spread within them is noise. Its covariance gives a metric in which noise is round, the
eigenvalues the number of dimensions it really has, and the lengths of residuals how far
from Gaussian it is.
"""

from copy import deepcopy
from typing import NamedTuple

import numpy as np

from ..spaces.metric import LearnedMetric, column_units, inverse_root
from .column_noise import noise_deviations
from .residuals import cell_residuals, effective_dimension, misfit, variance_in

# Half of the metric is learned, half is the identity: a whole Ledoit-Wolf metric lost
# the classes of one real set, none at all costs ARI on most.
METRIC_SHRINKAGE = 0.5
# Singular values below this part of the largest are 0.
SPAN_TOLERANCE = 1e-7
# With more columns than these, deviations within clusters are taken to be in proportion
# to those of all rows: a single column says little of clusters then, and to learn the
# deviations takes long.
MOST_COLUMNS = 100


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

    def of_all_features(self, covariances, noise):
        """Covariances of memories with those of constant features, which have noise."""
        axes = self.coordinates.axes
        if axes is None:
            return covariances
        used = axes.any(axis=1)
        full = np.repeat(noise * np.eye(len(used))[None], len(covariances), axis=0)
        full[np.ix_(np.ones(len(full), bool), used, used)] = covariances
        return full

    def _of_all_features(self):
        """With constant features, which are no coordinates of the fit."""
        units, axes, root, outside = self.coordinates
        if axes is None or not selects(axes):
            return self.coordinates
        full = np.eye(len(units))
        if root is not None:
            used = axes.any(axis=1)
            full[np.ix_(used, used)] = root
        return LearnedMetric(units, None, full, outside)


def prepare(rows, random_state, learn_metric):
    """Coordinates, effective dimension and misfit for centred distinct rows.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
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
    if metric.rank <= MOST_COLUMNS and (metric.axes is None or selects(metric.axes)):
        metric = _in_units_of_noise(rows, metric, random_state)
    residuals = cell_residuals(rows.in_coordinates(metric), random_state)
    if residuals is None:
        return _exact(metric)
    metric = _scaled(rows, metric._replace(root=_whitening(residuals)))
    residuals = cell_residuals(rows.in_coordinates(metric), random_state)
    if residuals is None:
        return _exact(metric)
    metric = _with_outside(rows, metric, residuals)
    return Prepared(metric, effective_dimension(residuals), misfit(residuals))


def _exact(metric):
    return Prepared(metric, float(metric.rank), misfit=1.0)


def _first_metric(rows):
    """Columns in units of their deviations; of wide tables the axes that tell.

    Constant features are no coordinates.
    """
    units, varies = column_units(rows.features, rows.weights, rows.offset)
    if not varies.any():
        return LearnedMetric(units)
    if rows.spans_fewer_than(np.count_nonzero(varies)):
        return LearnedMetric(units, _leading_axes(rows.values / units, rows.weights))
    if varies.all():
        return LearnedMetric(units)
    return LearnedMetric(units, np.eye(len(units))[:, varies])


def selects(axes):
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
    deviations = noise_deviations(rows.in_coordinates(metric), random_state)
    used = slice(None) if metric.axes is None else metric.axes.any(axis=1)

    def in_units(deviations):
        units = metric.units.copy()
        units[used] *= deviations.astype(units.dtype)
        return _scaled(rows, metric._replace(units=units))

    whole = in_units(deviations)
    residuals = cell_residuals(rows.in_coordinates(whole), random_state)
    if residuals is None:
        return metric
    return in_units(deviations ** misfit(residuals))


def _with_outside(rows, metric, residuals):
    """Outside the axes noise is as within them, where there is some."""
    if metric.axes is None or selects(metric.axes):
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
    variance = variance_in(rows, metric)
    if variance <= 0:
        return metric
    deviation = np.sqrt(variance).astype(metric.units.dtype)
    return metric._replace(units=metric.units * deviation)
