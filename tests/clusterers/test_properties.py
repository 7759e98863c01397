"""What holds for any data: found by hypothesis, not by hand."""

import re
import warnings
from contextlib import redirect_stdout
from decimal import Decimal
from fractions import Fraction
from functools import partial
from io import StringIO
from itertools import pairwise
from numbers import Integral

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import special_ortho_group
from sklearn.metrics import adjusted_rand_score

from amcluster import (
    AssociativeImputer,
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
)
from amcluster.execution import threads
from amcluster.execution.threads import sum_over
from amcluster.kernels import Dynamics, Memories, target

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**31)


@st.composite
def tables(draw, max_rows=30, max_features=4):
    """Any finite table of moderate size, with ties more likely than by chance."""
    shape = draw(st.integers(1, max_rows)), draw(st.integers(1, max_features))
    numbers = st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3, width=32))
    return draw(hnp.arrays(draw(dtypes), shape, elements=numbers))


ELBO_VARIANTS = st.fixed_dictionaries(
    {
        "likelihood": st.sampled_from(["gaussian", "student_t"]),
        "metric": st.sampled_from(["euclidean", "learned"]),
    }
).map(lambda variant: partial(CLAMELBOClusterer, max_iter=30, **variant))


def on_demand(n_clusters, weights="learned", n_init=1, **parameters):
    """The estimator that is not told how many, called like the others."""
    return CRPAssociativeClusterer(n_init=n_init, **parameters)


CRP_VARIANTS = st.fixed_dictionaries(
    {
        "assignment": st.sampled_from(["soft", "hard"]),
        "metric": st.sampled_from(["euclidean", "learned"]),
        "min_cluster_size": st.sampled_from([1, 5]),
        "concentration": st.sampled_from([1e-3, 1.0]),
        "discount": st.sampled_from([0.0, 0.3]),
    }
).map(lambda variant: partial(on_demand, **variant))
ESTIMATORS = st.one_of(st.just(CLAMClusterer), ELBO_VARIANTS, CRP_VARIANTS)


@st.composite
def models(draw, estimators=ESTIMATORS):
    """A fitted model and the table it was fitted to."""
    X = draw(tables())
    X[np.abs(X) < 1e-10] = 0  # squared distances are to be numbers of float32
    model = draw(estimators)(
        draw(st.integers(1, min(5, len(X)))),
        beta=draw(st.sampled_from(["auto", 0.01, 1.0])),
        weights=draw(st.sampled_from(["uniform", "learned"])),
        n_init=1,
        random_state=draw(seeds),
    )
    return model.fit(X), X


@st.composite
def separated(draw):
    """Clusters with a clear margin: balls of radius 1 at a distance of 20 or more."""
    rng = np.random.default_rng(draw(seeds))
    n_clusters = draw(st.integers(2, 5))
    n_features = draw(st.integers(2, 5))
    corners = rng.permutation(2**n_features)[:n_clusters] if n_clusters <= 4 else None
    if corners is None:
        centers = 20.0 * np.arange(n_clusters)[:, None] * np.ones(n_features)
    else:
        centers = 20.0 * (corners[:, None] >> np.arange(n_features) & 1)
    sizes = rng.integers(5, 30, n_clusters)
    inside = rng.normal(size=(sizes.sum(), n_features))
    inside /= np.maximum(1, np.linalg.norm(inside, axis=1, keepdims=True))
    return np.repeat(centers, sizes, axis=0) + inside, n_clusters


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


# Blocks


@given(tables(), seeds, st.data())
def test_any_split_gives_the_same_sums(X, seed, data):
    rng = np.random.default_rng(seed)
    X = X.astype(np.float64)
    memories = Memories(rng.normal(size=(3, X.shape[1])), np.log([0.2, 0.3, 0.5]), 0.1)
    dynamics = Dynamics.free(X.shape[1], 4, 0.5, np.float64)
    weights = rng.uniform(size=len(X))
    kernel = target().reconstruction_gradient
    whole = sum_over(kernel, X, weights, memories.astype(float), dynamics)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(X)), max_size=4)))
    edges = [0, *cuts, len(X)]
    parts = [
        sum_over(kernel, X[a:b], weights[a:b], memories.astype(float), dynamics)
        for a, b in pairwise(edges)
        if a < b
    ]
    for total, *pieces in zip(whole, *parts, strict=True):
        size = max(np.abs(np.array(pieces)).max(), 1e-300)
        np.testing.assert_allclose(sum(pieces), total, atol=1e-12 * size * len(pieces))


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


