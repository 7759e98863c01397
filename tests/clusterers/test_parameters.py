"""Anything goes in; a result or a named error comes out."""

import re
import warnings
from contextlib import redirect_stdout
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from numbers import Integral

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amcluster import (
    AssociativeImputer,
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    SphericalCLAMClusterer,
)

from ..strategies import on_demand, tables

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

numbers = st.one_of(
    st.integers(-2, 12), st.floats(-2, 12), st.sampled_from([np.nan, np.inf, 1e300])
)
SHARED = {
    "n_clusters": st.one_of(st.integers(1, 6), numbers),
    "beta": st.one_of(st.just("auto"), numbers),
    "weights": st.sampled_from(["uniform", "learned", "other", None]),
    "init": st.sampled_from(["k-means++", "random", "other", None, 3.0, [[0.0]]]),
    "n_init": st.one_of(st.sampled_from(["auto", 2, 3]), numbers),
    "max_iter": st.one_of(st.integers(1, 5), numbers),
    "tol": numbers,
    "random_state": st.sampled_from([None, 0, "other", -1]),
    "verbose": st.sampled_from([0, 1, -1]),
}
PARAMETERS = {
    CLAMClusterer: SHARED
    | {
        "n_steps": st.one_of(st.integers(1, 12), numbers),
        "step_size": numbers,
        "mask_fraction": numbers,
        "solver": st.sampled_from(["lbfgs", "adam", "other", None]),
        "learning_rate": numbers,
        "batch_size": st.one_of(st.integers(1, 50), numbers),
    },
    on_demand: {
        name: SHARED[name]
        for name in ("beta", "n_init", "max_iter", "tol", "random_state", "verbose")
    }
    | {
        "concentration": numbers,
        "discount": numbers,
        "base_precision": st.one_of(st.just("auto"), numbers),
        "metric": st.sampled_from(["euclidean", "learned", "other", None]),
        "creation": st.sampled_from(["posterior", "flow", "other", None]),
        "assignment": st.sampled_from(["soft", "hard", "other", None]),
        "min_cluster_size": st.one_of(st.integers(1, 6), numbers),
        "decay": numbers,
    },
    CLAMELBOClusterer: SHARED
    | {
        "likelihood": st.sampled_from(["gaussian", "student_t", "other", None]),
        "nu": numbers,
        "metric": st.sampled_from(["euclidean", "learned", "other", None]),
    },
}
SPHERICAL = {name: SHARED[name] for name in SHARED if name != "beta"} | {
    "concentration": st.one_of(st.sampled_from(["tied", "free", "other"]), numbers),
    "assignment": st.sampled_from(["soft", "hard", "other", None]),
}
wild_tables = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=12),
).map(lambda X: X if X.dtype != np.int64 else X % 100)


def test_a_base_measure_of_extreme_precision_leaves_a_density():
    clam = CRPAssociativeClusterer(base_precision=1e300).fit([[0.0]])
    assert np.isfinite(clam.score([[0.0]]))


def test_a_beta_that_the_dtype_cannot_hold_is_named():
    X = np.arange(20.0)[:, None]
    for estimator in PARAMETERS:
        clam = estimator(n_clusters=2, beta=1e300)
        clam.fit(X)
        with pytest.raises(ValueError, match=r"beta == 1e.300, must be <= 3.4e.38"):
            clam.fit(X.astype(np.float32))


def test_a_number_of_clusters_is_not_taken_for_a_concentration():
    with pytest.raises(TypeError, match="positional"):
        CRPAssociativeClusterer(8)


def test_a_seed_that_cannot_be_is_named():
    for estimator in PARAMETERS:
        with pytest.raises(ValueError, match="random_state=-1 is no seed"):
            estimator(n_clusters=2, random_state=-1).fit(np.arange(20.0)[:, None])


