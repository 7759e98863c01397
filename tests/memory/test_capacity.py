"""How many patterns a kernel density holds, against SciPy's Bessel functions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import gamma, ive

from amcluster.memory import (
    KernelDensityMemory,
    kde_capacity,
    retrieval_experiment,
)

PAPER = {2: 4.83, 3: 16.0, 4: 53.8, 5: 182, 6: 617}


def on_sphere(n_rows, n_features, radius, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n_rows, n_features))
    return radius * rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("n_features", PAPER)
def test_scale_in_figures(n_features):
    found = kde_capacity(n_features, 2 * np.sqrt(n_features - 1), 1.0)
    assert_allclose(found, PAPER[n_features], rtol=1e-3)


@pytest.mark.parametrize("n_features", [2, 3, 8, 41])
@pytest.mark.parametrize("radius", [0.01, 1.0, 9.0])
def test_scale_is_its_formula(n_features, radius):
    kappa, order = (radius / 0.7) ** 2, n_features / 2 - 1
    # ive is exp(-kappa) times the Bessel function.
    bessel = ive(order, kappa)
    expected = 1 / (gamma(n_features / 2) * (2 / kappa) ** order * bessel)
    assert_allclose(kde_capacity(n_features, radius, 0.7), expected, rtol=1e-9)


def test_scale_is_where_other_patterns_outweigh_one():
    patterns = on_sphere(400_000, 4, 3.0)
    kernels = np.exp(-np.square(patterns - [3, 0, 0, 0]).sum(axis=1) / 2)
    assert_allclose(1 / kernels.mean(), kde_capacity(4, 3.0, 1.0), rtol=0.02)


def test_scale_of_many_dimensions():
    assert 1e52 < kde_capacity(100, 2 * np.sqrt(99), 1.0) < 1e53
    assert kde_capacity(2000, 2 * np.sqrt(1999), 1.0) == np.inf


def test_as_many_as_the_paper_says_do_not_fit():  # A.13
    """The premise needs gaps that 64 points of a sphere in 4 dimensions cannot have."""
    n_patterns, variance, radius = 64, 1.0, 2 * np.sqrt(3)
    gap = 2 * variance / n_patterns
    gap += variance * np.log(2 / variance * n_patterns**2 * radius**2)
    # Caps of half that distance about the patterns: their area, in that of the sphere.
    angle = np.arcsin(np.sqrt(2 * gap) / (2 * radius))
    area = (2 * angle - np.sin(2 * angle)) / (2 * np.pi)
    assert 1 / area < 16


def test_half_the_patterns_are_stored_at_a_quarter_of_the_scale():
    number = round(0.265 * kde_capacity(5, 4.0, 1.0))
    found = retrieval_experiment([number], [5], n_repeats=20, random_state=0)
    assert_allclose(found.stored, 0.5, atol=0.08)


def test_more_patterns_are_retrieved_worse_and_more_dimensions_better():
    found = retrieval_experiment(
        [2, 8, 32, 128], [3, 5, 8], n_repeats=6, random_state=0
    )
    for table, sign in ((found.stored, 1), (found.retrieved, 1)):
        assert (sign * np.diff(table, axis=0) >= -0.02).all()
        assert (sign * np.diff(table, axis=1) <= 0.02).all()
    assert (np.diff(found.distance_ratio, axis=1) >= -0.1).all()
    assert (np.diff(found.distance_ratio, axis=0) <= 0.1).all()
    assert_array_equal(found.n_patterns, [2, 8, 32, 128])
    assert_array_equal(found.n_features, [3, 5, 8])


def test_experiment_is_what_memories_say():
    found = retrieval_experiment(
        [20], [4], n_repeats=1, n_particles=3, noise=0.2, radius=3.0, random_state=5
    )
    rng = np.random.RandomState(5)
    patterns = rng.normal(size=(20, 4))
    patterns *= 3 / np.linalg.norm(patterns, axis=1, keepdims=True)
    memory = KernelDensityMemory(1.0).fit(patterns)
    assert_allclose(found.stored, memory.stored_.mean())
    ratios, own = [], []
    for steps in 0.2 * rng.normal(size=(3, 20, 4)):
        ends = memory.transform(patterns + steps)
        left = np.linalg.norm(ends - patterns, axis=1)
        ratios.append(left / np.linalg.norm(steps, axis=1))
        own.append(memory.predict(patterns + steps) == np.arange(20))
    distances = np.linalg.norm(patterns[:, None] - patterns, axis=2)
    apart = distances.sum() / (20 * 19)
    assert_allclose(found.distance_ratio, np.mean(ratios) / apart)
    assert_allclose(found.retrieved, np.mean(own))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_patterns": [1]}, r"n_patterns == \[1\], must be whole numbers >= 2"),
        ({"n_features": [2.5]}, r"n_features == \[2.5\], must be whole numbers"),
        ({"bandwidth": 0}, "bandwidth == 0, must be > 0"),
        ({"radius": -1.0}, "radius == -1.0, must be > 0"),
        ({"n_particles": 0}, "n_particles == 0, must be >= 1"),
        ({"noise": 0.0}, "noise == 0.0, must be > 0"),
        ({"n_repeats": 0}, "n_repeats == 0, must be >= 1"),
        ({"random_state": -1}, "random_state=-1 is no seed"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        retrieval_experiment(**arguments)
