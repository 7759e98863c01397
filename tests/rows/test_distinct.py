"""Distinct rows do not depend on order, copies, or the sign of zero."""

import numpy as np
import pytest

from amcluster.rows.distinct import distinct_rows

rng = np.random.default_rng(0)
TIED = rng.integers(0, 3, size=(200, 4)).astype(float)
CONTINUOUS = rng.normal(size=(50, 3))
MIXED = np.column_stack([TIED[:50, 0], CONTINUOUS])
tables = pytest.mark.parametrize(
    "X", [TIED, CONTINUOUS, MIXED, TIED[:, :1], TIED[:1]], ids=lambda X: str(X.shape)
)


def same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


@tables
def test_agrees_with_numpy_unique(X):
    weights = rng.uniform(0.1, 1, len(X))
    rows = distinct_rows(X, weights)
    values, inverse = np.unique(X, axis=0, return_inverse=True)
    np.testing.assert_allclose(rows.values + rows.offset, values, atol=1e-15)
    np.testing.assert_allclose(rows.weights, np.bincount(inverse.ravel(), weights))
    np.testing.assert_allclose(rows.offset, np.average(X, axis=0, weights=weights))
    assert rows.values.flags.c_contiguous


@tables
def test_order_does_not_matter(X):
    weights = rng.uniform(0.1, 1, len(X))
    expected = distinct_rows(X, weights)
    for _ in range(20):
        order = rng.permutation(len(X))
        same(distinct_rows(X[order], weights[order]), expected)


@tables
def test_copies_equal_weights_and_weight_zero_is_absence(X):
    weights = rng.integers(0, 4, len(X)).astype(float)
    weights[0] = 2
    copies = np.repeat(X, weights.astype(int), axis=0)
    same(distinct_rows(copies, np.ones(len(copies))), distinct_rows(X, weights))


def test_signs_of_zero_are_one_row():
    rows = distinct_rows(np.array([[0.0, 1.0], [-0.0, 1.0]]), np.ones(2))
    assert rows.values.shape == (1, 2)
    assert rows.weights == [2.0]


def test_input_is_left_alone_and_dtype_kept():
    X = CONTINUOUS.astype(np.float32)
    before = X.copy()
    rows = distinct_rows(X, np.ones(len(X)))
    np.testing.assert_array_equal(X, before)
    assert rows.values.dtype == rows.offset.dtype == np.float32


def test_total_variance():
    weights = rng.uniform(size=50)
    rows = distinct_rows(CONTINUOUS, weights)
    mean = np.average(CONTINUOUS, axis=0, weights=weights)
    squares = ((CONTINUOUS - mean) ** 2).sum(axis=1)
    expected = np.average(squares, weights=weights)
    np.testing.assert_allclose(rows.total_variance, expected)


def test_spread_out_is_along_the_order():
    X = np.random.default_rng(0).normal(size=(100, 2))
    rows = distinct_rows(X, np.ones(100))
    few = rows.spread_out(30)
    np.testing.assert_array_equal(few.values, rows.values[::4])
    assert len(few.weights) == 25
    assert few.values.flags.c_contiguous
    assert few.weights.flags.c_contiguous
    assert rows.spread_out(100).values is not few.values
    np.testing.assert_array_equal(rows.spread_out(200).values, rows.values)


def test_missing_values_are_values_of_their_own():
    nan = np.nan
    X = np.array([[1.0, nan], [nan, 2.0], [1.0, nan], [1.0, 4.0], [nan, nan]])
    rows = distinct_rows(X, np.array([1.0, 1.0, 2.0, 1.0, 1.0]))
    assert rows.has_missing
    np.testing.assert_array_equal(rows.offset, [1.0, 3.0])
    np.testing.assert_array_equal(rows.weights, [1.0, 3.0, 1.0, 1.0])
    np.testing.assert_array_equal(
        rows.values, [[0.0, 1.0], [0.0, nan], [nan, -1.0], [nan, nan]]
    )
    assert rows.n_values == 1 * 2 + 3 + 1
    assert rows.total_variance == 1.0
