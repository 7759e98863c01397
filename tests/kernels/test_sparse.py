"""What kernels for sparse rows have of their own: lengths, hashes, comparisons."""

import numpy as np
import pytest
from scipy import sparse

from amcluster.kernels import NonZeros, target

from .sphere_cases import SphereCase, dtypes

kernels = target()
index_dtypes = pytest.mark.parametrize("index_dtype", [np.int32, np.int64])


def rows_of(X, index_dtype=np.int32):
    """A table as kernels take it, without its zeros."""
    matrix = sparse.csr_matrix(X)
    indices, starts = matrix.indices.astype(index_dtype), matrix.indptr.astype(np.int64)
    return NonZeros(matrix.data, indices, starts)


def hashes(rows):
    out = np.empty(len(rows.starts) - 1, np.uint64)
    kernels.sparse_hash(rows, out)
    return out


@dtypes
@index_dtypes
def test_inverse_lengths(dtype, index_dtype):
    case, out = SphereCase((300, 70, 21), dtype), np.empty(300)
    kernels.sparse_inverse_lengths(rows_of(case.X, index_dtype), out)
    np.testing.assert_allclose(out, case.inverse_norms, rtol=1e-6)
    assert out[2] == np.inf


def test_equal_rows_have_equal_hashes_and_others_do_not():
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, (500, 4)) * rng.integers(1, 3, (500, 4)) * 1.0
    inverse = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    found = hashes(rows_of(X))
    same = found[:, None] == found
    np.testing.assert_array_equal(same, inverse[:, None] == inverse)
    for kind in np.float32, np.float64:
        for index_dtype in np.int32, np.int64:
            again = hashes(rows_of(X.astype(kind), index_dtype))
            np.testing.assert_array_equal(again, found)


def test_stored_zeros_are_absent():
    rows = NonZeros(
        data=np.array([0.0, 1.0, -0.0, 1.0, 0.0, 2.0, -0.0]),
        indices=np.array([0, 1, 2, 1, 0, 1, 3], np.int32),
        starts=np.array([0, 3, 4, 6, 7, 7]),
    )
    a, b, c, d, e = hashes(rows)
    assert a == b != c
    assert d == e != c
    differs = np.ones(5, bool)
    kernels.sparse_differences(rows, np.arange(5), differs)
    np.testing.assert_array_equal(differs, [True, False, True, True, False])


@dtypes
@index_dtypes
def test_differ_from_previous(dtype, index_dtype):
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, (200, 3)).astype(dtype)
    order = rng.permutation(200)
    differs = np.ones(200, bool)
    kernels.sparse_differences(rows_of(X, index_dtype), order, differs)
    expected = (X[order][1:] != X[order][:-1]).any(axis=1)
    np.testing.assert_array_equal(differs[1:], expected)
