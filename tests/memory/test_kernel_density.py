"""A kernel density as a memory: scikit-learn's, and by Appendix A of the paper."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from amcluster.energies import ENERGIES, StudentT
from amcluster.memory import KernelDensityMemory, ModernHopfieldNetwork
from amcluster.memory.kernel_density import distances_to_others

from ..strategies import dtypes, seeds

# Names of scikit-learn for kernels that it has.
THEIRS = {
    "gaussian": "gaussian",
    "epanechnikov": "epanechnikov",
    "laplace": "exponential",
    "uniform": "tophat",
}
kernels = pytest.mark.parametrize("kernel", sorted(ENERGIES))
CONVEX = [name for name in sorted(ENERGIES) if name != "uniform"]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def on_sphere(n_rows, n_features, radius, seed=0):
    rows = drawn(n_rows, n_features, seed=seed)
    return radius * rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kernel", THEIRS)
@pytest.mark.parametrize("n_features", [1, 3])
def test_density_is_that_of_scikit_learn(kernel, n_features):
    patterns, states = drawn(200, n_features), drawn(50, n_features, seed=1)
    theirs = KernelDensity(bandwidth=0.7, kernel=THEIRS[kernel], leaf_size=200)
    expected = theirs.fit(patterns).score_samples(states)
    memory = KernelDensityMemory(0.7, kernel).fit(patterns)
    assert_allclose(memory.score_samples(states), expected, atol=1e-9)
    assert_allclose(memory.score(patterns), theirs.score(patterns) / 200, atol=1e-9)


@kernels
def test_density_integrates_to_1(kernel):
    memory = KernelDensityMemory(0.7, kernel).fit([[0.0], [2.0]])
    edges = [-np.inf, -0.7, 0, 0.7, 1.3, 2, 2.7, np.inf]
    total = sum(
        quad(lambda x: np.exp(memory.score_samples([[x]])[0]), *piece)[0]
        for piece in pairwise(edges)
    )
    assert_allclose(total, 1, rtol=1e-5)


def test_dynamics_are_mean_shift():
    patterns, states, h = drawn(30, 4), drawn(9, 4, seed=1), 0.8
    expected = states
    for _ in range(3):
        shares = softmax(-cdist(expected, patterns, "sqeuclidean") / (2 * h**2), axis=1)
        expected = expected + 1.3 * (shares @ patterns - expected)
    memory = KernelDensityMemory(h, n_steps=3, step_size=1.3).fit(patterns)
    assert_allclose(memory.transform(states), expected)
    memory = KernelDensityMemory(h, "epanechnikov", n_steps=1).fit(patterns)
    inside = cdist(states, patterns) < h
    flat = [
        patterns[near].mean(axis=0) if near.any() else state
        for near, state in zip(inside, states, strict=True)
    ]
    assert_allclose(memory.transform(states), flat)


def test_uniform_kernels_have_no_slope():
    patterns, states = drawn(30, 2), drawn(9, 2, seed=1)
    memory = KernelDensityMemory(0.5, "uniform").fit(patterns)
    assert_array_equal(memory.transform(states), states)
    assert not memory.stored_.any()


@kernels
@given(seed=seeds, dtype=dtypes, step_size=st.floats(0.1, 1.9))
def test_energy_never_rises_and_order_does_not_matter(kernel, seed, dtype, step_size):
    patterns = drawn(9, 2, seed=seed).astype(dtype)
    states = drawn(12, 2, seed=seed + 1).astype(dtype)
    memory = KernelDensityMemory(0.8, kernel, n_steps=1, step_size=step_size)
    memory.fit(patterns)
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    for _ in range(4):
        before, states = memory.energy(states), memory.transform(states)
        after = memory.energy(states)
        out = np.isinf(before)  # of reach of all patterns
        assert_array_equal(np.isinf(after), out)
        assert (after[~out] <= before[~out] + rtol * (1 + np.abs(before[~out]))).all()
    other = memory.fit(patterns[::-1]).energy(states)
    assert_allclose(other, after, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "epanechnikov", "student_t"])
def test_samples_are_of_the_density(kernel):
    memory = KernelDensityMemory(0.5, kernel, random_state=0).fit([[0.0], [4.0]])
    X, y = memory.sample(20_000)
    assert_allclose(np.bincount(y) / len(y), 0.5, atol=0.02)
    for x in (-0.4, 0.3, 3.7, 4.3):
        below = quad(
            lambda u: np.exp(memory.score_samples([[u]])[0]), -60, x, limit=400
        )
        assert_allclose((X.ravel() < x).mean(), below[0], atol=0.02)
    assert_array_equal(memory.sample(20_000)[0], X)


def test_bandwidth_can_be_searched_for():
    X = drawn(150, 1)
    search = GridSearchCV(KernelDensityMemory(), {"bandwidth": [0.01, 0.4, 10]}, cv=3)
    assert search.fit(X).best_params_ == {"bandwidth": 0.4}


# Appendix A, definition by definition.


def test_separation_is_half_a_squared_distance():  # A.1
    patterns = drawn(20, 3)
    squares = cdist(patterns, patterns, "sqeuclidean") + np.diag(np.full(20, np.inf))
    memory = KernelDensityMemory().fit(patterns)
    assert_allclose(memory.separation_, squares.min(axis=1) / 2)
    assert_array_equal(memory.fit(patterns[:1]).separation_, [np.inf])
    assert_array_equal(memory.fit(patterns[[0, 0]]).separation_, [0, 0])


@pytest.mark.parametrize("excess", [0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("n_features", [1, 5])
def test_two_patterns_merge_at_twice_the_bandwidth(excess, n_features):  # A.2
    direction = on_sphere(1, n_features, 1.0)
    for side in (-1, 1):
        distance = 2 * 0.7 * (1 + side * excess)
        patterns = 10 + np.array([[0.0], [distance]]) * direction
        memory = KernelDensityMemory(0.7).fit(patterns)
        assert_array_equal(memory.stored_, [side > 0] * 2)
        assert_array_equal(memory.merged_, [side < 0] * 2)


def test_balls_about_stored_patterns_are_retrieved_as_they():  # A.2, A.3
    patterns = on_sphere(20, 5, 4.0)
    memory = KernelDensityMemory(1.0).fit(patterns)
    stored, errors = memory.stored_, memory.retrieval_error_
    assert 5 < stored.sum() < 20
    assert_array_equal(np.isnan(errors), ~stored)
    distances = cdist(patterns, patterns) + np.diag(np.full(20, np.inf))
    radius = errors + 1e-3
    for n in np.flatnonzero(stored):
        inside = patterns[n] + on_sphere(50, 5, radius[n], seed=n)
        ends = memory.transform(inside)
        assert np.ptp(ends, axis=0).max() < 1e-6
        assert_allclose(np.linalg.norm(ends[0] - patterns[n]), errors[n], atol=1e-6)
        others = np.delete(np.arange(20), n)
        apart = distances[n, others] > radius[n] + np.nan_to_num(radius[others])
        assert apart.all()


def test_a_pattern_where_nothing_comes_back_is_not_stored():
    # Six patterns pull states from the middle, where by symmetry one stays.
    patterns = [[0.0], *[[-1.3]] * 3, *[[1.3]] * 3]
    memory = KernelDensityMemory(1.0).fit(patterns)
    assert_allclose(memory.transform([[0.0]]), 0, atol=1e-12)
    assert_array_equal(memory.merged_, [0, 1, 1, 1, 1, 1, 1])
    assert not memory.stored_.any()


def test_well_separated_patterns_and_their_radius():  # A.5, A.11, A.12
    rng = np.random.default_rng(0)
    patterns = 6 * np.vstack([np.eye(8), -np.eye(8)])
    patterns[0] *= 0.05
    patterns[8] *= 0.05  # these two are near each other
    memory = KernelDensityMemory(0.9).fit(patterns)
    variance, n, largest = 0.81, 16, 6.0
    least = 2 * variance / n + variance * np.log(
        2 / variance * (n - 1) * n * largest**2
    )
    expected = memory.separation_ >= least
    assert_array_equal(memory.well_separated_, expected)
    assert 0 < expected.sum() < 16
    apart = KernelDensityMemory(0.9).fit(np.delete(patterns, [0, 8], axis=0))
    assert apart.well_separated_.all()
    assert_allclose(apart.radius_, variance / (14 * largest))
    assert apart.stored_.all()
    assert (apart.retrieval_error_ <= apart.radius_).all()
    steps = rng.normal(size=(14, 8))
    steps *= apart.radius_ / np.linalg.norm(steps, axis=1, keepdims=True)
    ends = apart.transform(apart.patterns_ + steps)
    assert_allclose(ends, apart.transform(apart.patterns_), atol=1e-8)


@pytest.mark.parametrize("side", [-1, 1])
def test_well_separated_means_the_bound(side):  # A.12
    def excess(x):  # of the separation of two patterns at x and -x over the bound
        return 2 * x**2 - (0.81 + 0.81 * np.log(2 / 0.81 * 2 * x**2))

    x = brentq(excess, 0.8, 5) * (1 + side * 1e-6)
    memory = KernelDensityMemory(0.9).fit([[x], [-x]])
    assert_array_equal(memory.well_separated_, [side > 0] * 2)


def test_one_pattern_and_patterns_at_the_origin():
    memory = KernelDensityMemory().fit([[0.0, 0.0]])
    assert memory.stored_.all()
    assert memory.well_separated_.all()
    assert memory.radius_ == np.inf
    assert KernelDensityMemory().fit(np.zeros((2, 2))).merged_.all()


@pytest.mark.parametrize("attribute", ["well_separated_", "radius_"])
def test_proofs_are_for_gaussian_kernels(attribute):
    memory = KernelDensityMemory(kernel="laplace").fit(drawn(3, 2))
    with pytest.raises(AttributeError, match=f"has {attribute} with kernel='gaussian'"):
        getattr(memory, attribute)


def test_on_a_sphere_it_is_the_modern_hopfield_network():  # A.6 - A.10
    patterns, states, h = on_sphere(30, 5, 2.0), drawn(9, 5, seed=1), 0.6
    ours = KernelDensityMemory(h, n_steps=2).fit(patterns)
    modern = ModernHopfieldNetwork(1 / h**2, n_steps=2).fit(patterns)
    assert_allclose(ours.energy(states), modern.energy(states))
    assert_allclose(ours.transform(states), modern.transform(states))


def test_off_the_sphere_long_patterns_of_the_modern_network_weigh_more():
    patterns, states, beta = drawn(30, 5), drawn(9, 5, seed=1), 1.4
    weights = beta * np.square(patterns).sum(axis=1) / 2
    logits = weights - beta * cdist(states, patterns, "sqeuclidean") / 2
    largest = np.square(patterns).sum(axis=1).max()
    expected = -logsumexp(logits, axis=1) / beta + np.log(30) / beta + largest / 2
    modern = ModernHopfieldNetwork(beta, n_steps=1).fit(patterns)
    assert_allclose(modern.energy(states), expected)
    assert_allclose(modern.transform(states), softmax(logits, axis=1) @ patterns)


def test_what_was_found_out_is_not_kept_for_other_patterns():
    memory = KernelDensityMemory().fit([[0.0], [5.0]])
    assert memory.stored_.all()
    memory.partial_fit([[0.5]])
    assert_array_equal(memory.stored_, [False, True, False])
    assert memory.forget(2).stored_.all()
    memory.set_params(bandwidth=9.0)
    assert memory.stored_.all()  # until the next fit
    assert not memory.fit([[0.0], [5.0]]).stored_.any()


def test_distances_to_others_are_exact_far_from_the_origin():
    points = 1e8 + np.array([[0.0] * 20, [1.0] * 20, [3.0] * 20])
    assert_allclose(distances_to_others(points), np.sqrt(20) * np.array([1, 1, 2]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth == 0.0, must be > 0"),
        ({"bandwidth": "auto"}, "bandwidth == 'auto': pass a number"),
        ({"kernel": "tophat"}, "kernel == 'tophat', must be one of"),
        ({"kernel": StudentT(-1.0)}, "nu"),
        ({"step_size": 0.0}, "step_size == 0.0, must be > 0"),
        ({"n_steps": 1.5}, "n_steps == 1.5: pass an integer"),
        ({"random_state": "x"}, "random_state='x' is no seed"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        KernelDensityMemory(**parameters).fit([[0.0]])


def test_numbers_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match="squared distances would leave the range"):
        KernelDensityMemory().fit([[0.0], [1e200]])
    with pytest.raises(ValueError, match="squared distances would leave the range"):
        KernelDensityMemory().fit([[0.0], [1.0]]).transform([[1e200]])
