"""Covariances of a memory's own, and the prior that they are drawn from.

The prior is an inverse-Wishart distribution about round noise, in coordinates where
noise is round in the mean. Both its parameters are told by evidence: many degrees of
freedom make all memories alike, few leave a shape to its rows.
"""

from math import inf, log, pi
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ..energies import Gaussian, StudentT
from ..kernels import Memories
from ..spaces.metric import sizes_and_roots

# Degrees of freedom that the evidence chooses from, in units of the number of
# dimensions; infinitely many beside them.
FREEDOMS = 2.0 ** np.arange(1, 10)
# Iterations towards the likeliest variance, from that of the last EM step.
ITERATIONS = 10
# Degrees of freedom of tails that the likelihood chooses from.
TAILS = (4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0, inf)


class InverseWishart(NamedTuple):
    """Covariances about ``variance * I``, as if each had `freedom` rows like that.

    With infinitely many degrees of freedom it is ``variance * I`` for all.
    """

    freedom: float
    variance: float
    n_features: int

    @classmethod
    def likeliest(cls, counts, scatters, variance=None):
        """The prior of largest evidence for the scatters of memories.

        For given degrees of freedom the likeliest variance is the harmonic mean of
        those of the memories, which depend on it; the iteration may start from a known
        one.
        """
        squares = np.maximum(np.linalg.eigvalsh(scatters), 0.0)
        rows, n_features = about_means(counts), squares.shape[1]
        least = np.finfo(np.float64).eps  # of the variance of the data
        alike = max(squares.sum() / (n_features * rows.sum()), least)
        freedoms = FREEDOMS * n_features
        guess = np.full(len(freedoms), max(variance or alike, least))
        for _ in range(ITERATIONS):
            prior = (freedoms * guess)[:, None, None]
            worth = freedoms[:, None, None] + rows[:, None]
            guess = 1 / np.mean(worth / (squares + prior), axis=(1, 2))
            guess = np.maximum(guess, least)
        priors = [cls(*pair, n_features) for pair in zip(freedoms, guess, strict=True)]
        evidence = [
            prior._of_own(
                counts, np.log(squares + prior.freedom * prior.variance).sum(axis=1)
            ).sum()
            for prior in priors
        ]
        priors.append(cls(inf, alike, n_features))
        evidence.append(priors[-1]._of_alike(counts, squares.sum(axis=1)).sum())
        return priors[int(np.argmax(evidence))]

    def log_evidence(self, counts, scatters):
        """Log density of the rows of memories, with means and covariances unknown.

        Parameters
        ----------
        counts : ndarray of shape (n_memories,)
        scatters : ndarray of shape (n_memories, n_features, n_features)
            Sums of the outer products of rows about their mean.

        Returns
        -------
        ndarray of shape (n_memories,)
        """
        if self.freedom == inf:
            return self._of_alike(counts, np.trace(scatters, axis1=1, axis2=2))
        scale = self.freedom * self.variance
        return self._of_own(counts, log_determinants(scatters, scale))

    def covariances(self, counts, scatters):
        """The means of their posteriors (n_memories, n_features, n_features)."""
        identity = np.eye(self.n_features)
        if self.freedom == inf:
            return np.repeat(self.variance * identity[None], len(counts), axis=0)
        worth = self.freedom + about_means(counts)
        prior = self.freedom * self.variance * identity
        return (scatters + prior) / worth[:, None, None]

    def _of_alike(self, counts, squares):
        log_normaliser = about_means(counts) * self.n_features * self._log_scale() / 2
        return -log_normaliser - squares / (2 * self.variance)

    def _log_scale(self):
        return log(2 * pi * self.variance)

    def _of_own(self, counts, log_determinants):
        rows, freedom = about_means(counts), self.freedom
        before = freedom * self.n_features * log(freedom * self.variance)
        after = (freedom + rows) * log_determinants
        ratio = log_gamma(freedom + rows, self.n_features)
        ratio = ratio - log_gamma(freedom, self.n_features)
        return (before - after - rows * self.n_features * log(pi)) / 2 + ratio


