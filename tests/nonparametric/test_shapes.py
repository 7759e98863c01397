"""Covariances of memories: their prior, rounding, merges and the rarity of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, multivariate_t

from amcluster.nonparametric.merging import joined, overlap
from amcluster.nonparametric.rounding import rounding_noise, smallest_steps
from amcluster.nonparametric.shapes import InverseWishart, Shaped, sizes_and_roots
from amcluster.nonparametric.tail import Tail


def rows_and_scatter(n_rows, n_features, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) @ rng.normal(size=(n_features,) * 2)
    return X, X.T @ X


@pytest.mark.parametrize("freedom", [4.0, 9.0, 200.0])
def test_evidence_is_the_product_of_predictives(freedom):
    """Each row given those before, about a known mean: one row less than the count."""
    X, scatter = rows_and_scatter(12, 3)
    prior = InverseWishart(freedom, 0.7, 3)
    before, expected = freedom * 0.7 * np.eye(3), 0.0
    for i, x in enumerate(X):
        degrees = freedom + i - 3 + 1
        expected += multivariate_t(np.zeros(3), before / degrees, degrees).logpdf(x)
        before = before + np.outer(x, x)
    found = prior.log_evidence(np.array([13.0]), scatter[None])
    np.testing.assert_allclose(found, expected)


def test_evidence_of_alike_memories_is_their_likelihood():
    X, scatter = rows_and_scatter(12, 3)
    prior = InverseWishart(np.inf, 0.7, 3)
    expected = multivariate_normal(np.zeros(3), 0.7 * np.eye(3)).logpdf(X).sum()
    found = prior.log_evidence(np.array([13.0]), scatter[None])
    np.testing.assert_allclose(found, expected)
    many = InverseWishart(1e9, 0.7, 3).log_evidence(np.array([13.0]), scatter[None])
    np.testing.assert_allclose(many, expected, rtol=1e-5)


def test_the_likeliest_prior_is_the_largest_of_all():
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 60, 5).astype(float)
    scatters = np.array([rows_and_scatter(int(n) - 1, 3, int(n))[1] for n in counts])
    prior = None
    for _ in range(20):  # the iteration goes on from step to step
        variance = None if prior is None else prior.variance
        prior = InverseWishart.likeliest(counts, scatters, variance)

    def loss(log_variance, freedom):
        other = InverseWishart(freedom, np.exp(log_variance), 3)
        return -other.log_evidence(counts, scatters).sum()

    best = loss(np.log(prior.variance), prior.freedom)
    for freedom in 3 * 2.0 ** np.arange(1, 10):
        other = minimize_scalar(loss, args=(freedom,), bounds=(-9, 9), method="bounded")
        assert best <= other.fun + 1e-6 * abs(best)


def test_unlike_memories_have_a_weak_prior_and_alike_ones_a_strong_one():
    alike = np.array([400 * np.eye(2)] * 6)
    counts = np.full(6, 401.0)
    assert InverseWishart.likeliest(counts, alike).freedom > 500
    unlike = alike * np.array([0.01, 1, 100, 1, 0.1, 10])[:, None, None]
    assert InverseWishart.likeliest(counts, unlike).freedom == 4


@given(st.integers(1, 5), st.integers(0, 99))
def test_roots_are_of_the_inverse(n_features, seed):
    scatters = np.array(
        [rows_and_scatter(40, n_features, seed + 100 * i)[1] for i in range(3)]
    )
    betas, roots = sizes_and_roots(scatters)
    np.testing.assert_allclose(np.linalg.det(roots), 1)
    np.testing.assert_array_equal(roots, np.tril(roots))
    inverses = 2 * betas[:, None, None] * roots @ roots.transpose(0, 2, 1)
    products = inverses @ scatters
    np.testing.assert_allclose(products, [np.eye(n_features)] * 3, atol=1e-6)


def test_a_joined_memory_has_the_scatter_of_all_rows():
    parts = [rows_and_scatter(n, 2, n)[0] + n for n in (5, 9)]
    means = np.array([p.mean(axis=0) for p in parts])
    scatters = np.array(
        [(p - m).T @ (p - m) for p, m in zip(parts, means, strict=True)]
    )
    prior = InverseWishart(np.inf, 1.0, 2)
    shaped = Shaped(means, np.array([5.0, 9.0]), scatters, prior, np.inf)
    both = joined(shaped, [0], [1])
    X = np.vstack(parts)
    np.testing.assert_allclose(both.centers[0], X.mean(axis=0))
    np.testing.assert_allclose(both.scatters[0], len(X) * np.cov(X.T, bias=True))
    np.testing.assert_allclose(both.counts, 14)


def test_overlap_is_the_entropy_of_who_of_the_two_it_is():
    posteriors = np.array([[0.5, 0.5], [1.0, 0.0], [0.2, 0.2]])
    weights = np.array([1.0, 5.0, 2.0])
    np.testing.assert_allclose(overlap(posteriors, weights), 1.8 * np.log(2))


def test_steps_are_those_that_values_were_rounded_to():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=500).round(1), rng.normal(size=500), np.ones(500)]
    X[3, 0] = np.nan
    steps = smallest_steps(X - 0.3, np.full(3, 0.3))
    np.testing.assert_allclose(steps[[0, 2]], [0.1, 0.0])
    assert steps[1] < 1e-3
    matrix = np.diag([2.0, 1.0, 1.0])
    noise = rounding_noise(steps, matrix, noise=1.0)
    np.testing.assert_allclose(noise[0, 0], 4 * 0.01 / 12)
    wide = rounding_noise(np.array([100.0, 0.0, 0.0]), matrix, noise=1.0)
    np.testing.assert_allclose(np.diag(wide), [1.0, 0.0, 0.0])


def test_the_part_below_is_that_of_the_rows_and_declines_beyond():
    values = np.random.default_rng(0).normal(size=20000)
    tail = Tail.of(values, np.ones(20000))
    places = np.linspace(-9, 4, 300)
    parts = tail.part_below(places)
    assert (np.diff(parts) >= 0).all()
    assert (np.diff(parts[places < 0]) > 0).all()
    known = [(values <= place).mean() for place in (-1.0, 0.0, 1.0)]
    found = tail.part_below(np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(found, known, atol=0.02)
    rare = np.quantile(values, 0.02)
    assert 0.3 < tail.strangeness(np.array([rare]))[0] < 0.7
    assert tail.strangeness(np.array([-np.inf]))[0] == 1


def test_weights_of_rows_are_copies_in_a_tail():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=300), rng.integers(0, 4, 300)
    weighted = Tail.of(values, weights.astype(float))
    copies = Tail.of(np.repeat(values, weights), np.ones(weights.sum()))
    np.testing.assert_allclose(weighted.quantiles, copies.quantiles)
    np.testing.assert_allclose(weighted.decline, copies.decline)
