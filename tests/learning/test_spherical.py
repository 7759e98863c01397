"""Learning on the sphere, against plain NumPy, SciPy and a search of all partitions."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import vonmises_fisher

from amcluster.energies.von_mises_fisher import mean_resultant_length
from amcluster.learning.directions import (
    cosine_plus_plus,
    given,
    hard_phase,
    moved,
    random_directions,
)
from amcluster.learning.em import Mixture, lower
from amcluster.learning.spherical import (
    LEAST_CONCENTRATION,
    Concentrations,
    SphericalFreeEnergy,
    ahead,
    first_mixture,
)
from amcluster.rows.sphere import distinct_unit_rows

NEVER = {"watch": lambda *_: False}
FORMS = [("tied", True), ("tied", False), ("free", True), ("given", True)]
forms = pytest.mark.parametrize(("form", "learn_weights"), FORMS)


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def random_state(seed=0):
    return np.random.RandomState(seed)


def cloud(n_rows=120, n_features=4, seed=0):
    """Rows of all lengths about three directions, with overlap."""
    rng = random_state(seed)
    X = np.eye(3, n_features)[rng.randint(3, size=n_rows)]
    X = X + 0.5 * rng.normal(size=X.shape)
    return X * np.exp(rng.normal(size=(n_rows, 1)))


def rows_of(X, weights=None):
    return distinct_unit_rows(X, np.ones(X.shape[0]) if weights is None else weights)


def concentrations(form, n_clusters, n_features):
    values = np.full(n_clusters if form == "free" else 1, 7.0)
    return Concentrations(values, n_features, 1e6, fixed=form == "given")


def log_joint(X, mixture):
    """log w_k + log p(x | k), by SciPy."""
    kappa = np.resize(mixture.spread.values, len(mixture.weights))
    densities = [
        vonmises_fisher(m, k).logpdf(unit(X))
        for m, k in zip(mixture.centers, kappa, strict=True)
    ]
    return np.log(mixture.weights) + np.array(densities).T


def em_step(X, weights, mixture, learn_weights):
    """One step of EM in NumPy: directions, weights and mean resultant lengths."""
    joint = log_joint(X, mixture)
    evidence = np.logaddexp.reduce(joint, axis=1)
    p = np.exp(joint - evidence[:, None]) * weights[:, None]
    sums, counts = p.T @ unit(X), p.sum(axis=0)
    lengths = np.linalg.norm(sums, axis=1)
    shares = counts / weights.sum() if learn_weights else mixture.weights
    free_energy = -np.average(evidence, weights=weights)
    return sums / lengths[:, None], shares, lengths, counts, free_energy


@forms
def test_a_step_is_that_of_em(form, learn_weights):
    X, weights = cloud(), random_state(1).uniform(0.1, 3, 120)
    rows = rows_of(X, weights)
    spread = concentrations(form, 3, 4)
    mixture = first_mixture(given(rows, unit(X[:3])), spread)
    energy = SphericalFreeEnergy(rows, learn_weights)
    expected = energy.expectation(mixture)
    step = energy.maximisation(mixture, expected)
    centers, shares, lengths, counts, free_energy = em_step(
        X, weights, mixture, learn_weights
    )
    np.testing.assert_allclose(expected.free_energy, free_energy, rtol=1e-12)
    np.testing.assert_allclose(step.centers, centers, atol=1e-12)
    np.testing.assert_allclose(step.weights, shares, rtol=1e-11)
    found = mean_resultant_length(step.spread.values, 4)
    if form == "free":
        np.testing.assert_allclose(found, lengths / counts, rtol=1e-10)
    elif form == "tied":
        np.testing.assert_allclose(found, lengths.sum() / weights.sum(), rtol=1e-10)
    else:
        np.testing.assert_array_equal(step.spread.values, [7.0])


@forms
@pytest.mark.parametrize("extrapolates", [True, False])
def test_the_free_energy_falls_to_a_fixed_point(form, learn_weights, extrapolates):
    X = cloud()
    rows = rows_of(X)
    seeds = cosine_plus_plus(rows, 3, random_state())
    mixture = first_mixture(given(rows, seeds), concentrations(form, 3, 4))
    energy = SphericalFreeEnergy(rows, learn_weights)
    energy.extrapolates = extrapolates
    mixture, history, _ = lower(energy, mixture, max_iter=5000, tol=1e-14, **NEVER)
    assert np.diff(history).max() <= 0
    assert len(history) > 5
    centers, shares, *_ = em_step(X, np.ones(120), mixture, learn_weights)
    np.testing.assert_allclose(np.linalg.norm(mixture.centers, axis=1), 1)
    np.testing.assert_allclose(mixture.centers, centers, atol=1e-5)
    np.testing.assert_allclose(mixture.weights, shares, atol=1e-5)


@pytest.mark.parametrize("form", ["tied", "free", "given"])
def test_steps_that_shorten_at_one_rate_lead_to_their_limit(form):
    limit, away = np.eye(3, 4), np.roll(np.eye(3, 4), 1, axis=1)
    spread = concentrations(form, 3, 4)

    def at(distance):
        weights = np.exp(distance * np.array([0.5, -0.2, 0.1])) / 3
        directions = np.cos(distance) * limit + np.sin(distance) * away
        return Mixture(directions, weights, spread.scaled(np.full(3, distance)[:1]))

    found = ahead([at(1e-4 * 0.9**t) for t in range(3)])
    np.testing.assert_allclose(found.centers, limit, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1)
    np.testing.assert_allclose(found.weights, 1 / 3, atol=1e-7)
    np.testing.assert_allclose(found.spread.values, 7.0, rtol=1e-7)
    assert ahead([at(0.1), at(0.0), at(0.1)]) is None  # it turns back


def test_extrapolation_takes_fewer_iterations():
    rows = rows_of(cloud(400))
    mixture = first_mixture(
        given(rows, unit(cloud()[:3])), concentrations("tied", 3, 4)
    )
    lengths = {}
    for extrapolates in (True, False):
        energy = SphericalFreeEnergy(rows, True)
        energy.extrapolates = extrapolates
        _, history, _ = lower(energy, mixture, max_iter=2000, tol=1e-10, **NEVER)
        lengths[extrapolates] = len(history)
    assert lengths[True] < 0.7 * lengths[False]


def test_concentrations_stay_within_their_range():
    spread = Concentrations(np.ones(3), 5, 1e4)
    found = spread.updated(np.array([0.0, 0.5, 1.0])).values
    assert found[0] == LEAST_CONCENTRATION
    assert 1 < found[1] < 10
    assert found[2] == 1e4
    assert spread.scaled(np.array([-1e5, 0.0, 1e5])).values.tolist() == [
        LEAST_CONCENTRATION,
        1.0,
        1e4,
    ]


# Seeds and spherical k-means


@pytest.mark.parametrize("make", [cosine_plus_plus, random_directions])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_seeds_are_directions_of_distinct_rows(make, container):
    X = np.abs(cloud())
    seeds = make(rows_of(container(X)), 20, random_state())
    assert seeds.dtype == np.float64
    assert len(np.unique(seeds.round(9), axis=0)) == 20
    np.testing.assert_allclose((seeds @ unit(X).T).max(axis=1), 1)


@pytest.mark.parametrize("make", [cosine_plus_plus, random_directions])
def test_too_few_directions_are_repeated(make):
    X = np.array([[1.0, 0.0], [0.0, 2.0]])
    seeds = make(rows_of(X), 5, random_state())
    assert seeds.shape == (5, 2)
    assert len(np.unique(seeds, axis=0)) == 2


def test_rows_of_one_direction_are_no_second_seed():
    X = np.outer(np.arange(1.0, 9.0), [0.3, 0.7, 0.1])
    assert len(np.unique(cosine_plus_plus(rows_of(X), 4, random_state()), axis=0)) == 1


def test_seeds_do_not_depend_on_lengths_or_on_what_is_stored():
    X = np.where(cloud(seed=3) > 0, cloud(seed=3), 0.0)
    X = X[X.any(axis=1)]
    scaled = X * random_state(5).uniform(0.01, 100, (len(X), 1))
    expected = cosine_plus_plus(rows_of(X), 6, random_state())
    for other in (scaled, csr_array(X), csr_array(scaled)):
        found = cosine_plus_plus(rows_of(other), 6, random_state())
        np.testing.assert_allclose(found, expected, atol=1e-12)


@for_all(st.integers(0, 1000), st.integers(1, 3))
def test_the_best_of_many_starts_is_that_of_all_partitions(seed, n_clusters):
    X = random_state(seed).normal(size=(7, 3))
    rows, best = rows_of(X), np.inf
    for start in range(20):
        seeds = random_directions(rows, n_clusters, random_state(start))
        clusters = given(rows, seeds)
        clusters, history = hard_phase(rows, clusters, max_iter=50, tol=0.0)
        assert np.all(np.diff(history) <= 0)
        best = min(best, clusters.loss)
    partitions = np.array(list(product(range(n_clusters), repeat=7)))
    members = np.eye(n_clusters)[partitions]
    sums = np.einsum("pnk,nd->pkd", members, unit(X))
    largest = np.linalg.norm(sums, axis=2).sum(axis=1).max()
    np.testing.assert_allclose(best, 1 - largest / 7, atol=1e-9)


def test_an_empty_cluster_takes_the_loneliest_row():
    X = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.3, 1.0]])
    rows = rows_of(X)
    clusters = given(rows, unit(np.array([[1.0, 0.0], [-1.0, 0.0]])))
    assert clusters.statistics.counts[1] == 0
    np.testing.assert_allclose(moved(rows, clusters)[1], unit(X)[3])


def test_a_phase_that_cannot_reach_the_bar_is_given_up():
    rows = rows_of(cloud())
    clusters = given(rows, cosine_plus_plus(rows, 3, random_state()))
    _, full = hard_phase(rows, clusters, max_iter=20, tol=0.0)
    _, short = hard_phase(rows, clusters, max_iter=20, tol=0.0, bar=0.0)
    assert len(short) < len(full)
