"""What is learned of noise, against scikit-learn and known distributions."""

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import special_ortho_group
from sklearn.covariance import ledoit_wolf

from amcluster.nonparametric.coordinates import filled_rows
from amcluster.nonparametric.noise import _whitening, prepare
from amcluster.nonparametric.residuals import (
    Residuals,
    SeenResiduals,
    cell_residuals,
    dimension_of_lengths,
    effective_dimension,
)
from amcluster.rows.distinct import distinct_rows


def prepared(X, weights=None, learn_metric=True):
    rows = distinct_rows(X, np.ones(len(X)) if weights is None else weights)
    return rows, prepare(rows, np.random.RandomState(0), learn_metric)


def noise(spectrum, size, seed=0):
    values = np.random.default_rng(seed).normal(size=(size, len(spectrum)))
    return Residuals(values * np.sqrt(spectrum), np.ones(size), float(size))


@pytest.mark.parametrize("spectrum", [np.ones(6), 1 / np.arange(1, 30)], ids=len)
def test_effective_dimension_of_a_known_covariance(spectrum):
    expected = spectrum.sum() ** 2 / np.square(spectrum).sum()
    many = effective_dimension(noise(spectrum, 20_000))
    np.testing.assert_allclose(many, expected, rtol=0.02)


def test_effective_dimension_needs_few_rows():
    """The plain ratio is that of the sample, no more than its number of rows."""
    spectrum = 1 / np.sqrt(np.arange(1, 60))
    expected = spectrum.sum() ** 2 / np.square(spectrum).sum()
    found = [effective_dimension(noise(spectrum, 25, seed)) for seed in range(200)]
    # The trace of S^2 is unbiased; its inverse is nearly so.
    np.testing.assert_allclose(np.median(found), expected, rtol=0.1)
    plain = []
    for seed in range(200):
        covariance = noise(spectrum, 25, seed).covariance
        plain.append(np.trace(covariance) ** 2 / np.square(covariance).sum())
    assert np.median(plain) < 0.6 * expected


@pytest.mark.parametrize("n_features", [1, 3, 20])
def test_dimension_of_gaussian_lengths(n_features):
    found = dimension_of_lengths(noise(np.ones(n_features), 20_000))
    np.testing.assert_allclose(found, n_features, rtol=0.05)


def test_dimension_of_heavy_tails_is_low():
    residuals = noise(np.ones(10), 5000)
    heavy = np.random.default_rng(1).chisquare(3, size=(5000, 1)) / 3
    residuals = residuals._replace(values=residuals.values / np.sqrt(heavy))
    assert dimension_of_lengths(residuals) < 4
    nearly_all_zero = residuals._replace(
        values=residuals.values * np.logspace(0, -30, 5000)[:, None]
    )
    assert dimension_of_lengths(nearly_all_zero) == 0.5


def test_whitening_is_by_half_of_ledoit_wolf():
    residuals = noise(np.array([4.0, 1.0, 0.2]), 50)
    shrunk, _ = ledoit_wolf(residuals.values, assume_centered=True)
    expected = shrunk / 2 + np.eye(3) * np.trace(shrunk) / 6
    root = _whitening(residuals)
    np.testing.assert_allclose(np.linalg.inv(root @ root.T), expected)


def test_residuals_are_unbiased():
    """Their mean square is the variance within cells, with a degree lost for each."""
    X = np.random.default_rng(0).normal(size=(4, 9, 3))  # as many cells as 36 rows have
    apart = X + 100 * np.arange(4)[:, None, None]
    rows = distinct_rows(apart.reshape(36, 3), np.ones(36))
    residuals = cell_residuals(rows, np.random.RandomState(0))
    variances = np.trace(residuals.covariance)
    np.testing.assert_allclose(variances, X.var(axis=1, ddof=1).sum(axis=1).mean())
    assert residuals.freedom == 36 - 4


