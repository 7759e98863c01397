"""How far rows spread about their memory: one radius or covariance, or one for each.

Those that are shared give the inverse temperature, the coordinates in which the metric
is Euclidean, and the spread that maximises the likelihood of residuals.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from .metric import LearnedMetric, inverse_root, shrunk_variances, sizes_and_roots

# Least part of the variance of a column that the prior stands for, well above what
# rounding leaves unknown of a covariance and, in units in the last place, of the means.
LEAST_VARIANCE = 1e-13
LEAST_UNITS = 10
# A shrinkage of 1 would be a prior of infinite weight.
MOST_SHRINKAGE = 1 - 1e-9


class Isotropic(NamedTuple):
    """Covariance variance * I."""

    variance: float
    floor: float  # lowest variance
    fixed: bool = False  # whether it is given

    penalty = 0.0
    metric_root = None  # the metric is Euclidean

    @property
    def beta(self):
        """Inverse temperature, 1/length^2."""
        return 0.5 / self.variance

    def project(self, values):
        """Values in coordinates where the metric is Euclidean: as they are."""
        return values

    def project_rows(self, rows):
        """The same of the values of rows."""
        return rows.values

    def moment(self, rows, weights):
        """Outer products are not needed."""
        return None

    def restore(self, values):
        """The inverse of `project`."""
        return values

    def of_features(self, n_features, basis=None):
        """The covariance of all features."""
        return self.variance * np.eye(n_features)

    def updated(self, moments):
        """The spread that maximises the likelihood of rows with these moments."""
        if self.fixed:
            return self
        return self._replace(variance=max(moments.mean_square, self.floor))

    def widened(self):
        """With twice the variance, unless that is given."""
        return self if self.fixed else self._replace(variance=2 * self.variance)

    def relative_to(self, other):
        """Logarithm of the variance, in units of the other's."""
        return np.log([self.variance / other.variance])

    def scaled(self, logarithm):
        """The spread with this logarithm, relative to it."""
        if self.fixed:
            return self
        (factor,) = np.exp(logarithm)
        return self._replace(variance=max(self.variance * factor, self.floor))


class Shared(NamedTuple):
    """One covariance Sigma for all memories, shrunk towards a multiple of the identity.

    Sigma = (1 - shrinkage) S + shrinkage * target * I for the residuals' covariance S.
    With shrinkage and target kept this is the mode under a prior. For kappa =
    shrinkage / (1 - shrinkage) and T = Sigma / target, the free energy with the penalty
    (kappa / 2) (log det T + tr T^-1 - n_features), which is 0 where Sigma = target * I,
    never rises.

    Where there are fewer rows than features, rows are given in the coordinates of their
    span, and covariance is that of the span; outside it is unseen * I.
    """

    covariance: np.ndarray
    unseen: float
    n_features: int
    shrinkage: float
    target: float
    fixed_beta: float | None = None

    def updated(self, moments):
        """The spread that maximises the penalised likelihood of such rows."""
        covariance = (1 - self.shrinkage) * moments.covariance
        unseen = self.shrinkage * self.target
        covariance += unseen * np.eye(len(covariance))
        free = self._replace(covariance=covariance, unseen=unseen)
        if self.fixed_beta is None:
            return free
        scale = free.beta / self.fixed_beta
        return free._replace(covariance=scale * covariance, unseen=scale * unseen)

    def widened(self):
        """With twice the covariance, unless beta is given."""
        if self.fixed_beta is not None:
            return self
        return self._replace(covariance=2 * self.covariance, unseen=2 * self.unseen)

    def relative_to(self, other):
        """Its triangular root, in units of the other's, and `unseen` likewise.

        Of the diagonal and of `unseen` it is the logarithm: what is extrapolated stays
        positive, and keeps the determinant where that is given.
        """
        root = solve_triangular(
            np.linalg.cholesky(other.covariance),
            np.linalg.cholesky(self.covariance),
            lower=True,
        )
        np.fill_diagonal(root, np.log(np.diag(root)))
        return np.append(root, np.log(self.unseen / other.unseen))

    def scaled(self, logarithm):
        """The spread that has this relative to it."""
        root = np.tril(logarithm[:-1].reshape(self.covariance.shape))
        np.fill_diagonal(root, np.exp(np.diag(root)))
        root = np.linalg.cholesky(self.covariance) @ root
        unseen = self.unseen * np.exp(logarithm[-1])
        return self._replace(covariance=root @ root.T, unseen=unseen)

    @property
    def beta(self):
        """det(Sigma)^(-1 / n_features) / 2: left over by a metric of determinant 1."""
        return 0.5 * np.exp(-self._log_determinant() / self.n_features)

    @property
    def penalty(self):
        """What the prior adds to the mean free energy, in nats."""
        kappa = self.shrinkage / (1 - self.shrinkage)
        identity = np.eye(len(self.covariance))
        inverse = cho_solve((np.linalg.cholesky(self.covariance), True), identity)
        trace = np.trace(inverse) + self._n_unseen() / self.unseen
        log_ratio = self._log_determinant() - self.n_features * np.log(self.target)
        return kappa / 2 * (log_ratio + self.target * trace - self.n_features)

    def project(self, values):
        """Values in coordinates where the metric is Euclidean."""
        return solve_triangular(self._root(), values.T, lower=True).T

    def project_rows(self, rows):
        """The same of the values of rows, where those are."""
        return rows.device.whitened(rows.values, self._root())

    def moment(self, rows, weights):
        """The sum of the outer products of rows."""
        return rows.device.moment(rows.values, weights)

    @property
    def metric_root(self):
        """A root of the metric of determinant 1, with which points are projected."""
        return self.project(np.eye(len(self.covariance)))

    def restore(self, values):
        """The inverse of `project`."""
        return values @ self._root().T

    def precision(self, units, basis):
        """The inverse covariance of all features, as a metric of any determinant.

        `basis` has the axes of the span as columns; None: the features themselves.
        """
        return LearnedMetric(
            units, basis, inverse_root(self.covariance), 1 / self.unseen
        )

    def of_features(self, n_features, basis=None):
        """The covariance of all features; `basis` as for `precision`."""
        if basis is None:
            return self.covariance
        inside = self.covariance - self.unseen * np.eye(len(self.covariance))
        return self.unseen * np.eye(n_features) + basis @ inside @ basis.T

    def _n_unseen(self):
        return self.n_features - len(self.covariance)

    def _log_determinant(self):
        unseen = self._n_unseen() * np.log(self.unseen)
        return np.linalg.slogdet(self.covariance)[1] + unseen

    def _root(self):
        """Triangular root of the inverse metric."""
        return np.linalg.cholesky(2 * self.beta * self.covariance)


