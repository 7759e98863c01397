"""Modes of kernel densities, and which of them mean something."""

import numpy as np
import pytest
from scipy.signal import find_peaks

from amcluster.execution.select import CPU
from amcluster.learning.kernel_density import kernel_density
from amcluster.nonparametric.basins import clusters_of
from amcluster.nonparametric.modes import CELL, MOST_STEPS, Flow, Modes
from amcluster.nonparametric.prominence import (
    Saddles,
    dissolved,
    highest_passes,
    merged,
    saddles_between,
)
from amcluster.rows.complete import Complete

STEP = 1.7


def density_of(X, bandwidth, weights=None):
    weights = np.ones(len(X)) if weights is None else weights
    return kernel_density(X, weights, bandwidth, CPU())


def flow_to_rest(network, bandwidth):
    flow = Flow.of(network, bandwidth, STEP)
    energies = []
    for _ in range(MOST_STEPS):
        flow = flow.step()
        energies.append(flow.free_energy())
        if not flow.moves.any():
            break
    return flow, energies


def clusters_in(X, bandwidth, significance=0.0, min_size=1, weights=None):
    network = density_of(X, bandwidth, weights)
    flow, _ = flow_to_rest(network, bandwidth)
    weights = np.ones(len(X)) if weights is None else weights
    modes = flow.modes(network)
    return clusters_of(network, weights, modes, significance, min_size), network


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bandwidth", [0.1, 0.25, 0.6])
def test_modes_of_a_line(seed, bandwidth):
    """All maxima that rows lead to, with the minima between, from a fine grid."""
    X = np.random.default_rng(seed).normal(size=(40, 1)) * 2
    X -= X.mean()
    clusters, network = clusters_in(X, bandwidth)
    grid = np.linspace(X.min() - 1, X.max() + 1, 200_001)
    kernels = -np.square((grid[:, None] - X.T) / bandwidth) / 2
    log_density = np.logaddexp.reduce(kernels, axis=1)
    peaks, _ = find_peaks(log_density, prominence=2e-3)
    valleys, _ = find_peaks(-log_density, prominence=2e-3)
    modes = clusters.at_rest(network, STEP)[:, 0]
    heights = np.interp(modes, grid, log_density)
    assert (np.diff(heights) <= 1e-4).all()
    np.testing.assert_allclose(
        np.sort(modes), grid[peaks], atol=0.01 * bandwidth + 1e-4
    )
    # The basins are the intervals between minima.
    expected = np.searchsorted(grid[valleys], X[:, 0])
    basins = np.argsort(np.argsort(modes))[clusters.modes.basins]
    np.testing.assert_array_equal(basins, expected)


def test_energies_fall():
    X = np.random.default_rng(0).normal(size=(300, 3))
    network = density_of(X, 0.4)
    _, energies = flow_to_rest(network, 0.4)
    # States that meet in a cell go on from the place of one of them.
    assert (np.diff(energies) <= 1e-3).all()
    assert energies[-1] < energies[0] - 0.1


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize(("distance", "n_modes"), [(1.98, 1), (2.02, 2)])
def test_two_points_merge_at_twice_the_bandwidth(distance, n_modes, n_features):
    bandwidth = 0.7
    X = np.zeros((2, n_features))
    X[:, -1] = np.array([-0.5, 0.5]) * distance * bandwidth
    clusters, _ = clusters_in(X, bandwidth)
    assert len(clusters.modes.points) == n_modes


def test_states_that_meet_end_where_others_do():
    X = np.random.default_rng(0).normal(size=(400, 2)) * [3, 1]
    network = density_of(X, 0.5)
    clusters, _ = clusters_in(X, 0.5)
    modes = clusters.at_rest(network, STEP)
    rested, _ = network.states_at_rest(Complete(X), STEP)
    away = np.linalg.norm(rested[:, None] - modes, axis=2)
    agree = away.argmin(axis=1) == clusters.modes.basins
    assert agree.mean() > 0.98
    assert away.min(axis=1).max() < CELL * 0.5


def hand_made(heights, passes, n_rows=100.0):
    """Modes of these log densities, and passes {(a, b): log density}."""
    n_modes = len(heights)
    modes = Modes(
        np.arange(n_modes)[:, None] * 1.0,
        np.array(heights),
        np.full(n_modes, n_rows),
        np.arange(n_modes),
    )
    order = sorted(passes, key=passes.__getitem__, reverse=True)
    evidence = np.array([passes[pair] for pair in order])
    points = np.array(order).mean(axis=1, keepdims=True)
    rows = np.full(len(order), n_rows)
    return modes, Saddles(np.array(order), points, evidence, rows)


