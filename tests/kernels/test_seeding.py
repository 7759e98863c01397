"""Nearest centers, potentials and swaps of seeds, against plain NumPy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from amcluster.kernels import Memories, target
from amcluster.kernels.cpu import pairwise

from .cases import TOLERANCE, Case, cases, dtypes, holes, seen_squares, with_holes


@cases
@dtypes
@holes
def test_nearest(kernels, shape, dtype, holes):
    case = Case(shape, dtype)
    X = with_holes(case) if holes else case.X
    out = [np.empty(case.n_rows, t) for t in (np.int32, dtype, dtype)]
    counts, sums, inertia, seen = kernels.nearest(
        X, case.weights, case.memories, holes, *out
    )
    labels, first, second = out
    squares = np.sort(seen_squares(X, case.mu), axis=1)
    given = np.eye(case.n_clusters)[labels] * case.weights[:, None]
    case.close(first, squares[:, 0])
    case.close(second, squares[:, 1] if case.n_clusters > 1 else np.inf)
    case.close(np.nansum((X - case.mu[labels]) ** 2, axis=1), squares[:, 0])
    case.close(counts, given.sum(axis=0))
    case.close(sums, given.T @ np.nan_to_num(X))
    case.close(inertia, given.T @ squares[:, 0])
    if holes:
        case.close(seen, given.T @ ~np.isnan(X))


@holes
def test_of_equally_near_centers_the_first_is_taken(kernels, holes):
    centers = np.array([[2.0], [-1.0], [1.0], [-1.0]])
    memories = Memories(centers, np.zeros(4), 1.0).astype(float)
    out = [np.empty(2, t) for t in (np.int32, float, float)]
    X = np.array([[0.0], [-1.0]])
    kernels.nearest(X, np.ones(2), memories, holes, *out)
    np.testing.assert_array_equal(out, [[1, 1], [1, 0], [1, 0]])


@cases
@dtypes
@holes
def test_potentials(kernels, shape, dtype, holes):
    case = Case(shape, dtype)
    X = with_holes(case) if holes else case.X
    squares = seen_squares(X, case.mu)
    closest = np.full(case.n_rows, 0.9 * case.n_features, dtype)
    nearer = np.empty(squares.shape, dtype)
    (potentials,) = kernels.potentials(
        X, case.weights, case.memories, holes, closest, nearer
    )
    case.close(nearer, np.minimum(closest[:, None], squares))
    case.close(potentials, case.weights @ np.minimum(closest[:, None], squares))


@dtypes
@holes
def test_swap_costs_are_the_inertia_after_the_swap(kernels, dtype, holes):
    case = Case((40, 3, 5, 1), dtype)
    X = with_holes(case) if holes else case.X
    out = [np.empty(case.n_rows, t) for t in (np.int32, dtype, dtype)]
    kernels.nearest(X, case.weights, case.memories, holes, *out)
    candidates = Memories(case.X[:4].copy(), *case.memories[1:])
    kept, extra = kernels.swap_costs(X, case.weights, candidates, 5, holes, *out)
    for c, candidate in enumerate(case.X[:4]):
        for k in range(5):
            centers = case.mu.copy()
            centers[k] = candidate
            swapped = case.weights @ seen_squares(X, centers).min(axis=1)
            case.close(kept[c] + extra[c, k], swapped)


@dtypes
@pytest.mark.parametrize(
    ("n_features", "n_clusters", "way"),
    [
        (64, 6, pairwise.AlongFeatures),  # six centers are padded to eight
        (63, 6, pairwise.InTiles),
        (128, 45, pairwise.AlongFeatures),
        (127, 45, pairwise.InTiles),
    ],
)
def test_rows_meet_centers_as_they_lie_or_as_lanes(dtype, n_features, n_clusters, way):
    rng, n_rows = np.random.default_rng(0), 300
    X = rng.normal(size=(n_rows, n_features)).astype(dtype)
    centers = rng.normal(size=(n_clusters, n_features)).astype(dtype)
    memories = Memories(centers, np.zeros(n_clusters), 1.0).astype(dtype)
    assert isinstance(pairwise.pairs_with(memories), way)
    far, ones = np.full(n_rows, np.inf, dtype), np.ones(n_rows)
    squared, backwards = np.empty((2, n_rows, n_clusters), dtype)
    target().potentials(X, ones, memories, False, far, squared)
    expected = cdist(X, centers, "sqeuclidean")
    np.testing.assert_allclose(squared, expected, rtol=TOLERANCE[dtype])
    reverse = np.ascontiguousarray(X[::-1])
    target().potentials(reverse, ones, memories, False, far, backwards)
    np.testing.assert_array_equal(backwards[::-1], squared)  # wherever a row lies
