"""One radius or one shared covariance: their metric, penalty and M-step."""

import numpy as np
import pytest

from amcluster.learning.seeding import partition_rows
from amcluster.rows.distinct import distinct_rows
from amcluster.spaces.covariance import (
    Isotropic,
    Moments,
    Shared,
    span,
    within_units,
)
from amcluster.spaces.metric import column_units

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(30, 4)) * [1.0, 2.0, 0.5, 1.0]
SCATTER = VALUES.T @ VALUES / 30
MOMENTS = Moments(np.trace(SCATTER) / 4, SCATTER)


def shared(n_features, fixed_beta=None):
    start = Shared(None, None, n_features, 0.3, 1.7, fixed_beta)
    return start.updated(MOMENTS)


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
    units = np.array([1.0, 4.0, 0.1, 30.0])
    precision = spread.precision(units, None)
    covariance = spread.covariance * np.outer(units, units)
    np.testing.assert_allclose(np.linalg.inv(precision.to_matrix()), covariance)
    metric = precision.normalised().to_matrix()
    np.testing.assert_allclose(np.linalg.det(metric), 1)
    rows = VALUES * units
    np.testing.assert_allclose(
        2 * spread.beta * np.square(projected).sum(axis=1),
        precision.scale * np.einsum("ni,ij,nj->n", *[rows, metric, rows]),
    )


def test_precision_outside_the_span():
    spread = shared(7)
    axes = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    units = np.exp(rng.normal(size=7))
    precision = spread.precision(units, axes[:, :4])
    expected = axes @ full_covariance(spread) @ axes.T * np.outer(units, units)
    np.testing.assert_allclose(np.linalg.inv(precision.to_matrix()), expected)
    np.testing.assert_allclose(
        precision.scale, np.linalg.det(expected) ** (-1 / 7), rtol=1e-10
    )


def test_within_units_are_deviations_within_clusters():
    """As many rows tell the prior less and less."""
    apart = np.repeat(1000.0 * np.arange(3)[:, None] * [1.0, 0.1, 0.0], 5000, axis=0)
    noise = rng.normal(size=(15_000, 3)) * [0.5, 3.0, 7.0]
    rows = distinct_rows(apart + noise, np.ones(15_000))
    units, _ = column_units(rows.values, rows.weights, rows.offset)
    rows = rows.in_units(units)
    centers = rows.place(np.unique(apart, axis=0))
    within = within_units(rows, partition_rows(rows, centers)) * units
    np.testing.assert_allclose(within[1:], [3.0, 7.0], rtol=0.1)
    # The noise of the first is a 1600th of its deviation.
    assert within[0] < 30
    alone = rows._replace(values=np.zeros((15_000, 3)))
    np.testing.assert_array_equal(
        within_units(alone, partition_rows(alone, np.zeros((1, 3)))), 1
    )


def test_span():
    wide = rng.normal(size=(5, 3)) @ rng.normal(size=(3, 20))
    basis = span(wide)
    assert basis.shape == (20, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(wide @ basis @ basis.T, wide, atol=1e-12)
    assert span(np.zeros((1, 4))).shape == (4, 1)


def test_isotropic_floor_and_fixed():
    moments = Moments(0.2, None)
    assert Isotropic(1.0, 0.1).updated(moments).beta == 2.5
    assert Isotropic(1.0, 0.5).updated(moments).beta == 1.0
    assert Isotropic(1.0, 0.1, fixed=True).updated(moments).beta == 0.5