def test_the_highest_passes_are_opened_first():
    # Depths in standard errors of sqrt(2 / 100) = .14.
    modes, saddles = hand_made([0.0, -0.5, -1.0], {(0, 1): -0.55, (1, 2): -1.5})
    np.testing.assert_array_equal(merged(modes, saddles, 0.0), [0, 1, 2])
    np.testing.assert_array_equal(merged(modes, saddles, 0.5), [0, 0, 2])
    np.testing.assert_array_equal(merged(modes, saddles, 4.0), [0, 0, 0])
    np.testing.assert_array_equal(highest_passes(modes, saddles), [-1, 0, 1])


def test_a_valley_is_measured_in_standard_errors():
    for n_rows, expected in ((10, [0, 0]), (1000, [0, 1])):
        modes, saddles = hand_made([0.0, -0.5], {(0, 1): -0.7}, n_rows)
        np.testing.assert_array_equal(merged(modes, saddles, 1.0), expected)


def test_modes_merge_with_what_others_have_become():
    """The lower of two is measured, whichever of them the path began at."""
    passes = {(1, 2): -1.01, (0, 2): -1.2}
    modes, saddles = hand_made([0.0, -0.9, -1.0], passes)
    # 2 becomes a part of 1, which is then .3 above the pass to 0: 2.1 errors.
    np.testing.assert_array_equal(merged(modes, saddles, 1.0), [0, 1, 1])
    np.testing.assert_array_equal(merged(modes, saddles, 2.2), [0, 0, 0])


def test_small_groups_go_over_their_highest_pass():
    passes = {(1, 2): -1.1, (0, 2): -1.5, (0, 3): -9.0}
    modes, saddles = hand_made([0.0, -0.5, -1.0, -2.0], passes)
    groups = np.arange(len(modes.points))
    sizes = np.array([50, 20, 2, 4])
    np.testing.assert_array_equal(dissolved(groups, saddles, sizes, 5), [0, 1, 1, 0])
    np.testing.assert_array_equal(dissolved(groups, saddles, sizes, 3), [0, 1, 1, 3])
    np.testing.assert_array_equal(dissolved(groups, saddles, sizes, 99), [0] * 4)
    # Two that are large enough together stay.
    sizes = np.array([50, 3, 3, 9])
    np.testing.assert_array_equal(dissolved(groups, saddles, sizes, 5), [0, 1, 1, 3])


def test_passes_are_in_the_order_of_their_heights():
    X = np.random.default_rng(0).normal(size=(200, 2)) * 3
    clusters, network = clusters_in(X, 0.4)
    saddles = saddles_between(network, clusters.modes)
    assert len(saddles.pairs) > 20
    assert (np.diff(saddles.evidence) <= 0).all()
    assert (saddles.pairs[:, 0] < saddles.pairs[:, 1]).all()
    assert len(np.unique(saddles.pairs, axis=0)) == len(saddles.pairs)


def test_passes_connect_all_modes_and_are_no_higher_than_true_ones():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, (50, 1)), rng.normal(60, 1, (50, 1)), [[900.0]]]
    X -= X.mean()
    clusters, network = clusters_in(X, 0.5)
    modes, saddles = clusters.modes, saddles_between(network, clusters.modes)
    assert (highest_passes(modes, saddles) >= 0).sum() == len(modes.points) - 1
    lower = np.maximum(*saddles.pairs.T)
    assert (saddles.evidence <= modes.evidence[lower] + 1e-9).all()
    # Along a line the pass between neighbours is the lowest point between them.
    places = np.sort(modes.points[:, 0])
    for pair, height in zip(saddles.pairs, saddles.evidence, strict=True):
        ends = np.sort(modes.points[pair, 0])
        if np.searchsorted(places, ends[1]) - np.searchsorted(places, ends[0]) == 1:
            between = np.linspace(*ends, 20_001)[:, None]
            kernels = -np.square((between - X.T) / 0.5) / 2
            lowest = np.logaddexp.reduce(kernels, axis=1).min() - np.log(len(X))
            assert height <= lowest + 0.3 + 0.01 * abs(lowest)