@given(
    st.sampled_from([*PARAMETERS, SphericalCLAMClusterer]),
    st.one_of(tables(), wild_tables),
    st.data(),
)
@settings(max_examples=200)
def test_a_result_or_a_named_error(estimator, X, data):
    choices = PARAMETERS.get(estimator, SPHERICAL)
    names = data.draw(st.lists(st.sampled_from(sorted(choices)), max_size=3))
    parameters = {name: data.draw(choices[name], label=name) for name in names}
    clam = estimator(**{"n_clusters": 2, "max_iter": 5, **parameters})
    named = "|".join([*parameters, "n_clusters", "n_samples", "X ", "array", "NaN"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clam.fit(X)
        except (ValueError, TypeError) as error:
            if not re.search(f"{named}|infinity|inf|random", str(error)):
                raise
            return
    assert clam.labels_.shape == (len(X),)
    assert np.isfinite(clam.predict_proba(X)).all()
    assert np.isfinite(clam.score(X))


# Numbers of other types, and too large ones

odd_numbers = st.one_of(
    st.builds(
        lambda kind, value: kind(value),
        st.sampled_from(
            [np.int8, np.uint8, np.int16, np.uint64, np.int64, np.float16, np.float32]
        ),
        st.integers(0, 5),
    ),
    st.sampled_from(
        [
            *(np.uint8(255), np.int8(127), np.int64(2**62), 2**63, 2**64, -(2**70)),
            *(10**400, -(10**400), 10**5000, Fraction(1, 2), Fraction(10**400)),
            *(np.array(1.0), np.array([2]), np.bool_(True), True, False, Decimal(1)),
            *(np.float16(0.1), np.float32(0.3), np.longdouble(0.3), 1 + 0j, "1", b"1"),
        ]
    ),
)
NUMBERS = {
    CLAMClusterer: "n_clusters beta n_steps step_size mask_fraction n_init"
    " learning_rate batch_size max_iter tol random_state verbose",
    CLAMELBOClusterer: "n_clusters nu beta n_init max_iter tol random_state verbose",
    CRPAssociativeClusterer: "concentration discount base_precision beta n_init tol"
    " min_cluster_size decay max_iter random_state verbose",
    SphericalCLAMClusterer: "n_clusters concentration n_init max_iter tol random_state"
    " verbose",
    AssociativeImputer: "n_clusters random_state",
}
ENDLESS = {"n_init", "n_steps", "max_iter", "n_clusters"}  # that many can be asked for


def plain(number):
    """The number of Python that is meant."""
    return int(number) if isinstance(number, Integral) else float(number)


@given(st.sampled_from(list(NUMBERS)), odd_numbers, st.data())
@settings(max_examples=100)
def test_a_number_of_another_type_is_that_number_or_named(estimator, number, data):
    name = data.draw(st.sampled_from(NUMBERS[estimator].split()))
    if name in ENDLESS and isinstance(number, Integral):
        assume(not 300 < number < 2**63)
    kind = {}
    if name in ("batch_size", "learning_rate"):
        kind = {"solver": "adam"}
    elif name == "nu":
        kind = {"likelihood": "student_t"}
    if estimator is not AssociativeImputer and name != "max_iter":
        kind["max_iter"] = 3
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(30, 2)), rng.normal(8, 1, size=(30, 2))]
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="overflow")
        try:
            model = estimator(**{"random_state": 0, name: number, **kind}).fit(X)
        except (ValueError, TypeError) as error:
            if not re.search(f"{name}|n_samples", str(error)):
                raise
            return
        expected = estimator(**{"random_state": 0, name: plain(number), **kind}).fit(X)
    for attribute in ("cluster_centers_", "beta_", "n_clusters_"):
        if hasattr(model, attribute):
            expected_value = getattr(expected, attribute)
            np.testing.assert_array_equal(getattr(model, attribute), expected_value)


@given(st.sampled_from(["retrieve", "trajectory", "sample"]), odd_numbers, st.data())
def test_a_number_of_another_type_is_that_number_for_methods(method, number, data):
    parameter = data.draw(st.sampled_from(["n_steps", "step_size"]))
    parameter = "n_samples" if method == "sample" else parameter
    if parameter != "step_size" and isinstance(number, Integral):
        assume(not 300 < number < 2**63)
    X = np.arange(20.0)[:, None]
    for estimator in (CLAMClusterer, CLAMELBOClusterer, on_demand):
        model = estimator(n_clusters=2, random_state=0).fit(X)
        if not hasattr(model, method):
            continue
        rows = {} if method == "sample" else {"X": X}
        try:
            actual = getattr(model, method)(**rows, **{parameter: number})
        except (ValueError, TypeError) as error:
            if parameter not in str(error):
                raise
            continue
        expected = getattr(model, method)(**rows, **{parameter: plain(number)})
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(one, other)