class Own(NamedTuple):
    """A covariance Sigma_k for each memory, all drawn towards a common one, C.

    With S_k the scatter of the residuals of a memory, of weight n_k::

        Sigma_k = (S_k + strength * C) / (n_k + strength)

    in its form: of a full one all is kept, of a diagonal one the variances, and of a
    spherical one their mean. C is learned as well, as about the harmonic mean of those
    of the memories, and drawn towards C_0, that of memories that share one.

    This is the mode under inverse-Wishart distributions with `strength` degrees of
    freedom, of Sigma_k about C and of C about C_0, as densities with respect to the
    measure that no change of units alters. With d(A, B) = log det(inv(B) A) +
    tr(inv(A) B) - n_features, which is 0 where A = B, they add to the free energy of
    all rows (strength / 2) (sum_k d(Sigma_k, C) + d(C, C_0)). So none can collapse.
    """

    covariances: np.ndarray  # (n_clusters, n_features, n_features)
    common: np.ndarray  # (n_features, n_features) C
    first: np.ndarray  # (n_features, n_features) C_0
    part: float  # strength, divided by the weight of all rows
    form: str  # "spherical", "diagonal" or "full"

    @classmethod
    def alike(cls, n_clusters, covariance, part, form):
        """All memories with the covariance that they have shared, in their form."""
        common = formed(covariance, form)
        covariances = np.repeat(common[None], n_clusters, axis=0)
        return cls(covariances, common, common, part, form)

    def updated(self, shares, scatters):
        """The spread with a higher penalised likelihood of such rows.

        Given the common covariance, those of memories are the best, and given these it
        is.

        Parameters
        ----------
        shares : ndarray of shape (n_clusters,)
            Weights of the rows of memories, divided by that of all.
        scatters : ndarray of shape (n_clusters, n_features, n_features)
            Sums of the outer products of their residuals, divided by the same.
        """
        worth = (shares + self.part)[:, None, None]
        covariances = (scatters + self.part * self.common) / worth
        covariances = formed(covariances, self.form)
        common = formed(likeliest_common(covariances, self.first), self.form)
        return self._replace(covariances=covariances, common=common)

    @property
    def penalty(self):
        """What the prior adds to the mean free energy, in nats."""
        apart = divergences(self.covariances, self.common).sum()
        return self.part / 2 * (apart + divergences(self.common, self.first))

    def sizes_and_roots(self, matrix=None):
        """Inverse temperatures, and roots of determinant 1 in coordinates x @ matrix.

        None: in the features themselves.
        """
        covariances = self.covariances
        if matrix is not None:
            covariances = matrix.T @ covariances @ matrix
        return sizes_and_roots(covariances)


def divergences(covariances, other):
    """log det(inv(B) A) + tr(inv(A) B) - n_features of covariances A and another, B."""
    trace = np.trace(np.linalg.solve(covariances, other), axis1=-2, axis2=-1)
    log_ratio = np.linalg.slogdet(covariances)[1] - np.linalg.slogdet(other)[1]
    return log_ratio + trace - len(other)