@given(separated(), st.sampled_from([1, 3, 50, 1 << 30]), st.integers(1, 5))
def test_blocks_and_threads_leave_clear_clusters(data, block_work, n_threads):
    X, n_clusters = data
    _, expected = partition(X, n_clusters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "BLOCK_WORK", block_work * 100)
        patch.setattr(threads, "THREAD_WORK", 1)
        patch.setattr(threads, "n_threads", lambda: n_threads)
        _, labels = partition(X, n_clusters)
    np.testing.assert_array_equal(labels, expected)


# Anything goes in, a result or a named error comes out

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


def test_a_seed_that_cannot_be_is_named():
    for estimator in PARAMETERS:
        with pytest.raises(ValueError, match="random_state=-1 is no seed"):
            estimator(n_clusters=2, random_state=-1).fit(np.arange(20.0)[:, None])


@given(st.sampled_from(list(PARAMETERS)), st.one_of(tables(), wild_tables), st.data())
@settings(max_examples=200)
def test_a_result_or_a_named_error(estimator, X, data):
    choices = PARAMETERS[estimator]
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


# What an imputer fills in, and what it leaves


@st.composite
def holed_tables(draw):
    """A table with NaN in places; perhaps in all of a row, or of a column."""
    X = draw(tables(max_rows=15))
    holes = draw(hnp.arrays(np.bool_, X.shape))
    return np.where(holes, X.dtype.type(np.nan), X)


IMPUTERS = st.fixed_dictionaries(
    {
        "n_clusters": st.sampled_from(["auto", 1]),
        "metric": st.sampled_from(["learned", "euclidean"]),
        "likelihood": st.sampled_from(["gaussian", "student_t"]),
        "random_state": st.just(0),
        "keep_empty_features": st.just(True),
    }
)


def as_bits(values):
    return values.view(f"u{values.dtype.itemsize}")


@given(holed_tables(), IMPUTERS)
def test_what_is_seen_is_left_bit_for_bit(X, parameters):
    filled = AssociativeImputer(**parameters).fit(X).transform(X)
    seen = ~np.isnan(X)
    assert filled.dtype == X.dtype
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(as_bits(filled[seen]), as_bits(X[seen]))
    assert not filled[:, ~seen.any(axis=0)].any()


@given(holed_tables(), IMPUTERS, st.data())
def test_what_is_filled_in_keeps_to_its_bounds(X, parameters, data):
    elements = st.floats(-100, 100)
    shape = () if data.draw(st.booleans()) else X.shape[1]
    low = data.draw(hnp.arrays(np.float64, shape, elements=elements))
    high = low + data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0.1, 9)))
    imputer = AssociativeImputer(min_value=low, max_value=high, **parameters)
    filled = imputer.fit_transform(X)
    hidden, empty = np.isnan(X), np.isnan(X).all(axis=0)
    inside = (low <= filled.astype(np.float64)) & (filled.astype(np.float64) <= high)
    assert inside[hidden & ~empty].all()


@given(holed_tables(), IMPUTERS, st.sampled_from([-5, 2000, 0.5, np.float64(1 / 3)]))
def test_a_mark_for_missing_values_is_as_nan(X, parameters, mark):
    X[X.dtype.type(mark) == X] = np.nan
    expected = AssociativeImputer(**parameters).fit_transform(X)
    marked = np.where(np.isnan(X), X.dtype.type(mark), X)
    imputer = AssociativeImputer(missing_values=mark, **parameters)
    np.testing.assert_array_equal(imputer.fit_transform(marked), expected)


