"""A learned metric, by its factors, and the units in which columns are compared.

A metric must not depend on the units that a user happened to choose: columns are
divided by their own deviations first, and all that is learned further is learned of
the quotients.
"""

from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from scipy.linalg import solve_triangular

from ..checks import refuse
from ..execution.select import CPU
from ..kernels import Memories, plain
from ..rows.missing import seen_means

# A column whose deviation is less than so many units in the last place of its mean is
# constant but for rounding.
CONSTANT_UNITS = 1
# The variance of a column within clusters is estimated as if so many rows more had been
# seen, of the columns' mean variance there. Without them a column that is constant
# within clusters would count for more than all others.
MEAN_ROWS = 10


class LearnedMetric(NamedTuple):
    """The metric in which ``y = x / units @ axes @ root`` is Euclidean.

    Squared lengths outside the axes, where there are fewer than features, count
    ``outside`` times; in them all centers are alike. As a matrix it is ::

        A = diag(1 / units) (axes root root^T axes^T + outside (I - axes axes^T))
            diag(1 / units)

    and takes a number for each feature and axis, not for each pair of features.
    """

    units: np.ndarray  # (n_features,) positive
    axes: np.ndarray | None = None  # (n_features, rank) orthonormal; None: the features
    root: np.ndarray | None = None  # (rank, rank) lower triangular; None: the identity
    outside: float = 1.0

    @classmethod
    def of_matrix(cls, matrix):
        """The metric A."""
        matrix = np.asarray(matrix, np.float64)
        try:
            root = np.linalg.cholesky(matrix)
        except LinAlgError as error:
            refuse(
                f"metric_ of shape {matrix.shape} has no root ({error})",
                "a positive definite matrix (n_features, n_features)",
            )
        return cls(np.ones(len(root)), None, root)

    def check(self, n_features):
        """Raise unless the factors fit together, and rows of so many features."""
        shape, rank = np.shape(self.units), self.rank
        axes, root = np.shape(self.axes), np.shape(self.root)
        if (
            shape != (n_features,)
            or (self.axes is not None and axes != (n_features, rank))
            or (self.root is not None and root != (rank, rank))
        ):
            refuse(
                f"metric_ has factors of shapes {shape}, {axes} and {root}",
                f"those of a metric of {n_features} features",
            )

    @property
    def rank(self):
        """Number of coordinates."""
        return len(self.units) if self.axes is None else self.axes.shape[1]

    @property
    def matrix(self):
        """The map from rows to coordinates (n_features, rank)."""
        axes = np.eye(len(self.units)) if self.axes is None else self.axes
        matrix = axes if self.root is None else axes @ self.root
        return matrix / self.units[:, None]

    @property
    def diagonal(self):
        """The diagonal of A."""
        squares = 1.0 if self.axes is None else np.square(self.axes).sum(axis=1)
        inside = np.square(self.matrix * self.units[:, None]).sum(axis=1)
        return (inside + self.outside * (1 - squares)) / np.square(self.units)

    @property
    def scale(self):
        """What squared lengths are multiplied by, beside a metric of determinant 1."""
        logs = -2 * np.log(self.units.astype(np.float64))
        n_outside = len(logs) - self.rank
        log_determinant = logs.sum() + n_outside * np.log(self.outside)
        if self.root is not None:
            log_determinant += 2 * np.log(np.diag(self.root)).sum()
        return np.exp(log_determinant / len(logs))

    def normalised(self):
        """The metric of determinant 1 of this shape."""
        scale = self.scale
        root = np.eye(self.rank) if self.root is None else self.root
        return self._replace(
            root=root / np.sqrt(scale), outside=float(self.outside / scale)
        )

    def astype(self, dtype):
        """The same metric in another floating dtype."""
        factors = (
            None if factor is None else factor.astype(dtype, copy=False)
            for factor in (self.units, self.axes, self.root)
        )
        return LearnedMetric(*factors, self.outside)

    def dense(self):
        """The same metric with the features for axes."""
        if self.axes is None:
            return self
        identity, outside = np.eye(len(self.units)), np.sqrt(self.outside)
        inside = self.axes @ (self.root - outside * np.eye(self.rank)) @ self.axes.T
        full = (inside + outside * identity) / self.units[:, None]
        triangular = np.linalg.qr(full.T)[1].T
        return LearnedMetric(
            np.ones_like(self.units),
            None,
            triangular * np.where(np.diag(triangular) < 0, -1.0, 1.0),
        )

    def in_features(self, roots):
        """What roots of memories, in these coordinates, are in features.

        Returns
        -------
        ndarray of shape (n_clusters, n_features, n_features)
            R_k, the root of the memory's metric ``A_k = R_k @ R_k.T``. Within the axes
            it is as the memory's root says, and outside as the metric's own.
        """
        own = np.eye(self.rank) if self.root is None else self.root
        return np.stack(
            [self._replace(root=own @ root).dense().matrix for root in roots]
        )

    def covariances(self, betas, roots=None):
        """Covariances of memories, in features.

        Parameters
        ----------
        betas : ndarray of shape (n_clusters,) or float
            Inverse temperatures.
        roots : ndarray of shape (n_clusters, rank, rank), default=None
            Those of memories, in these coordinates; None: the identity for all.
        """
        metric = self.dense().matrix if roots is None else self.in_features(roots)
        inverse = np.linalg.inv(metric)
        return (
            np.swapaxes(inverse, -1, -2)
            @ inverse
            / (2 * np.expand_dims(betas, (-1, -2)))
        )

    def to_matrix(self):
        """A (n_features, n_features)."""
        root = self.dense().matrix
        return root @ root.T

    def of_rows(self, values):
        """The coordinates of rows, in their dtype; faster than `coordinates`."""
        dtype = values.dtype
        values = values / self.units.astype(dtype, copy=False)
        for matrix in (self.axes, self.root):
            values = values if matrix is None else values @ matrix
        return np.ascontiguousarray(values, dtype)

    def coordinates(self, points, device=None):
        """The coordinates of points, in their dtype; no point depends on the others."""
        device = device or CPU()
        metric = self.astype(points.dtype)
        points = points / metric.units
        for matrix in (metric.axes, metric.root):
            points = points if matrix is None else projected(device, points, matrix)
        return points

    def length_outside(self, points, device=None):
        """Length of the part of points that is outside the axes, in the metric."""
        metric = self.astype(points.dtype)
        points = points / metric.units
        inside = projected(device or CPU(), points, metric.axes)
        squares = np.square(points).sum(axis=1) - np.square(inside).sum(axis=1)
        return np.sqrt(np.maximum(squares, 0) * points.dtype.type(self.outside))

    def features(self, coordinates):
        """The points within the axes that have these coordinates."""
        points = coordinates
        if self.root is not None:
            points = solve_triangular(self.root, points.T, trans="T", lower=True).T
        if self.axes is not None:
            points = points @ self.axes.T
        return points * self.units

    def coloured_noise(self, noise):
        """Noise of covariance inv(A) out of noise of covariance I, in features."""
        if self.axes is None:
            return self.features(noise)
        inside = noise @ self.axes
        beyond = (noise - inside @ self.axes.T) * (self.units / np.sqrt(self.outside))
        return self.features(inside) + beyond