def likeliest_common(covariances, first):
    """The C that minimises sum_k d(Sigma_k, C) + d(C, C_0), as in `Own`.

    Where C_0 = I it has the axes of P, the sum of the inverses of all Sigma_k. Along
    each of them ``p c^2 - (n_clusters - 1) c = 1``, for the eigenvalue p of P.
    """
    root, more = np.linalg.cholesky(first), len(covariances) - 1
    half = np.linalg.solve(root, covariances)
    there = np.linalg.solve(root, half.transpose(0, 2, 1))
    p, axes = np.linalg.eigh(np.linalg.inv(there).sum(axis=0))
    c = (more + np.sqrt(more**2 + 4 * p)) / (2 * p)
    axes = root @ axes
    return (axes * c) @ axes.T


def formed(covariances, form):
    """What a form keeps of covariances, as matrices."""
    if form == "full":
        return covariances
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    if form == "spherical":
        mean = variances.mean(axis=-1, keepdims=True)
        variances = np.broadcast_to(mean, variances.shape)
    return variances[..., None] * np.eye(variances.shape[-1])


class Moments(NamedTuple):
    """Of weighted rows about the means that they are given to."""

    mean_square: float  # variance of a feature, in the mean over features
    covariance: np.ndarray | None  # of the features; None where it is not needed


def covariance_about(means, counts, moment, total):
    """The covariance of rows about their means.

    Parameters
    ----------
    means : ndarray of shape (n_clusters, n_features)
    counts : ndarray of shape (n_clusters,)
        Sums of the weights of their rows.
    moment : ndarray of shape (n_features, n_features)
        Weighted sum of the outer products of the rows.
    total : float
        The weight that it is divided by.
    """
    return (moment - (means.T * counts) @ means) / total


def first_shared(rows, partition, centers, n_features, beta, prior=None):
    """The shrunk covariance of rows about the means of a partition.

    It is shrunk as the spread `prior`. Without one the target is 1, as rows are in
    units of their `within` deviations, and the intensity is that of n_features rows
    more. Fewer would not determine a covariance; Ledoit and Wolf's intensity, which
    such residuals make large, blurs the directions of little spread that may tell
    clusters apart.
    """
    weights, counts = partition.weights, partition.counts
    labels = np.asarray(partition.labels)
    means = centers.copy()
    sums = np.zeros_like(means)
    np.add.at(sums, labels, rows.values * weights[:, None])
    means[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    moment = rows.device.moment(rows.values, weights)
    covariance = covariance_about(means, counts, moment, weights.sum())
    moments = Moments(np.trace(covariance) / n_features, covariance)
    if prior is None:
        shrinkage = min(prior_part(rows), MOST_SHRINKAGE)
        prior = Shared(None, None, n_features, shrinkage, 1.0, beta)
    return prior.updated(moments)


def prior_part(rows):
    """The part of n_features rows in all rows: how much a covariance is shrunk."""
    n_features = len(rows.offset)
    return n_features / (rows.total_weight + n_features)


def within_units(rows, partition):
    """Deviations of the columns of rows about the means of a partition.

    Rows are in units of their own deviations. So the deviations are 1 at most, and 1
    for constant columns; they are no less than makes the prior's part of a variance
    larger than its rounding.
    """
    weights, counts = partition.weights, partition.counts
    alive = counts > 0
    between = (np.square(partition.sums[alive]).T / counts[alive]).sum(axis=1)
    total = weights @ np.square(rows.values)
    rounding = np.finfo(rows.values.dtype).eps * weights.sum()
    variances, varies = np.ones(len(total)), total > rounding
    if varies.any():
        squares = (total - between)[varies]
        variances[varies] = shrunk_variances(squares, weights.sum())
    least = max(LEAST_VARIANCE, LEAST_UNITS * np.finfo(rows.values.dtype).eps)
    least /= prior_part(rows)
    variances = np.clip(variances, min(least, 1.0), 1.0)
    return np.sqrt(variances).astype(rows.values.dtype)


def span(values):
    """Orthonormal basis of the span of centred rows."""
    _, lengths, axes = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    rank = max(1, np.count_nonzero(lengths > 1e-7 * lengths[0]))
    return axes[:rank].T


def ledoit_wolf_intensity(residuals, weights, n_features):
    """Intensity of Ledoit-Wolf shrinkage (2004) of the covariance of weighted rows.

    `sklearn.covariance.ledoit_wolf_shrinkage` for rows of known mean 0, with weights
    that count rows. The rows may be given in the coordinates of their span.
    """
    total = weights.sum()
    covariance = (residuals.T * weights) @ residuals / total
    mean = np.trace(covariance) / n_features
    squares = np.square(covariance).sum()
    fourth = weights @ np.square(np.square(residuals).sum(axis=1)) / total
    noise = (fourth - squares) / total
    signal = squares - n_features * mean**2
    return min(noise, signal) / signal if signal > 0 else 1.0
