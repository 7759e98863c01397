"""Posteriors, evidence and sums over rows, against plain NumPy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax

from amcluster.kernels import Memories, target
from amcluster.kernels.cpu import gram_dynamics

from .cases import Case, cases, dtypes, own_betas, student_t


@cases
@dtypes
@own_betas
def test_posterior_and_log_evidence(kernels, shape, dtype, own):
    case = Case(shape, dtype, own=own)
    logits = case.log_w - case.beta * cdist(case.X, case.mu, "sqeuclidean")
    proba = np.empty((case.n_rows, case.n_clusters), dtype)
    evidence = np.empty(case.n_rows, dtype)
    labels = np.empty(case.n_rows, np.intp)
    kernels.posterior(case.X, case.memories, proba)
    kernels.log_evidence(case.X, case.memories, evidence)
    kernels.label(case.X, case.memories, labels)
    case.close(proba, softmax(logits, axis=1))
    case.close(evidence, logsumexp(logits, axis=1))
    np.testing.assert_array_equal(labels, proba.argmax(axis=1))


@dtypes
def test_posterior_of_far_and_sharp_states_is_finite(kernels, dtype):
    memories = Memories(np.array([[0.0], [1.0], [1.0]]), np.log([0.2, 0.3, 0.5]), 1e9)
    proba = np.empty((3, 3), dtype)
    beyond = np.finfo(dtype).max
    X = np.array([[-1e6], [0.4], [beyond]], dtype=dtype)
    kernels.posterior(X, memories.astype(dtype), proba)
    np.testing.assert_allclose(proba[:2], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(proba[2].sum(), 1)


def test_of_equal_posteriors_the_first_is_the_label(kernels):
    memories = Memories(np.array([[1.0], [-1.0], [1.0]]), np.zeros(3), 1.0)
    labels = np.empty(2, np.intp)
    kernels.label(np.array([[0.0], [2.0]]), memories.astype(float), labels)
    np.testing.assert_array_equal(labels, [0, 0])


@cases
@dtypes
def test_squared_error(kernels, shape, dtype):
    case = Case(shape, dtype)
    labels = np.arange(case.n_rows, dtype=np.intp) % case.n_clusters
    (total,) = kernels.squared_error(case.X, case.weights, case.memories, labels)
    squares = ((case.X.astype(float) - case.mu[labels]) ** 2).sum(axis=1)
    case.close(total, case.weights @ squares)


@cases
@dtypes
@pytest.mark.parametrize("robust", [False, True])
@own_betas
def test_logits_and_expectation(kernels, shape, dtype, robust, own):
    case = Case(shape, dtype, own=own)
    squared = cdist(case.X, case.mu, "sqeuclidean")
    logits, pull = case.log_w - case.beta * squared, np.ones_like(squared)
    memories = case.memories
    if robust:
        nu, n_features = 3.0, case.n_features
        memories = student_t(memories, nu, n_features)
        tails = np.log1p(2 * case.beta * squared / nu)
        logits = case.log_w - (nu + n_features) / 2 * tails
        pull = (nu + n_features) / (nu + 2 * case.beta * squared)
    out, pulled = np.empty(squared.shape, dtype), np.empty(case.n_rows)
    kernels.logits(case.X, memories, out)
    case.close(out, logits)
    evidence, counts, pulls, sums, squares = kernels.expectation(
        case.X, case.weights, memories, pulled
    )
    p = case.weights[:, None] * softmax(logits, axis=1)
    u = p * pull
    case.close(evidence, case.weights @ logsumexp(logits, axis=1))
    case.close(counts, p.sum(axis=0))
    case.close(pulls, u.sum(axis=0))
    case.close(pulled, u.sum(axis=1))
    case.close(sums, u.T @ case.X)
    case.close(squares, (u * squared).sum())


@cases
@dtypes
def test_project(kernels, shape, dtype):
    case = Case(shape, dtype)
    matrix = np.random.default_rng(1).normal(size=(case.n_features, 3)).astype(dtype)
    out = np.empty((case.n_rows, 3), dtype)
    kernels.project(case.X, case.memories, matrix, out)
    case.close(out, case.X @ matrix)


def test_where_inner_products_would_cancel_they_are_not_used():
    far = Case((9, 4, 3, 5), np.float32)
    assert gram_dynamics.pays(far.memories, far.free())
    moved = far.memories._replace(centers=far.memories.centers + np.float32(1e3))
    assert not gram_dynamics.pays(moved, far.free())
    proba, expected = np.empty((2, 9, 3), np.float32)
    target().posterior(far.X, far.memories, expected)
    target().posterior(far.X + np.float32(1e3), moved, proba)
    np.testing.assert_allclose(proba, expected, atol=1e-3)