def test_residuals_of_copies():
    X = np.random.default_rng(0).normal(size=(300, 3))
    rows = distinct_rows(np.repeat(X, 2, axis=0), np.ones(600))
    residuals = cell_residuals(rows, np.random.RandomState(0))
    assert (residuals.weights == 2).all()
    n_cells = int(np.sqrt(600) / 1.5)
    assert residuals.freedom == 600 - n_cells
    copies = distinct_rows(X, np.full(300, 2.0))
    same = cell_residuals(copies, np.random.RandomState(0))
    np.testing.assert_array_equal(residuals.values, same.values)


def test_blobs_fit_and_heavy_tails_do_not():
    rng = np.random.default_rng(0)
    centers = 10 * np.eye(5)[rng.integers(0, 5, 1000)]
    _, of_blobs = prepared(centers + rng.normal(size=(1000, 5)))
    assert of_blobs.misfit > 0.85
    assert of_blobs.effective_dimension > 4.8
    _, of_tails = prepared(centers + rng.standard_t(2.5, size=(1000, 5)))
    assert of_tails.misfit < 0.7


@pytest.mark.parametrize("learn_metric", [True, False])
def test_coordinates(learn_metric):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)) * [1.0, 10.0, 0.1, 3.0] + 7.0
    rows, result = prepared(X, learn_metric=learn_metric)
    inside = rows.in_coordinates(result.coordinates)
    np.testing.assert_allclose(np.square(inside.values).mean(), 1)
    metric = result.metric.to_matrix()
    np.testing.assert_allclose(np.linalg.det(metric), 1)
    a, b = rows.values[:2]
    squared = result.scale * (a - b) @ metric @ (a - b)
    np.testing.assert_allclose(
        squared, np.square(inside.values[0] - inside.values[1]).sum()
    )
    _, larger = prepared(X * 4.0, learn_metric=learn_metric)
    np.testing.assert_array_equal(
        larger.coordinates.matrix * 4.0, result.coordinates.matrix
    )


def test_dimension_is_that_of_whitened_noise():
    X = np.random.default_rng(0).normal(size=(400, 4)) * [1.0, 10.0, 0.1, 3.0]
    rows, result = prepared(X)
    before = cell_residuals(rows, np.random.RandomState(0))
    assert result.effective_dimension > 1.05 * effective_dimension(before)


