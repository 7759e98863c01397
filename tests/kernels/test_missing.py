"""Rows with missing values, in a metric and without, against textbook formulas."""

import numpy as np
import pytest

from amcluster.kernels import Memories, Metric

from .. import reference
from .cases import Case, cases, dtypes, own_betas, student_t, with_holes


def metric_root(n_features):
    """Root of a metric of determinant 1 that is not the identity."""
    root = np.tril(np.random.default_rng(2).normal(size=(n_features, n_features)))
    root /= n_features
    root[np.diag_indices(n_features)] = np.linspace(0.5, 2, n_features)
    return root / np.exp(np.log(root.diagonal()).mean())


@cases
@dtypes
@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("learned", [False, True])
@own_betas
def test_rows_with_holes(kernels, shape, dtype, robust, learned, own):
    case = Case(shape, dtype, own=own)
    X, n_features = with_holes(case), case.n_features
    nu = 3.0 if robust else None
    memories = student_t(case.memories, nu, n_features) if robust else case.memories
    root = metric_root(n_features) if learned else np.eye(n_features)
    expected = reference.EStepWithHoles(
        X.astype(float),
        case.weights,
        case.mu,
        case.log_w,
        case.beta,
        root @ root.T,
        nu,
    )
    settings = ()
    if learned:
        memories = memories.astype(np.float64)
        settings = (Metric.of(root, memories.centers),)
    logits = np.empty((case.n_rows, case.n_clusters), dtype)
    pulled = np.empty(case.n_rows)
    if learned:
        determinants = np.empty(case.n_rows)
        kernels.metric_logits(X, memories, *settings, logits, determinants)
        case.close(determinants, expected.log_determinants)
        completed = np.empty(X.shape, dtype)
        kernels.metric_complete(X, memories, *settings, completed)
        case.close(completed, expected.completed)
        np.testing.assert_array_equal(completed[~np.isnan(X)], X[~np.isnan(X)])
        sums_of = kernels.metric_expectation
    else:
        kernels.seen_logits(X, memories, logits)
        sums_of = kernels.seen_expectation
    case.close(logits, expected.logits)
    evidence, counts, pulls, sums, squares, *rest = sums_of(
        X, case.weights, memories, *settings, pulled
    )
    case.close(evidence, expected.evidence)
    case.close(counts, expected.counts)
    case.close(squares, expected.squares)
    case.close(pulled, expected.u.sum(axis=1))
    if learned:
        case.close(pulls, expected.u.sum(axis=0))
        case.close(sums, expected.sums)
        case.close(rest[0], expected.moment)
        case.close(rest[1], case.weights @ expected.log_determinants)
    else:
        case.close(pulls, expected.u.T @ ~np.isnan(X))
        case.close(sums, expected.u.T @ np.nan_to_num(X))


def test_rows_with_holes_beyond_all_squares_are_infinitely_far(kernels):
    """Not at distance 0, though two infinities cancel."""
    memories = Memories(np.zeros((2, 3)), np.log([0.4, 0.6]), 1.0).astype(float)
    root = np.linalg.cholesky([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    metric = Metric.of(root, memories.centers)
    X = np.array([[1e200, np.nan, 1e200], [1e200, 1e200, 1e200], [1.0, np.nan, 1.0]])
    logits, determinants = np.empty((3, 2)), np.empty(3)
    kernels.metric_logits(X, memories, metric, logits, determinants)
    np.testing.assert_array_equal(logits[:2], -np.inf)
    assert np.isfinite(logits[2]).all()
    completed = np.empty(X.shape)
    kernels.metric_complete(np.clip(X, -1e150, 1e150), memories, metric, completed)
    assert np.isfinite(completed).all()