class Shaped(NamedTuple):
    """Memories with covariances of their own, as `Grown` is of a common one."""

    centers: np.ndarray  # (n_memories, n_coordinates)
    counts: np.ndarray  # (n_memories,) weight of the rows of each
    scatters: np.ndarray  # (n_memories, n_coordinates, n_coordinates) about the centers
    prior: InverseWishart
    tails: float  # degrees of freedom of the rows about their memory; inf: Gaussian

    @property
    def noise(self):
        """The variance that the covariances are about."""
        return self.prior.variance

    @property
    def covariances(self):
        """The covariance of each, or its scale matrix where tails are heavy."""
        return self.prior.covariances(self.counts, self.scatters)

    def some(self, kept):
        """Some of the memories."""
        return self._replace(
            centers=self.centers[kept],
            counts=self.counts[kept],
            scatters=self.scatters[kept],
        )

    def memories(self, log_weights, power=1.0):
        """The memories as kernels take them; no power but 1 is exact."""
        betas, roots = sizes_and_roots(self.covariances)
        return Memories(
            self.centers,
            log_weights,
            betas,
            energy_of(self.tails),
            float(self.centers.shape[1]),
            np.log(betas / betas[0]) / 2,
            roots,
        )


class LearnedShapes(NamedTuple):
    """What is kept of the covariances of memories, in the metric of determinant 1."""

    beta: np.ndarray | float  # (n_memories,) or one for all
    roots: np.ndarray | None  # (n_memories, n_coordinates, n_coordinates); None: alike
    tails: float
    freedom: float  # of the prior
    prior_beta: float  # of what the covariances are about
    base: tuple | None  # beta and root of the base measure, beside roots of memories

    @classmethod
    def alike(cls, beta):
        """Those of Gaussian memories with one covariance."""
        return cls(float(beta), None, inf, inf, float(beta), None)

    @classmethod
    def of_own(cls, shaped, model, prepared):
        """Those of memories in the coordinates of a preparation."""
        base = shaped.noise + 0.5 / model.base_precision
        both = [*shaped.covariances, base * np.eye(model.n_features)]
        full = prepared.of_all_features(np.array(both), shaped.noise)
        betas, roots = sizes_and_roots(full)
        betas = betas * prepared.scale
        beta = float(0.5 / shaped.noise * prepared.scale)
        base = float(betas[-1]), roots[-1]
        freedom = float(shaped.prior.freedom)
        return cls(betas[:-1], roots[:-1], shaped.tails, freedom, beta, base)

    def after(self, shaped):
        """Those of the memories that `shaped` has become."""
        betas, roots = sizes_and_roots(shaped.covariances)
        return self._replace(beta=betas, roots=roots)

    def shaped(self, centers, counts):
        """The memories with their scatters, in the coordinates of the metric."""
        n_features = centers.shape[1]
        prior = InverseWishart(self.freedom, 0.5 / self.prior_beta, n_features)
        inverses = np.linalg.inv(self.roots)
        covariances = inverses.transpose(0, 2, 1) @ inverses
        covariances = covariances / (2 * self.beta[:, None, None])
        if self.freedom == inf:
            scatters = np.zeros_like(covariances)
        else:
            worth = (self.freedom + about_means(counts))[:, None, None]
            about = self.freedom * prior.variance * np.eye(n_features)
            scatters = worth * covariances - about
        return Shaped(centers, counts, scatters, prior, self.tails)

    def memories(self, centers, log_weights):
        """Memories of these shapes, untempered."""
        if self.roots is None:
            return Memories(centers, log_weights, self.beta)
        log_scales = np.log(self.beta / self.beta[0]) / 2
        dimension, energy = float(centers.shape[1]), energy_of(self.tails)
        return Memories(
            centers, log_weights, self.beta, energy, dimension, log_scales, self.roots
        )


def energy_of(tails):
    """The energy of rows with such tails."""
    return Gaussian() if tails == inf else StudentT(nu=tails)


def log_determinants(matrices, scale=0.0):
    """Log determinants of positive definite matrices plus a scale times I."""
    return np.linalg.slogdet(matrices + scale * np.eye(matrices.shape[1]))[1]


def about_means(counts):
    """The weight of rows about a mean that they tell themselves: one row less."""
    return np.maximum(counts - 1, np.finfo(np.float64).eps)


def log_gamma(freedom, n_features):
    """Log of the multivariate gamma function, at half of `freedom`."""
    steps = np.arange(n_features) / 2
    constant = n_features * (n_features - 1) / 4 * log(pi)
    return constant + gammaln(np.asarray(freedom)[..., None] / 2 - steps).sum(axis=-1)