def wide_groups(n_rows, n_features, n_groups, seed=0):
    """Groups a deviation apart in each feature, in units that differ."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_groups
    centers = rng.integers(0, 2, (n_groups, n_features))
    X = centers[y] + rng.normal(size=(n_rows, n_features))
    return X * 10 ** rng.uniform(-6, 6, n_features), y


@pytest.mark.parametrize("n_groups", [2, 3, 5])
def test_wide_tables_keep_the_axes_that_tell(n_groups):
    X, _ = wide_groups(60, 1500, n_groups)
    _, result = prepared(X)
    assert result.rank == n_groups - 1
    assert result.coordinates.axes.shape == (1500, n_groups - 1)
    metric = result.metric
    np.testing.assert_allclose(metric.scale, 1)
    # Outside noise is as within: its mean square is that of coordinates.
    rows = distinct_rows(X, np.ones(60))
    outside = np.square(metric.length_outside(rows.values)).mean() / (
        1500 - metric.rank
    )
    noise = cell_residuals(rows.in_coordinates(metric), np.random.RandomState(0))
    np.testing.assert_allclose(outside, np.diag(noise.covariance).mean(), rtol=0.2)


def test_wide_rows_that_span_little_keep_all_of_it():
    rng = np.random.default_rng(0)
    turn = special_ortho_group.rvs(20, random_state=0)
    _, result = prepared(np.pad(rng.normal(size=(15, 4)), ((0, 0), (0, 16))) @ turn)
    assert result.rank == 4


def test_units_of_noise_are_found_whatever_the_units():
    """Cells of k-means alone cut a column that is all noise into slabs."""
    rng = np.random.default_rng(0)
    centers = 9.0 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])[rng.integers(0, 3, 600)]
    X = centers + rng.normal(size=(600, 3))
    for units in ([1.0, 1.0, 1.0], [1e6, 1.0, 1e-6]):
        _, result = prepared(X * units)
        noise = np.sqrt(1 / np.diag(result.metric.to_matrix())) / units
        np.testing.assert_allclose(noise / noise[0], 1, rtol=0.2)


@pytest.mark.parametrize("X", [np.ones((5, 2)), np.eye(3), np.eye(2)[[0, 1] * 50]])
def test_without_noise_the_model_is_taken_as_exact(X):
    _, result = prepared(X)
    assert result.misfit == 1
    assert result.effective_dimension == result.rank


# With holes


def holed(X, rate, seed=0):
    return np.where(np.random.default_rng(seed).random(X.shape) < rate, np.nan, X)


def test_seen_residuals_without_holes_are_residuals():
    values = noise(np.array([4.0, 1.0, 0.2]), 50).values
    weights = np.random.default_rng(0).integers(1, 4, 50).astype(float)
    whole = Residuals(values, weights, weights.sum() - 7)
    seen = SeenResiduals(values, weights, 7.0, None)
    for name in ("covariance", "intensity", "freedom", "log_variance"):
        np.testing.assert_allclose(getattr(seen, name), getattr(whole, name))
    root = np.tri(3)
    turned = Residuals(values @ root, weights, whole.freedom)
    seen = seen._replace(root=root)
    np.testing.assert_allclose(seen.covariance, turned.covariance)
    np.testing.assert_allclose(seen.log_variance, turned.log_variance)


def test_seen_residuals_are_unbiased():
    """Of what is seen in each cell, a degree is lost for each feature."""
    X = np.random.default_rng(0).normal(size=(4, 9, 3))
    X[0, :4, 1] = X[2, :5, 0] = np.nan
    apart = X + 100 * np.arange(4)[:, None, None]
    rows = filled_rows(distinct_rows(apart.reshape(36, 3), np.ones(36)))
    residuals = cell_residuals(rows, np.random.RandomState(0))
    n_seen = np.count_nonzero(~np.isnan(X), axis=1)
    expected = (n_seen * np.nanvar(X, axis=1, ddof=1)).sum(axis=0) / n_seen.sum(axis=0)
    np.testing.assert_allclose(np.diag(residuals.covariance), expected)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_holes_leave_what_is_learned_of_noise(rate):
    rng = np.random.default_rng(0)
    centers = 12 * np.eye(6)[rng.integers(0, 6, 2000)]
    mixing = rng.normal(size=(6, 6)) / 3 + np.eye(6)
    tails = np.sqrt(rng.chisquare(4, size=(2000, 1)) / 4)
    for scale in (1.0, tails):
        X = centers + rng.normal(size=(2000, 6)) @ mixing / scale
        _, whole = prepared(X)
        rows = filled_rows(distinct_rows(holed(X, rate), np.ones(2000)))
        result = prepare(rows, np.random.RandomState(0), True)
        np.testing.assert_allclose(result.misfit, whole.misfit, rtol=0.25)
        np.testing.assert_allclose(
            result.effective_dimension, whole.effective_dimension, rtol=0.12
        )
        np.testing.assert_allclose(
            result.metric.to_matrix(), whole.metric.to_matrix(), rtol=0.15, atol=0.25
        )
        np.testing.assert_allclose(result.scale, whole.scale, rtol=0.1)


def test_residuals_of_rounding_are_no_residuals():
    """Rows that are as their whole cell where they are seen."""
    values = np.vstack([noise(np.ones(3), 200).values, np.full((50, 3), 1e-17)])
    seen = SeenResiduals(values, np.ones(250), 5.0, np.eye(3) + np.tri(3))
    np.testing.assert_allclose(seen.log_variance, polygamma(1, 1.5), rtol=0.4)
