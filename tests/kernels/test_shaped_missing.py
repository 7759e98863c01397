"""Rows with missing values and memories with shapes, against SciPy and textbooks."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, multivariate_t

from amcluster.kernels import Memories, Metric, Shapes, target
from amcluster.kernels.cpu import shaped_missing

from .cases import SHAPES, Case, dtypes, in_shapes, random_roots, student_t, with_holes
from .test_missing import metric_root

KERNELS = target("cpu")
shapes = pytest.mark.parametrize("shape", SHAPES["cpu"], ids=str)
robust = pytest.mark.parametrize("nu", [None, 3.0])


class EStep:
    """The E-step of a mixture with covariances inv(A_k) / (2 beta_k), row by row.

    Densities of what is seen are SciPy's, and hidden values by textbook formulas.
    """

    def __init__(self, X, weights, memories, roots, nu=None):
        memories, X = memories.astype(float), X.astype(float)
        self.memories, self.nu = memories, nu
        sigma = np.linalg.inv(roots @ roots.transpose(0, 2, 1)) / 2
        self.sigma = sigma / memories.beta[:, None, None]
        n_clusters, n_features = shape = memories.centers.shape
        self.logits = np.empty((len(X), n_clusters))
        self.u, self.completed = np.empty_like(self.logits), np.empty_like(X)
        counts, squares, sums = np.zeros(n_clusters), np.zeros(n_clusters), 0.0
        sums, moments = np.zeros(shape), np.zeros((*shape, n_features))
        evidence = 0.0
        for i, (x, weight) in enumerate(zip(X, weights, strict=True)):
            met = [self.meet(k, x) for k in range(n_clusters)]
            logits, pulls, squared, filled, left = map(np.array, zip(*met, strict=True))
            p = softmax(logits)
            self.logits[i], self.u[i] = logits, weight * p * pulls
            self.completed[i] = p @ filled
            away = filled - memories.centers
            evidence += weight * logsumexp(logits)
            counts += weight * p
            squares += self.u[i] * squared
            sums += self.u[i][:, None] * filled
            moments += np.einsum("k,kd,ke->kde", self.u[i], away, away)
            moments += weight * p[:, None, None] * left
        self.sums = evidence, counts, self.u.sum(axis=0), sums, squares, moments

    def meet(self, k, x):
        """Logit, IRLS weight, squared distance, the row filled, and its covariance."""
        memories, nu, n_features = self.memories, self.nu, len(x)
        mu, beta, sigma = memories.centers[k], memories.beta[k], self.sigma[k]
        seen, hidden = ~np.isnan(x), np.isnan(x)
        n_seen, s = seen.sum(), sigma[np.ix_(seen, seen)]
        away, filled, left = x[seen] - mu[seen], x.copy(), np.zeros_like(sigma)
        regression = sigma[np.ix_(hidden, seen)] @ np.linalg.inv(s)
        filled[hidden] = mu[hidden] + regression @ away
        rest = sigma[np.ix_(hidden, hidden)] - regression @ sigma[np.ix_(seen, hidden)]
        left[np.ix_(hidden, hidden)] = rest
        squared = away @ np.linalg.solve(s, away) / (2 * beta)
        logit, pull = memories.log_weights[k], 1.0
        if n_seen and nu is None:
            logit += multivariate_normal(mu[seen], s).logpdf(x[seen])
        elif n_seen:
            logit += multivariate_t(mu[seen], s, nu).logpdf(x[seen])
        if nu is not None:
            pull = (nu + n_seen) / (nu + 2 * beta * squared)
        normaliser = memories.energy.log_normaliser(
            memories.beta[0], n_seen, n_features - n_seen
        )
        return logit - normaliser, pull, squared, filled, left


@shapes
@dtypes
@robust
@pytest.mark.parametrize("learned", [False, True])
def test_rows_with_missing_values(shape, dtype, nu, learned):
    case = Case(shape, dtype, own=True)
    X, n_features = with_holes(case), case.n_features
    memories = in_shapes(case)
    if nu is not None:
        memories = student_t(memories, nu, n_features)
    memories = memories.astype(float)
    metrics = Shapes.of(memories, metric_root(n_features) if learned else None)
    expected = EStep(X, case.weights, memories, metrics.roots, nu)
    logits, pulled = np.empty((case.n_rows, case.n_clusters), dtype), np.empty(len(X))
    KERNELS.shaped_seen_logits(X, memories, metrics, logits, pulled)
    case.close(logits, expected.logits)
    np.testing.assert_array_equal(pulled, 0)
    completed = np.empty_like(X)
    KERNELS.shaped_complete(X, memories, metrics, completed)
    case.close(completed, expected.completed)
    np.testing.assert_array_equal(completed[~np.isnan(X)], X[~np.isnan(X)])
    found = KERNELS.shaped_seen_expectation(X, case.weights, memories, metrics, pulled)
    for sums, of_reference in zip(found, expected.sums, strict=True):
        case.close(sums, of_reference)
    case.close(pulled, expected.u.sum(axis=1))


def holed(n_rows=60, n_clusters=3, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    X[rng.random(X.shape) < 0.4] = np.nan
    centers, roots = X[:n_clusters], random_roots(n_clusters, n_features)
    memories = Memories(np.nan_to_num(centers), np.zeros(n_clusters), 0.8, roots=roots)
    memories = memories._replace(dimension=n_features).astype(float)
    return X, rng.uniform(0.5, 2, n_rows), memories


def test_complete_rows_are_as_without_missing_values():
    X, weights, memories = holed()
    X = np.nan_to_num(X)
    pulled, others = np.empty((2, len(X)))
    expected = KERNELS.shaped_expectation(X, weights, memories, pulled)
    found = KERNELS.shaped_seen_expectation(
        X, weights, memories, Shapes.of(memories), others
    )
    for one, other in zip([*found, others], [*expected, pulled], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_equal_roots_are_a_shared_metric():
    X, weights, memories = holed()
    root = memories.roots[1]
    shared = memories._replace(roots=None), Metric.of(root, memories.centers)
    equal = memories._replace(roots=np.array([root] * 3))
    own = equal, Shapes.of(equal)
    logits, others = np.empty((2, len(X), 3))
    determinants, none = np.empty((2, len(X)))
    KERNELS.metric_logits(X, *shared, logits, determinants)
    KERNELS.shaped_seen_logits(X, *own, others, none)
    expected = logits - determinants[:, None] / 2
    np.testing.assert_allclose(others, expected, rtol=1e-9, atol=1e-9)
    completed, again = np.empty((2, *X.shape))
    KERNELS.metric_complete(X, *shared, completed)
    KERNELS.shaped_complete(X, *own, again)
    np.testing.assert_allclose(again, completed, rtol=1e-9, atol=1e-9)
    expected = KERNELS.metric_expectation(X, weights, *shared, none)
    found = KERNELS.shaped_seen_expectation(X, weights, *own, none)
    evidence, counts, irls, sums, squares, moment, log_determinants = expected
    np.testing.assert_allclose(found[0], evidence - log_determinants / 2, rtol=1e-9)
    for one, other in zip(found[1:4], (counts, irls, sums), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[4].sum(), squares, rtol=1e-9)
    between = np.einsum("kd,ke->de", sums, memories.centers)
    about = moment - between - between.T
    about += np.einsum("k,kd,ke->de", irls, memories.centers, memories.centers)
    np.testing.assert_allclose(found[5].sum(axis=0), about, rtol=1e-9, atol=1e-9)


def test_no_row_depends_on_the_others_and_sums_add():
    X, weights, memories = holed()
    metrics = Shapes.of(memories)
    logits, alone = np.empty((len(X), 3)), np.empty((1, 3))
    completed, by_itself = np.empty_like(X), np.empty((1, 4))
    KERNELS.shaped_seen_logits(X, memories, metrics, logits, np.empty(len(X)))
    KERNELS.shaped_complete(X, memories, metrics, completed)
    for i in range(len(X)):
        row = X[i : i + 1].copy()
        KERNELS.shaped_seen_logits(row, memories, metrics, alone, np.empty(1))
        np.testing.assert_array_equal(alone[0], logits[i])
        KERNELS.shaped_complete(row, memories, metrics, by_itself)
        np.testing.assert_array_equal(by_itself[0], completed[i])

    def sums(rows):
        some, of_some = X[rows].copy(), weights[rows].copy()
        return KERNELS.shaped_seen_expectation(
            some, of_some, memories, metrics, np.empty(len(some))
        )

    for at in (1, 17):
        parts = zip(sums(slice(at)), sums(slice(at, None)), strict=True)
        for (one, other), whole in zip(parts, sums(slice(None)), strict=True):
            np.testing.assert_allclose(one + other, whole, rtol=1e-12, atol=1e-12)


def test_a_pattern_is_factored_once(monkeypatch):
    X, _, _ = holed()
    order = shaped_missing.by_pattern(X)
    missing = np.isnan(X[order])
    changes = (missing[1:] != missing[:-1]).any(axis=1).sum()
    assert changes == len(np.unique(missing, axis=0)) - 1
    assert sorted(order) == list(range(len(X)))


def test_rows_beyond_all_squares_are_infinitely_far():
    """Their differences from a center, and what these expect, may be no numbers."""
    _, _, memories = holed(n_features=3)
    largest = np.finfo(float).max
    memories.centers[0] = -largest
    X = np.array([[largest, np.nan, 1e200], [1e200, 1e200, 1e200], [1.0, np.nan, 1.0]])
    logits = np.empty((3, 3))
    KERNELS.shaped_seen_logits(X, memories, Shapes.of(memories), logits, np.empty(3))
    np.testing.assert_array_equal(logits[:2], -np.inf)
    assert logits[2, 0] == -np.inf
    assert np.isfinite(logits[2, 1:]).all()
