"""Valleys between memories, against SciPy's density and where the truth is plain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import gaussian_kde

from amcluster.nonparametric.valley import Density, components, without_bridges
from amcluster.rows.distinct import distinct_rows

PLACES = np.linspace(-1.0, 2.0, 41)


def density_of(positions, weights=None, bandwidth=0.3):
    weights = np.ones(len(positions)) if weights is None else weights
    return Density.at(PLACES, positions, weights, np.ones(len(positions)), bandwidth)


def groups_of(X, centers, width):
    """Groups of round memories, whose posteriors are those of equal counts."""
    rows = distinct_rows(X, np.ones(len(X)))
    centers = np.asarray(centers) - rows.offset
    away = rows.values[:, None] - centers
    posteriors = np.exp(-np.square(away).sum(axis=2) / (2 * width**2))
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    one = width**2 * np.eye(X.shape[1])
    return components(rows, posteriors, centers, np.array([one] * len(centers)))


def test_density_is_that_of_scipy():
    rng = np.random.default_rng(0)
    positions, weights = rng.normal(size=30), rng.uniform(0.5, 2, 30)
    kde = gaussian_kde(positions, lambda kde: 1.0, weights)
    width = np.sqrt(kde.covariance[0, 0])
    ours = density_of(positions, weights, width).log_values
    theirs = np.log(kde(PLACES))
    assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-10)


def test_number_of_rows_is_what_the_variance_of_a_density_says():
    """Var f / f^2 = 1 / n where the kernels of drawn rows are averaged."""
    rng = np.random.default_rng(0)
    draws = [density_of(rng.normal(size=500)) for _ in range(400)]
    variance = np.var([draw.log_values for draw in draws], axis=0)
    # A mean of kernels has their variance, which is less by the square of their mean.
    predicted = np.mean([1 / draw.n_rows for draw in draws], axis=0) - 1 / 500
    assert_allclose(variance, predicted, rtol=0.35)
    assert abs(np.mean(variance / predicted) - 1) < 0.1


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20))
def test_copies_are_weights(positions):
    positions = np.array(positions)
    copies, weights = np.repeat(positions, 3), np.full(len(positions), 3.0)
    several, weighed = density_of(copies), density_of(positions, weights)
    assert_allclose(several.log_values, weighed.log_values, rtol=1e-10)
    assert_allclose(several.n_rows, weighed.n_rows, rtol=1e-10)


def test_valley_is_the_deepest_below_the_lower_peak():
    log_values = np.log([2.0, 8.0, 6.0, 7.0, 1.0, 4.0, 3.0])
    n_rows = np.array([9.0, 80.0, 60.0, 70.0, 10.0, 40.0, 30.0])
    expected = np.log(4 / 1) / np.sqrt(1 / 40 + 1 / 10)
    for order in (slice(None), slice(None, None, -1)):
        density = Density(log_values[order], n_rows[order])
        assert density.valley() == pytest.approx(expected, rel=1e-12)


def test_no_valley_where_a_density_rises_and_falls_once():
    log_values = np.array([0.0, 1.0, 3.0, 3.0, 2.0, -4.0])
    assert Density(log_values, np.ones(6)).valley() == 0


def test_memories_along_a_ring_are_one_group_and_other_rings_others():
    rng = np.random.default_rng(0)
    angles, y = rng.uniform(0, 2 * np.pi, 1200), np.arange(1200) % 2
    X = (1 + 2 * y)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    X += rng.normal(scale=0.1, size=X.shape)
    around = np.linspace(0, 2 * np.pi, 13)[:-1]
    ring = np.column_stack([np.cos(around), np.sin(around)])
    groups = groups_of(X, np.vstack([ring, 3 * ring]), 0.4)
    assert_array_equal(groups, np.repeat([0, 1], 12))


@pytest.mark.parametrize(("distance", "n_groups"), [(0.0, 1), (1.5, 1), (5.0, 2)])
def test_two_blobs_are_one_unless_they_are_far_apart(distance, n_groups):
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0, 0], [distance, 0, 0]])
    X = centers[np.arange(600) % 2] + rng.normal(size=(600, 3))
    assert groups_of(X, centers, 1.0).max() + 1 == n_groups


def test_a_memory_between_joins_two():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(0, 12, 900), rng.normal(scale=0.3, size=900)])
    ends, middle = [[2.0, 0], [10, 0]], [[6.0, 0]]
    assert_array_equal(groups_of(X, ends + middle, 1.5), [0, 0, 0])


def test_memories_without_rows_are_not_joined_to_each_other():
    X = np.random.default_rng(0).normal(size=(50, 2))
    rows = distinct_rows(X, np.ones(50))
    centers, ones = np.array([[90.0, 0], [0, 90]]), np.array([np.eye(2)] * 2)
    groups = components(rows, np.zeros((50, 2)), centers, ones)
    assert_array_equal(groups, [0, 1])


def test_sparse_rows_around_do_not_make_clusters_one():
    """Outliers are a wide memory, without a valley towards any that is inside."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0], [8, 0], [4, 7], [4, 2]])
    widths = np.array([1.0, 1, 1, 8])
    of_row = np.repeat(np.arange(4), [200, 200, 200, 60])
    X = centers[of_row] + widths[of_row, None] * rng.normal(size=(660, 2))
    rows = distinct_rows(X, np.ones(660))
    inside = centers - rows.offset
    squares = np.square(rows.values[:, None] - inside).sum(axis=2)
    joint = np.exp(-squares / (2 * widths**2)) / widths**2 * [200, 200, 200, 60]
    posteriors = joint / joint.sum(axis=1, keepdims=True)
    covariances = widths[:, None, None] ** 2 * np.eye(2)
    groups = components(rows, posteriors, inside, covariances)
    assert_array_equal(groups[:3], [0, 1, 2])
    assert groups[3] < 3


def test_the_least_climb_is_kept_of_several():
    joined = ~np.eye(4, dtype=bool)
    climbs = np.zeros((4, 4))
    climbs[3, :3] = 5.0, 4.0, 1.0  # from 3 up to 0, 1 and 2
    kept = without_bridges(joined, climbs, least=2.0)
    assert_array_equal(kept[3], [False, True, True, False])
    assert_array_equal(kept, kept.T)
    assert kept[:3, :3].sum() == 6