@given(holed_tables(), IMPUTERS, st.integers(-20, 20))
def test_a_column_in_another_unit_is_filled_in_that(X, parameters, exponent):
    """By the scaler, so but for what rounding makes of deviations."""
    X = X.astype(np.float64)
    X[np.abs(X) < 1e-100] = 0
    units = np.ldexp(1.0, exponent * (np.arange(X.shape[1]) % 2))
    imputer = AssociativeImputer(**parameters)
    expected = imputer.fit_transform(X) * units
    np.testing.assert_array_equal(imputer.fit_transform(X * units), expected)


# Streams: any split, any start, any decay


@st.composite
def streams(draw, n_rows=600):
    """Clear blobs with a bad start: rows, their blob or -1, and sizes of batches."""
    rng = np.random.default_rng(draw(seeds))
    n_clusters, n_features = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    centers = 12.0 * np.eye(n_features + 4)[:n_clusters, :n_features]
    centers[:, 0] += 12.0 * np.arange(n_clusters)
    y = rng.integers(0, n_clusters, n_rows)
    X = centers[y] + rng.normal(size=(n_rows, n_features))
    start = draw(st.sampled_from(["clean", "constant", "narrow", "contaminated"]))
    n_bad = draw(st.integers(1, 20 if start == "contaminated" else n_rows // 2))
    bad = rng.choice(n_rows // 2, n_bad, replace=False)
    if start == "contaminated":
        size = 10.0 ** draw(st.sampled_from([6, 10, 30, 100]))
        X[bad] = size * rng.normal(size=(n_bad, n_features))
    elif start != "clean":
        bad = np.arange(n_bad)
        scale = draw(st.sampled_from([1e-9, 1e-6, 1e-3])) if start == "narrow" else 0.0
        X[bad] = X[0] + scale * rng.normal(size=(n_bad, n_features))
    if start != "clean":
        y[bad] = -1
    sizes = draw(
        st.one_of(
            st.sampled_from([[1000], [100], [37]]),
            st.lists(st.integers(1, 1000), min_size=1, max_size=20),
        )
    )
    return X, y, sizes


def batches(X, sizes):
    """Consecutive rows; sizes are taken in turn, over and over."""
    start, turn = 0, 0
    while start < len(X):
        size = sizes[turn % len(sizes)]
        yield X[start : start + size]
        start, turn = start + size, turn + 1


STREAM_VARIANTS = st.fixed_dictionaries(
    {
        "assignment": st.sampled_from(["soft", "hard"]),
        "creation": st.sampled_from(["posterior", "flow"]),
        "metric": st.sampled_from(["learned", "euclidean"]),
        "discount": st.sampled_from([0.0, 0.3]),
    }
)


@given(streams(), STREAM_VARIANTS, st.floats(0, 1, exclude_min=True))
def test_a_stream_leaves_a_finite_model(stream, variant, decay):
    X, _, sizes = stream
    crp = CRPAssociativeClusterer(random_state=0, decay=decay, **variant)
    for batch in batches(X[:300], sizes):
        crp.partial_fit(batch)
        for value in (crp.cluster_centers_, crp.counts_, crp.weights_, crp.inertia_):
            assert np.isfinite(value).all()
        assert 0 < crp.beta_ < np.inf
        assert (crp.counts_ > variant["discount"]).all()
        assert np.isfinite(crp.predict_proba(batch)).all()
        if crp._buffer is not None:
            assert len(crp._buffer[0]) < 500
    if decay == 1:
        np.testing.assert_allclose(crp.counts_.sum(), 300)


@given(streams(n_rows=2000), st.sampled_from([1.0, 0.5 ** (1 / 1000)]))
@settings(max_examples=15)
def test_a_stream_finds_clear_blobs_whatever_its_start(stream, decay):
    X, y, sizes = stream
    crp = CRPAssociativeClusterer(random_state=0, decay=decay)
    for batch in batches(X, [max(size, 20) for size in sizes]):
        crp.partial_fit(batch)
    assert abs(crp.n_clusters_ - y.max() - 1) <= 1
    assert crp._buffer is None or len(crp._buffer[0]) < 500
    assert adjusted_rand_score(y[y >= 0], crp.predict(X[y >= 0])) > 0.95


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
