"""What only CUDA kernels have: tiles, more rows than the blocks take, a device.

That each computes what it should is tested beside those for the CPU.
"""

import numpy as np
import pytest
from numba import cuda

from amcluster.kernels import target
from amcluster.kernels.cuda import _launch, tiles
from amcluster.kernels.cuda._jit import cuda as inside
from amcluster.kernels.cuda._jit import kernel

from .cases import Case, hidden_features, with_holes

# More tiles than the simulator has blocks, the last with lanes left over.
MANY = 3 * tiles.LANES + 1
# How the names of kernels begin that only the CPU has.
ONLY_CPU = "shaped_", "sphere_", "sparse_"
# Rows and columns of a result, and length of the sum: less and more than a thread, a
# block and what is shared at a time take.
SIZES = [
    (1, 1, 1),
    (3, 5, 2),
    (tiles.SPAN + 1, tiles.SPAN + 2, tiles.CHUNK + 3),
    (tiles.SPAN, tiles.SPAN, tiles.CHUNK),
    (tiles.SPAN, 2, 3 * tiles.CHUNK),
    (1, 2 * tiles.SPAN + 1, 4),
]


@kernel
def contract(which, left, right, out):
    shared = inside.shared.array(tiles.SHARED, left.dtype, alignment=16)
    if which == 0:
        tiles.squares(left, right, out, shared)
    elif which == 1:
        tiles.squares_of_seen(left, right, out, shared)
    elif which == 2:
        tiles.product(left, right, out, shared)
    elif which == 3:
        tiles.add_products(left, right, out, shared)
    elif which == 4:
        tiles.add_products_of_filled(left, right, out, shared)
    else:
        tiles.add_products_of_seen(left, right, out, shared)


EXPECTED = [
    lambda left, right: ((left[:, :, None] - right[None]) ** 2).sum(axis=1),
    lambda left, right: np.nansum((left[:, :, None] - right[None]) ** 2, axis=1),
    lambda left, right: left @ right,
    lambda left, right: 1 + left @ right.T,
    lambda left, right: 1 + left @ np.nan_to_num(right).T,
    lambda left, right: 1 + left @ ~np.isnan(right).T,
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("which", range(len(EXPECTED)))
@pytest.mark.parametrize("along_rows", [False, True])
def test_sums_over_an_axis(size, which, along_rows):
    """Whichever axis of a matrix has neighbours in memory."""
    n, m, length = size
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n, length)), rng.normal(size=(length, m))
    if which in (1, 4, 5):
        right[rng.random(right.shape) < 0.3] = np.nan
    if which > 2:
        right = right.T.copy()
    out = np.ones((n, m))
    order = "F" if along_rows else "C"
    arrays = (cuda.to_device(np.array(a, order=order)) for a in (left, right))
    place = cuda.to_device(out)
    _launch._run(contract, 1, (tiles.LANES, tiles.PARTS), which, *arrays, place)
    expected = EXPECTED[which](left, right)
    np.testing.assert_allclose(place.copy_to_host(), expected, rtol=1e-12, atol=1e-12)


def sums_of(kernels, case, X, weights):
    """All that kernels return of rows."""
    n_rows, dtype = len(X), case.dtype
    pulled = np.empty(n_rows)
    near = [np.empty(n_rows, t) for t in (np.int32, dtype, dtype)]
    nearer = np.empty((n_rows, case.n_clusters), dtype)
    arguments = X, weights, case.memories
    # In the space of memories, in that of the data, and with holes.
    spaces = [case.free(), case.clamped(hidden_features(case.n_features))]
    spaces.append(case.free()._replace(missing=True))
    gradients = [kernels.reconstruction_gradient(*arguments, d) for d in spaces]
    closest = np.full(n_rows, 2, dtype)
    return [
        *kernels.expectation(*arguments, pulled),
        *kernels.seen_expectation(*arguments, pulled),
        *kernels.nearest(*arguments, False, *near),
        *kernels.potentials(*arguments, False, closest, nearer),
        *kernels.swap_costs(*arguments, case.n_clusters, False, *near),
        *(part for gradient in gradients for part in gradient),
    ]


@pytest.fixture(scope="module")
def many():
    """More rows than all blocks take at a time, and what kernels return of them."""
    case = Case((MANY, 3, 4, 2), np.float64)
    return case, sums_of(target("cuda"), case, case.X, case.weights)


def test_sums_add_over_a_split_of_the_rows(many):
    case, totals = many
    middle = tiles.LANES + 1
    parts = [
        sums_of(target("cuda"), case, case.X[rows], case.weights[rows])
        for rows in (slice(None, middle), slice(middle, None))
    ]
    for total, one, other in zip(totals, *parts, strict=True):
        case.close(np.add(one, other), total)


def test_rows_on_the_device_give_the_same_bits(many):
    case, expected = many
    arguments = (cuda.to_device(array) for array in (case.X, case.weights))
    sums = sums_of(target("cuda"), case, *arguments)
    for one, other in zip(sums, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_with_little_room_fewer_blocks_take_more_tiles_each(many, monkeypatch):
    case, expected = many
    monkeypatch.setattr(_launch, "ROOM", 1)
    sums = sums_of(target("cuda"), case, case.X, case.weights)
    for one, other in zip(sums, expected, strict=True):
        case.close(one, other)


def test_results_may_be_on_the_device(many):
    kernels, case = target("cuda"), many[0]
    memories, dynamics = case.memories, case.free()._replace(missing=True)
    X = with_holes(case)
    here = np.empty((MANY, 4)), np.empty((MANY, 3)), np.empty((MANY, 3, 3))
    there = [cuda.device_array(array.shape, array.dtype) for array in here]
    for rows, (p, ends, states) in ((X, here), (cuda.to_device(X), there)):
        kernels.seen_logits(rows, memories, p)
        kernels.retrieve(rows, memories, dynamics, ends)
        kernels.trajectory(rows, memories, dynamics, states)
    for array, place in zip(here, there, strict=True):
        np.testing.assert_array_equal(place.copy_to_host(), array)


def test_both_targets_have_the_same_kernels():
    """But for the one that seats rows one after the other, in shapes and on the sphere.

    A GPU refuses memories with roots: see tests/execution/test_device.py.
    """
    shared = {name for name in target("cpu").__all__ if not name.startswith(ONLY_CPU)}
    assert shared - {"seat"} <= set(target("cuda").__all__)
