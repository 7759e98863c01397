"""Memories with shapes of their own, against SciPy's densities and plain NumPy."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, multivariate_t

from amcluster.energies import StudentT
from amcluster.kernels import Memories, refuse_other_energies, target
from amcluster.kernels.cpu import pairwise, shaped, slices

from .cases import SHAPES, Case, dtypes, in_shapes, random_roots, student_t

KERNELS = target("cpu")
shapes = pytest.mark.parametrize("shape", SHAPES["cpu"], ids=str)
robust = pytest.mark.parametrize("nu", [None, 3.0])


class EStep:
    """The E-step of a mixture with covariances inv(A_k) / (2 beta_k), by SciPy."""

    def __init__(self, X, weights, memories, nu=None):
        X = X.astype(float)
        memories, n_features = memories.astype(float), X.shape[1]
        mu, beta, roots = memories.centers, memories.beta, memories.roots
        log_w, n_clusters = memories.log_weights, len(mu)
        sigma = np.linalg.inv(roots @ roots.transpose(0, 2, 1)) / 2
        sigma /= beta[:, None, None]
        away = X[:, None] - mu
        self.squared = np.einsum("nkd,kde->nke", away, roots)
        self.squared = np.square(self.squared).sum(axis=2)
        normaliser = memories.energy.log_normaliser(beta[0], n_features, 0)
        self.logits = np.empty((len(X), n_clusters))
        for k in range(n_clusters):
            if nu is None:
                density = multivariate_normal(mu[k], sigma[k])
            else:
                density = multivariate_t(mu[k], sigma[k], nu)
            self.logits[:, k] = density.logpdf(X) + log_w[k] - normaliser
        pulls = 1.0
        if nu is not None:
            pulls = (nu + n_features) / (nu + 2 * beta * self.squared)
        self.evidence = logsumexp(self.logits, axis=1)
        p = weights[:, None] * softmax(self.logits, axis=1)
        self.u = u = p * pulls
        self.sums = (
            weights @ self.evidence,
            p.sum(axis=0),
            u.sum(axis=0),
            u.T @ X,
            (u * self.squared).sum(axis=0),
            np.einsum("nk,nkd,nke->kde", u, away, away),
        )


def of_rows(name, rows, memories, *shape, dtype=None):
    out = np.empty((len(rows), *shape), dtype or rows.dtype)
    getattr(KERNELS, name)(rows, memories, out)
    return out


@shapes
@dtypes
@robust
def test_what_is_said_of_rows(shape, dtype, nu):
    case = Case(shape, dtype, own=True)
    memories = in_shapes(case)
    if nu is not None:
        memories = student_t(memories, nu, case.n_features)
    expected = EStep(case.X, case.weights, memories, nu)
    logits = of_rows("logits", case.X, memories, case.n_clusters)
    posteriors = of_rows("posterior", case.X, memories, case.n_clusters)
    case.close(logits, expected.logits)
    case.close(posteriors, softmax(expected.logits, axis=1))
    case.close(of_rows("log_evidence", case.X, memories), expected.evidence)
    labels = of_rows("label", case.X, memories, dtype=np.intp)
    np.testing.assert_array_equal(labels, posteriors.argmax(axis=1))


@shapes
@dtypes
@robust
def test_shaped_expectation(shape, dtype, nu):
    case = Case(shape, dtype, own=True)
    memories = in_shapes(case)
    if nu is not None:
        memories = student_t(memories, nu, case.n_features)
    expected = EStep(case.X, case.weights, memories, nu)
    pulled = np.empty(case.n_rows)
    found = KERNELS.shaped_expectation(case.X, case.weights, memories, pulled)
    for sums, of_reference in zip(found, expected.sums, strict=True):
        case.close(sums, of_reference)
        assert np.asarray(sums).dtype == np.float64
    case.close(pulled, expected.u.sum(axis=1))
    np.testing.assert_array_equal(found[-1], found[-1].transpose(0, 2, 1))


def clusters(n_rows=600, n_clusters=12, n_features=5, apart=0.3):
    """Rows about memories with roots; far apart, few rows of a tile count for each."""
    rng = np.random.default_rng(0)
    centers = apart * rng.normal(size=(n_clusters, n_features))
    X = centers[rng.integers(0, n_clusters, n_rows)]
    X = X + rng.normal(size=X.shape) / 2
    beta = rng.uniform(0.5, 2, n_clusters)
    scales = np.log(beta / beta[0]) / 2
    memories = Memories(centers, np.zeros(n_clusters), beta, log_scales=scales)
    roots = random_roots(n_clusters, n_features)
    memories = memories._replace(roots=roots, dimension=n_features).astype(float)
    return X, rng.uniform(0.5, 2, n_rows), memories


@pytest.mark.parametrize("apart", [0.3, 30.0])
def test_moments_of_rows_that_count(monkeypatch, apart):
    X, weights, memories = clusters(apart=apart)
    found = KERNELS.shaped_expectation(X, weights, memories, np.empty(len(X)))
    expected = EStep(X, weights, memories).sums
    for sums, of_reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(sums, of_reference, rtol=1e-10, atol=1e-10)
    proba = softmax(EStep(X, weights, memories).logits, axis=1)
    of_tile = (proba[: shaped.LANES] >= shaped.NEGLIGIBLE).sum(axis=0)
    assert (of_tile > shaped.FEW).any() == (apart < 1)
    assert (of_tile < shaped.FEW).any() == (apart > 1)


def test_sums_add_over_any_split():
    X, weights, memories = clusters()
    expected = KERNELS.shaped_expectation(X, weights, memories, np.empty(len(X)))
    for at in (1, 127, 128, 300):
        parts = [
            KERNELS.shaped_expectation(
                X[rows].copy(), weights[rows].copy(), memories, np.empty(len(X[rows]))
            )
            for rows in (slice(at), slice(at, None))
        ]
        for one, other, whole in zip(*parts, expected, strict=True):
            np.testing.assert_allclose(one + other, whole, rtol=1e-12, atol=1e-12)


@dtypes
def test_no_row_depends_on_the_others(dtype):
    X, _, memories = clusters()
    X, memories = X.astype(dtype), memories.astype(dtype)
    order = np.random.default_rng(1).permutation(len(X))
    shuffled = X[order].copy()
    for name, *shape in (("logits", 12), ("posterior", 12), ("log_evidence",)):
        expected = of_rows(name, X, memories, *shape)
        found = of_rows(name, shuffled, memories, *shape)
        np.testing.assert_array_equal(found, expected[order])
        alone = of_rows(name, X[7:8].copy(), memories, *shape)
        np.testing.assert_array_equal(alone, expected[7:8])
    pulled, others = np.empty((2, len(X)))
    memories = student_t(memories, 3.0, 5)
    KERNELS.shaped_expectation(X, np.ones(len(X)), memories, pulled)
    KERNELS.shaped_expectation(shuffled, np.ones(len(X)), memories, others)
    np.testing.assert_array_equal(others, pulled[order])


@dtypes
def test_rows_beyond_all_squares_are_infinitely_far(dtype):
    """Their coordinates in a shape may be no numbers."""
    largest = np.finfo(dtype).max
    roots = np.array([[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.5, 0.5]]])
    centers = np.array([[-largest, 0.0], [0.0, 0.0]])
    memories = Memories(centers, np.zeros(2), 1.0, roots=roots).astype(dtype)
    X = np.array([[largest, -largest], [1.0, 2.0]], dtype)
    logits = of_rows("logits", X, memories, 2)
    np.testing.assert_array_equal(logits, [[-np.inf, -np.inf], [-np.inf, -26]])
    np.testing.assert_allclose(of_rows("posterior", X, memories, 2)[0], 0.5)


def test_many_memories(monkeypatch):
    X, weights, memories = clusters()
    expected = of_rows("posterior", X, memories, 12)
    monkeypatch.setattr(slices, "MOST", 5)
    np.testing.assert_allclose(of_rows("posterior", X, memories, 12), expected)
    with pytest.raises(NotImplementedError, match="at most 5: let them share one"):
        KERNELS.shaped_expectation(X, weights, memories, np.empty(len(X)))


def test_memories_keep_their_roots():
    _, _, memories = clusters()
    some = memories.some([3, 1])
    np.testing.assert_array_equal(some.roots, memories.roots[[3, 1]])
    assert memories.astype(np.float32).roots.dtype == np.float32
    assert isinstance(pairwise.pairs_with(memories), pairwise.InShapes)
    without = memories._replace(roots=None)
    assert without.some([1]).astype(np.float32).roots is None
    assert isinstance(pairwise.pairs_with(without), pairwise.InTiles)


def test_learning_through_the_dynamics_refuses_roots():
    _, _, memories = clusters()
    alike = memories._replace(beta=1.0)
    with pytest.raises(NotImplementedError, match=r"one shape.*roots of their own"):
        refuse_other_energies(alike)
    refuse_other_energies(alike._replace(roots=None))


@robust
def test_narrow_numbers_say_the_same(nu):
    X, weights, memories = clusters()
    if nu is not None:
        memories = memories._replace(energy=StudentT(nu)).astype(float)
    narrow = X.astype(np.float32), weights, memories.astype(np.float32)
    for one, other in zip(
        KERNELS.shaped_expectation(*narrow, np.empty(len(X))),
        KERNELS.shaped_expectation(X, weights, memories, np.empty(len(X))),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
