"""One radius or one shared covariance: their metric, penalty and M-step."""

from types import SimpleNamespace

import numpy as np
import pytest

from amcluster._spread import Isotropic, Shared, span

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(30, 4)) * [1.0, 2.0, 0.5, 1.0]
SCATTER = VALUES.T @ VALUES / 30
RESIDUALS = SimpleNamespace(covariance=lambda: SCATTER.copy())


def shared(n_features, fixed_beta=None):
    start = Shared(None, None, n_features, 0.3, 1.7, fixed_beta)
    return start.updated(RESIDUALS)


def full_covariance(spread):
    """Of all features, those outside the span last."""
    full = spread.unseen * np.eye(spread.n_features)
    full[:4, :4] = spread.covariance
    return full


def penalised(spread, covariance):
    """Twice the mean free energy of residuals with scatter SCATTER, and penalty."""
    n_features = spread.n_features
    scatter = np.zeros((n_features, n_features))
    scatter[:4, :4] = SCATTER
    kappa = spread.shrinkage / (1 - spread.shrinkage)
    precision = np.linalg.inv(covariance)
    log_determinant = np.linalg.slogdet(covariance)[1]
    of_rows = log_determinant + np.trace(precision @ scatter)
    ratio = log_determinant - n_features * np.log(spread.target)
    return of_rows + kappa * (ratio + spread.target * np.trace(precision) - n_features)


@pytest.mark.parametrize("n_features", [4, 7])
def test_the_m_step_is_the_minimum(n_features):
    spread = shared(n_features)
    covariance = full_covariance(spread)
    least = penalised(spread, covariance)
    for _ in range(50):
        noise = rng.normal(scale=0.02, size=covariance.shape)
        assert penalised(spread, covariance + noise + noise.T) > least


@pytest.mark.parametrize("n_features", [4, 7])
def test_penalty_and_beta(n_features):
    spread = shared(n_features)
    covariance = full_covariance(spread)
    kappa = 0.3 / 0.7
    scaled = covariance / 1.7
    expected = np.linalg.slogdet(scaled)[1] + np.trace(np.linalg.inv(scaled))
    np.testing.assert_allclose(spread.penalty, kappa / 2 * (expected - n_features))
    determinant = np.linalg.det(covariance)
    np.testing.assert_allclose(2 * spread.beta, determinant ** (-1 / n_features))
    at_target = spread._replace(covariance=1.7 * np.eye(4), unseen=1.7)
    np.testing.assert_allclose(at_target.penalty, 0, atol=1e-12)


@pytest.mark.parametrize("n_features", [4, 7])
def test_fixed_beta_keeps_the_shape(n_features):
    free, fixed = shared(n_features), shared(n_features, fixed_beta=0.8)
    np.testing.assert_allclose(fixed.beta, 0.8)
    ratio = full_covariance(fixed)[:4, :4] / full_covariance(free)[:4, :4]
    np.testing.assert_allclose(ratio, ratio[0, 0])
    np.testing.assert_allclose(fixed.unseen / free.unseen, ratio[0, 0])


def test_projection_is_the_metric():
    spread = shared(4)
    projected = spread.project(VALUES)
    np.testing.assert_allclose(spread.restore(projected), VALUES)
    metric = spread.metric(None)
    np.testing.assert_allclose(
        np.square(projected).sum(axis=1),
        np.einsum("ni,ij,nj->n", *[VALUES, metric, VALUES]),
    )
    np.testing.assert_allclose(np.linalg.det(metric), 1)
    np.testing.assert_allclose(
        np.linalg.inv(metric) / (2 * spread.beta), spread.covariance
    )


def test_metric_outside_the_span():
    spread = shared(7)
    axes = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    metric = spread.metric(axes[:, :4])
    expected = axes @ full_covariance(spread) @ axes.T
    np.testing.assert_allclose(np.linalg.inv(metric) / (2 * spread.beta), expected)


def test_span():
    assert span(VALUES) is None
    wide = rng.normal(size=(5, 3)) @ rng.normal(size=(3, 20))
    basis = span(wide)
    assert basis.shape == (20, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(wide @ basis @ basis.T, wide, atol=1e-12)
    assert span(np.zeros((1, 4))).shape == (4, 1)


def test_isotropic_floor_and_fixed():
    residuals = SimpleNamespace(mean_square=lambda: 0.2)
    assert Isotropic(1.0, 0.1).updated(residuals).beta == 2.5
    assert Isotropic(1.0, 0.5).updated(residuals).beta == 1.0
    assert Isotropic(1.0, 0.1, fixed=True).updated(residuals).beta == 0.5