def projected(device, points, matrix):
    """points @ matrix by the kernel, for which no row depends on the others."""
    matrix = plain(matrix, points.dtype)
    out = np.empty((len(points), matrix.shape[1]), points.dtype)
    # Only their shape matters: it tells how much work a row is.
    memories = Memories(matrix.T, np.zeros(len(matrix.T), matrix.dtype), 1.0)
    device.rows_of(device.kernels.project, points, memories, matrix, out=(out,))
    return out


def inverse_root(covariance):
    """The lower triangular root L of an inverse: L @ L.T = inv(covariance).

    It is had from the root of the covariance, with rows and columns in reverse, and not
    from its inverse, which rounding may leave without a root.
    """
    upper = np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1]
    return solve_triangular(upper, np.eye(len(upper)), lower=False).T


def sizes_and_roots(covariances):
    """Inverse temperatures, and lower triangular roots of determinant 1.

    The inverse of covariance k is ``2 * betas[k] * roots[k] @ roots[k].T``.
    """
    try:
        upper = np.linalg.cholesky(covariances[:, ::-1, ::-1])[:, ::-1, ::-1]
    except LinAlgError:
        # Rounding lost what is narrow in a memory that is very long.
        rounding = np.finfo(np.float64).eps * covariances.shape[1]
        lost = 16 * rounding * np.trace(covariances, axis1=1, axis2=2)
        wider = covariances + lost[:, None, None] * np.eye(covariances.shape[1])
        upper = np.linalg.cholesky(wider[:, ::-1, ::-1])[:, ::-1, ::-1]
    roots = np.tril(np.linalg.inv(upper).transpose(0, 2, 1))
    diagonals = np.diagonal(roots, axis1=1, axis2=2)
    scales = np.exp(np.log(diagonals).mean(axis=1))
    return np.square(scales) / 2, roots / scales[:, None, None]


def column_units(values, weights, offset):
    """Deviations of the columns of centred rows.

    A constant column has none, and its mean, or 1, stands for it.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
        NaN where missing.
    weights : ndarray of shape (n_rows,)
    offset : ndarray of shape (n_features,)
        What was subtracted from the rows.

    Returns
    -------
    units : ndarray of shape (n_features,), dtype of values
    varies : ndarray of shape (n_features,), bool
    """
    units = np.sqrt(seen_means(np.square(values), weights))
    rounding = CONSTANT_UNITS * np.finfo(values.dtype).eps * np.abs(offset)
    varies = (np.fmax.reduce(values) > np.fmin.reduce(values)) & (units > rounding)
    constant = np.where(offset == 0, 1.0, np.abs(offset))
    return np.where(varies, units, constant).astype(values.dtype), varies


def shrunk_variances(squares, total_weight):
    """Variances of columns about centers, of their weighted sums of squares there."""
    squares = np.maximum(squares, 0.0)
    more = MEAN_ROWS * squares.mean() / np.max(total_weight)
    return (squares + more) / (total_weight + MEAN_ROWS)
