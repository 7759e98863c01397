"""What holds for any data: found by hypothesis, not by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import special_ortho_group
from sklearn.metrics import adjusted_rand_score

from amcluster import CLAMClusterer, CLAMELBOClusterer

from ..strategies import (
    CRP_VARIANTS,
    ESTIMATORS,
    models,
    on_demand,
    seeds,
    separated,
    tables,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def partition(X, n_clusters, estimator=CLAMClusterer):
    model = estimator(n_clusters, random_state=0).fit(X)
    return model, model.labels_


def same_partition(a, b):
    return adjusted_rand_score(a, b) == 1.0


# Energies and posteriors


@given(
    models(st.one_of(st.just(CLAMClusterer), CRP_VARIANTS)),
    st.floats(0.01, 1.99),
)
def test_energy_never_rises_along_a_trajectory(model, step_size):
    clam, X = model
    states = clam.trajectory(X, n_steps=8, step_size=step_size)
    energies = clam.energy(states.reshape(-1, X.shape[1])).reshape(len(X), -1)
    eps = np.finfo(X.dtype).eps
    # Rounding of states moves an energy by about the size of its squares.
    scale = np.square(np.abs(X).max() + np.abs(clam.cluster_centers_).max()) + 1
    slack = 100 * eps * (scale * X.shape[1] + np.abs(energies).max())
    assert np.diff(energies.astype(float), axis=1).max() <= slack


@given(models())
def test_posteriors_sum_to_one_and_predict_is_their_argmax(model):
    clam, X = model
    proba = clam.predict_proba(X)
    assert np.all((proba >= 0) & (proba <= 1))
    eps = np.finfo(X.dtype).eps
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=10 * eps)
    np.testing.assert_array_equal(clam.predict(X), proba.argmax(axis=1))
    np.testing.assert_array_equal(clam.predict(X), clam.labels_)


@given(models())
def test_one_row_equals_all(model):
    clam, X = model
    for method in ("predict", "predict_proba", "score_samples", "energy"):
        whole = getattr(clam, method)(X)
        single = [getattr(clam, method)(X[i : i + 1])[0] for i in range(len(X))]
        np.testing.assert_array_equal(whole, single)


@given(models())
def test_everything_learned_is_finite(model):
    clam, X = model
    for value in (clam.cluster_centers_, clam.weights_, clam.history_):
        assert np.isfinite(value).all()
    assert 0 < clam.beta_ < np.inf
    np.testing.assert_allclose(clam.weights_.sum(), 1, rtol=1e-5)
    assert np.isfinite(clam.score(X))


@given(models())
def test_history_never_rises(model):
    clam, _ = model
    assert np.all(np.diff(clam.history_) <= 0)


# One answer for one set of rows


@given(tables(max_rows=40), seeds, ESTIMATORS)
def test_row_order_leaves_the_memories(X, seed, estimator):
    n_clusters = min(3, len(X))
    order = np.random.default_rng(seed).permutation(len(X))
    (a, labels), (b, shuffled) = (
        partition(rows, n_clusters, estimator) for rows in (X, X[order])
    )
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(labels[order], shuffled)


@given(tables(max_rows=20), st.data(), ESTIMATORS)
def test_weights_are_copies(X, data, estimator):
    weights = data.draw(hnp.arrays(np.int64, len(X), elements=st.integers(0, 3)))
    weights[0] = 3
    copies = np.repeat(X, weights, axis=0)
    n_clusters = min(3, np.count_nonzero(weights))
    a = estimator(n_clusters, random_state=0).fit(X, sample_weight=weights)
    b = estimator(n_clusters, random_state=0).fit(copies)
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(np.repeat(a.labels_, weights), b.labels_)


@given(tables(), st.integers(-20, 20), st.sampled_from(["k-means++", "random"]))
def test_scaling_by_a_power_of_two_is_exact(X, exponent, init):
    """From random rows there is more to learn."""
    X = X.astype(np.float64)
    X[np.abs(X) < 1e-100] = 0  # scaling must not underflow
    n_clusters = min(3, len(X))
    (a, labels), (b, scaled) = (
        partition(rows, n_clusters, partial(CLAMClusterer, init=init))
        for rows in (X, np.ldexp(X, exponent))
    )
    np.testing.assert_array_equal(
        np.ldexp(a.cluster_centers_, exponent), b.cluster_centers_
    )
    np.testing.assert_array_equal(labels, scaled)


@given(separated(), seeds, ESTIMATORS)
def test_clear_clusters_survive_moves_turns_and_shuffles(data, seed, estimator):
    X, n_clusters = data
    rng = np.random.default_rng(seed)
    _, expected = partition(X, n_clusters, estimator)
    turn = special_ortho_group.rvs(X.shape[1], random_state=rng)
    order = rng.permutation(len(X))
    moved = (X @ turn + rng.normal(scale=1e4, size=X.shape[1]))[order]
    _, labels = partition(moved, n_clusters, estimator)
    assert same_partition(labels, expected[order])


# Units of the columns

LEARNED = st.one_of(
    st.sampled_from(["gaussian", "student_t"]).map(
        lambda likelihood: partial(
            CLAMELBOClusterer, metric="learned", likelihood=likelihood, n_init=2
        )
    ),
    st.sampled_from(["soft", "hard"]).map(
        lambda assignment: partial(on_demand, assignment=assignment)
    ),
)


def in_units(X, exponents):
    """X in other units, and by how much that raises a log density."""
    scaled = np.ldexp(X, exponents).astype(X.dtype)
    return scaled, -np.log(2.0) * np.sum(exponents[X.any(axis=0)])


@given(tables(), st.data(), LEARNED)
def test_units_of_columns_leave_a_learned_metric(X, data, estimator):
    """Up to 2^40 times larger or smaller, constant columns included."""
    X = np.round(X, 6)  # what is tiny beside its column would underflow
    exponents = data.draw(
        hnp.arrays(np.int64, X.shape[1], elements=st.integers(-40, 40))
    )
    scaled, gain = in_units(X, exponents)
    n_clusters = min(3, len(X))
    a = estimator(n_clusters, random_state=0).fit(X)
    b = estimator(n_clusters, random_state=0).fit(scaled)
    eps = np.finfo(X.dtype).eps
    slack = {"rtol": np.sqrt(eps), "atol": 10 * np.sqrt(eps)}
    np.testing.assert_allclose(b.score(scaled), a.score(X) + gain, **slack)
    np.testing.assert_allclose(
        b.cluster_centers_, np.ldexp(a.cluster_centers_, exponents), rtol=1e-4
    )
    np.testing.assert_allclose(b.predict_proba(scaled), a.predict_proba(X), **slack)


@given(separated(), st.data(), LEARNED, st.booleans())
def test_clear_clusters_are_found_in_any_units(data, units, estimator, holes):
    X, n_clusters = data
    if holes:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    logs = units.draw(
        hnp.arrays(float, X.shape[1], elements=st.floats(-12, 12, allow_nan=False))
    )
    _, expected = partition(X, n_clusters, estimator)
    _, labels = partition(X * 10**logs, n_clusters, estimator)
    assert adjusted_rand_score(labels, expected) > 0.99


# Rows that are far away


@st.composite
def far_away(draw, X):
    """A few rows of any finite numbers, with holes too, in the form of a table."""
    largest = float(np.finfo(X.dtype).max)
    width = X.dtype.itemsize * 8
    of_any_size = st.floats(-largest, largest, width=width)
    fills = X.dtype.type([1e20, -1e20, 9.96921e36, largest, -largest])
    fill_values = st.sampled_from(fills.tolist())
    elements = st.one_of(of_any_size, fill_values, st.just(np.nan))
    shape = draw(st.integers(1, 3)), X.shape[1]
    rows = draw(hnp.arrays(X.dtype, shape, elements=elements))
    # Near rows with holes would have `transform` take another way for all.
    rows[np.isnan(rows).all(axis=1) | (np.nan_to_num(abs(rows)).max(axis=1) < 1e19)] = (
        largest
    )
    return rows


@given(models(), st.booleans(), st.data())
@settings(max_examples=50)
def test_far_rows_change_nothing_for_others(model, holes, data):
    clam, X = model
    if holes:
        X = np.where(data.draw(hnp.arrays(bool, X.shape)), np.nan, X)
    both = np.concatenate([X, data.draw(far_away(X))])
    methods = ["predict", "predict_proba", "transform", "score_samples", "energy"]
    methods += ["retrieve", "trajectory", "complete", "novelty"]
    for method in methods:
        if not hasattr(clam, method):
            continue
        alone = getattr(clam, method)(X)
        together = getattr(clam, method)(both)
        np.testing.assert_array_equal(together[: len(X)], alone, err_msg=method)
        if method != "transform":  # a row with nothing seen is at no distance
            assert not np.isnan(together).any(), method
