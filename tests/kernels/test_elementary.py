"""exp, log and log1p of the kernels against those of more digits."""

import numba
import numpy as np
import pytest

from amcluster.kernels.cpu import elementary

from .cases import dtypes


@dtypes
@pytest.mark.parametrize(
    ("name", "function", "values"),
    [
        ("exp", np.exp, -np.geomspace(1e-30, 80, 1001)),
        ("log", np.log, np.geomspace(1e-30, 1e30, 1001)),
        ("log1p", np.log1p, np.geomspace(1e-30, 1e30, 1001)),
    ],
)
def test_elementary_functions(dtype, name, function, values):
    x = values.astype(dtype)
    actual = CALLS[name](x)
    expected = function(x.astype(np.longdouble))
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(dtype).eps)


@numba.njit
def call_exp(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.exp(x[i])
    return out


@numba.njit
def call_log(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.log(x[i])
    return out


@numba.njit
def call_log1p(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.log1p(x[i])
    return out


CALLS = {"exp": call_exp, "log": call_log, "log1p": call_log1p}


@dtypes
def test_elementary_functions_at_the_ends(dtype):
    ends = np.array([-np.inf, -1e30, 0], dtype)
    np.testing.assert_array_equal(call_exp(ends), [0, 0, 1])
    for call in (call_log, call_log1p):
        beyond = np.array([np.inf, np.nan], dtype)
        np.testing.assert_array_equal(call(beyond), beyond)
