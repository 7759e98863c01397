"""ModeClusterer: clusters as modes of a kernel density."""

import re
import warnings
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from sklearn.cluster import MeanShift
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KernelDensity

from amcluster import ModeClusterer

from ..data import clear_blobs, hide
from ..strategies import seeds
from ..strategies import tables as any_tables
from .test_parameters import numbers, odd_numbers, plain, wild_tables

NUMBERS = [
    *("bandwidth", "significance", "min_cluster_size", "max_memories", "step_size"),
    *("random_state", "verbose"),
]
ignore_warnings = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)


def squared_distances(X, memories):
    return np.nansum(np.square(X[:, None] - memories), axis=2)


@pytest.fixture(scope="module")
def fitted(blobs):
    return ModeClusterer(random_state=0).fit(blobs)


@pytest.mark.parametrize(
    ("n_features", "n_rows"), [(1, 50), (2, 50), (7, 50), (2, 4500)]
)
@ignore_warnings
def test_the_density_is_that_of_scikit_learn(n_features, n_rows):
    """Also where memories are met in slices."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)) * 3 + 1
    weights = rng.integers(1, 4, n_rows)
    new = rng.normal(size=(70, n_features)) * 5
    model = ModeClusterer(0.8, max_memories=n_rows).fit(X, sample_weight=weights)
    exact = KernelDensity(bandwidth=0.8, leaf_size=n_rows)
    expected = exact.fit(X, sample_weight=weights).score_samples(new)
    np.testing.assert_allclose(model.score_samples(new), expected, rtol=1e-9)
    memories, rows = np.sort(model.memories_, axis=0), np.sort(X, axis=0)
    np.testing.assert_allclose(memories, rows, rtol=1e-12, atol=1e-12)


def test_posteriors_are_those_of_kernels_summed(fitted, blobs):
    logits = np.log(fitted.memory_counts_) - fitted.beta_ * squared_distances(
        blobs, fitted.memories_
    )
    posteriors = softmax(logits, axis=1)
    expected = np.stack(
        [posteriors[:, fitted.memory_labels_ == k].sum(axis=1) for k in range(5)],
        axis=1,
    )
    np.testing.assert_allclose(fitted.predict_proba(blobs), expected, atol=1e-10)
    np.testing.assert_array_equal(fitted.labels_, expected.argmax(axis=1))
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(blobs))


def test_attributes(fitted, blobs):
    assert fitted.n_clusters_ == len(fitted.cluster_centers_) == 5
    assert fitted.n_modes_ == len(fitted.modes_) >= 5
    np.testing.assert_allclose(fitted.beta_, 0.5 / fitted.bandwidth_**2)
    np.testing.assert_allclose(fitted.weights_.sum(), 1)
    assert fitted.memory_counts_.sum() == len(blobs)
    # Centers are modes at rest, the highest of their clusters and the highest first.
    centers = fitted.cluster_centers_
    np.testing.assert_allclose(fitted.retrieve(centers), centers, atol=1e-6)
    heights = fitted.score_samples(fitted.modes_)
    assert (np.diff(heights) <= 1e-3).all()
    for k, center in enumerate(centers):
        first = np.flatnonzero(fitted.mode_labels_ == k)[0]
        np.testing.assert_array_equal(center, fitted.modes_[first])
    away = fitted.transform(blobs)[np.arange(len(blobs)), fitted.labels_]
    np.testing.assert_allclose(fitted.inertia_, np.square(away).sum())
    assert len(fitted.history_) == fitted.n_iter_
    assert fitted.history_[-1] == fitted.objective_ < fitted.history_[0]


def test_prominences_and_passes(fitted):
    assert fitted.prominences_[0] == np.inf
    assert np.isnan(fitted.saddles_[0]).all()
    modes, passes = (
        fitted.score_samples(one[1:]) for one in (fitted.modes_, fitted.saddles_)
    )
    expected = np.maximum(modes - passes, 0)
    np.testing.assert_allclose(fitted.prominences_[1:], expected, atol=1e-2)
    assert (fitted.prominences_[1:] >= 0).all()


@pytest.mark.parametrize("n_features", [1, 2, 3, 6])
@pytest.mark.parametrize("n_rows", [300, 2500])
def test_clear_groups_are_found(n_features, n_rows):
    for seed in range(3):
        X, y = clear_blobs(5, n_features, n_rows, seed=seed)
        model = ModeClusterer(random_state=0).fit(X)
        assert model.n_clusters_ == 5
        assert adjusted_rand_score(y, model.labels_) > 0.99


@ignore_warnings
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_one_group_is_one(n_features):
    for seed in range(3):
        X = np.random.default_rng(seed).normal(size=(400, n_features))
        assert ModeClusterer(random_state=0).fit(X).n_clusters_ == 1


def test_mean_shift_finds_the_same_blobs():
    X, _ = clear_blobs(4, 2, 300, distance=14)
    model = ModeClusterer(random_state=0).fit(X)
    flat = MeanShift(bandwidth=4).fit(X)
    again = ModeClusterer(1.0).fit(X)
    for labels in (model.labels_, again.labels_):
        assert adjusted_rand_score(flat.labels_, labels) == 1
    away = again.cluster_centers_[:, None] - flat.cluster_centers_
    assert np.linalg.norm(away, axis=2).min(axis=1).max() < 0.5


@ignore_warnings
@pytest.mark.parametrize(("distance", "n_modes"), [(1.98, 1), (2.02, 2)])
def test_two_rows_merge_at_twice_the_bandwidth(distance, n_modes):
    X = np.array([[1.0, 5.0], [1.0, 5.0 + 0.3 * distance]])
    model = ModeClusterer(0.3, significance=0, min_cluster_size=1).fit(X)
    assert model.n_modes_ == model.n_clusters_ == n_modes


def test_small_groups_dissolve():
    X, _ = clear_blobs(3, 2, 300, distance=12)
    few = np.array([[30.0, 0.0], [30.1, 0.1], [30.0, 0.1], [30.1, 0.0]])
    apart = X.max(axis=0) + few
    both = np.r_[X, apart]
    model = ModeClusterer(1.0).fit(both)
    assert model.n_clusters_ == 3
    assert len(set(model.labels_[-4:])) == 1
    kept = ModeClusterer(1.0, min_cluster_size=4).fit(both)
    assert kept.n_clusters_ == 4
    weights = np.r_[np.ones(len(X)), np.full(4, 1.25)]
    assert ModeClusterer(1.0).fit(both, sample_weight=weights).n_clusters_ == 4


def test_significance_merges():
    X, _ = clear_blobs(2, 1, 400, distance=3.2)
    counts = [
        ModeClusterer(0.35, significance=z).fit(X).n_clusters_ for z in (0, 0.5, 2)
    ]
    with pytest.warns(
        ConvergenceWarning, match="One cluster was found in 400 distinct"
    ):
        counts.append(ModeClusterer(0.35, significance=50).fit(X).n_clusters_)
    assert counts == sorted(counts, reverse=True)
    assert counts[2:] == [2, 1]


tables = st.tuples(seeds, st.integers(2, 60), st.integers(1, 4)).map(
    lambda case: np.random.default_rng(case[0]).normal(size=case[1:]).round(2)
)


@ignore_warnings
@given(tables, seeds, st.sampled_from([4096, 12]))
def test_order_and_copies_do_not_matter(X, seed, max_memories):
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, len(X))
    weights[0] = 1
    copied = rng.permutation(np.repeat(np.arange(len(X)), weights))
    model = ModeClusterer(max_memories=max_memories, random_state=0)
    copies = clone(model).fit(X[copied])
    model.fit(X, sample_weight=weights)
    assert model.bandwidth_ == copies.bandwidth_
    np.testing.assert_array_equal(model.modes_, copies.modes_)
    np.testing.assert_array_equal(model.prominences_, copies.prominences_)
    np.testing.assert_array_equal(model.memory_labels_, copies.memory_labels_)
    np.testing.assert_array_equal(model.labels_[copied], copies.labels_)


@ignore_warnings
@given(tables, st.sampled_from([2.0**-20, 2.0**10]))
def test_the_bandwidth_has_the_unit_of_X(X, unit):
    one, other = (ModeClusterer(random_state=0).fit(table) for table in (X, unit * X))
    np.testing.assert_allclose(other.bandwidth_, unit * one.bandwidth_, rtol=1e-9)
    np.testing.assert_allclose(
        other.modes_, unit * one.modes_, rtol=1e-6, atol=1e-6 * unit
    )
    np.testing.assert_array_equal(other.labels_, one.labels_)


@ignore_warnings
@given(tables, seeds)
def test_labels_are_those_of_enough_rows(X, seed):
    weights = np.random.default_rng(seed).uniform(0.5, 3, len(X))
    model = ModeClusterer(min_cluster_size=4).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    sizes = np.bincount(model.labels_, weights, model.n_clusters_)
    assert model.n_clusters_ == 1 or sizes.min() >= 4


def test_float32(blobs, fitted):
    narrow = ModeClusterer(random_state=0).fit(blobs.astype(np.float32))
    assert adjusted_rand_score(narrow.labels_, fitted.labels_) > 0.99
    for name in ("cluster_centers_", "weights_", "memories_", "modes_", "saddles_"):
        assert getattr(narrow, name).dtype == np.float32, name
    np.testing.assert_allclose(narrow.bandwidth_, fitted.bandwidth_, rtol=1e-3)
    far = ModeClusterer(random_state=0).fit((blobs + 1000).astype(np.float32))
    assert adjusted_rand_score(far.labels_, fitted.labels_) > 0.99


def test_many_rows_are_memories_by_draws():
    X, y = clear_blobs(4, 2, 6000)
    model = ModeClusterer(max_memories=500, random_state=0).fit(X)
    assert len(model.memories_) <= 500
    # Each stands for the rows that are nearest to it.
    nearest = squared_distances(X, model.memories_).argmin(axis=1)
    expected = np.bincount(nearest, minlength=len(model.memories_))
    np.testing.assert_array_equal(model.memory_counts_, expected)
    assert model.n_clusters_ == 4
    assert adjusted_rand_score(y, model.labels_) > 0.99
    whole = ModeClusterer(model.bandwidth_, max_memories=6000).fit(X)
    assert adjusted_rand_score(whole.labels_, model.labels_) > 0.99


def test_rows_with_missing_values_get_labels(blobs):
    X = hide(blobs, 0.1)
    complete = ~np.isnan(X).any(axis=1)
    with pytest.warns(
        UserWarning, match=f"{(~complete).sum()} of 500 rows have missing"
    ):
        model = ModeClusterer(random_state=0).fit(X)
    alone = ModeClusterer(random_state=0).fit(X[complete])
    np.testing.assert_array_equal(model.modes_, alone.modes_)
    np.testing.assert_array_equal(model.labels_, alone.predict(X))
    logits = -model.beta_ * squared_distances(X, model.memories_)
    posteriors = softmax(logits, axis=1)
    expected = np.where(np.isnan(X), posteriors @ model.memories_, X)
    np.testing.assert_allclose(model.complete(X), expected, rtol=1e-8)
    n_seen = np.count_nonzero(~np.isnan(X), axis=1)
    expected = logsumexp(logits, axis=1) - np.log(len(model.memories_))
    expected += n_seen / 2 * np.log(model.beta_ / np.pi)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-8)


@ignore_warnings
@pytest.mark.parametrize("size", [1e20, 1e300])
def test_a_row_of_nearly_all_the_weight(size, blobs):
    weights = np.r_[size, np.ones(len(blobs) - 1)]
    model = ModeClusterer().fit(blobs, sample_weight=weights)
    assert np.isfinite(model.score_samples(blobs)).all()
    np.testing.assert_allclose(model.cluster_centers_[0], blobs[0])


def test_no_complete_row():
    X = np.array([[1.0, np.nan], [np.nan, 2.0]])
    with pytest.raises(ValueError, match=r"NaN in every row.*AssociativeImputer"):
        ModeClusterer().fit(X)


def test_draws(fitted):
    X, y = fitted.sample(4000)
    np.testing.assert_allclose(
        np.bincount(y, minlength=5) / 4000, fitted.weights_, atol=0.03
    )
    mean = np.average(fitted.memories_, axis=0, weights=fitted.memory_counts_)
    np.testing.assert_allclose(X.mean(axis=0), mean, atol=0.4)
    assert (fitted.predict(X) == y).mean() > 0.99
    away = X - fitted.retrieve(X, n_steps=1)
    assert 0 < np.abs(away).mean() < 2 * fitted.bandwidth_


def test_a_fit_that_fails_keeps_the_earlier_one(blobs):
    model = ModeClusterer(random_state=0).fit(blobs)
    before = model.predict_proba(blobs)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full((5, 2), np.inf))
    with pytest.raises(ValueError, match="bandwidth"):
        model.set_params(bandwidth=1e-200).fit(blobs)
    np.testing.assert_array_equal(model.predict_proba(blobs), before)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bandwidth": "scott"}, "bandwidth == 'scott', must be \"auto\" or a"),
        ({"bandwidth": 0.0}, "bandwidth == 0.0"),
        ({"bandwidth": 1e200}, "bandwidth == 1e\\+200, must be between"),
        ({"significance": -1}, "significance == -1"),
        ({"min_cluster_size": 0}, "min_cluster_size == 0"),
        ({"max_memories": 0}, "max_memories == 0"),
        ({"step_size": 2}, "step_size == 2"),
        ({"random_state": "no"}, "random_state='no' is no seed"),
    ],
)
def test_errors(blobs, parameters, message):
    with pytest.raises(ValueError, match=message):
        ModeClusterer(**parameters).fit(blobs)


def test_no_bandwidth_is_a_type():
    with pytest.raises(TypeError, match="bandwidth"):
        ModeClusterer(None).fit([[0.0], [1.0]])


def test_rows_that_are_modes_are_warned_of():
    X = np.random.default_rng(0).normal(size=(100, 30))
    with pytest.warns(ConvergenceWarning, match="with 30 features.*CRPAssociative"):
        ModeClusterer().fit(X)


@ignore_warnings
@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_rows_that_are_all_one(n_rows):
    X = np.ones((n_rows, 3))
    model = ModeClusterer().fit(X)
    np.testing.assert_array_equal(model.cluster_centers_, X[:1])
    np.testing.assert_array_equal(model.labels_, 0)
    np.testing.assert_array_equal(model.memory_counts_, [n_rows])


@ignore_warnings
def test_rows_out_of_reach(fitted, blobs):
    """No memory is preferred where no distance is a number."""
    X = np.r_[blobs[:3], [[1e200, -1e200], [1e307, 1e307]]]
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba[:3], fitted.predict_proba(blobs[:3]))
    narrow = ModeClusterer(0.03, min_cluster_size=1).fit(blobs[:9].astype("f"))
    proba = narrow.predict_proba(np.float32([[1e38, 1e38]]))
    np.testing.assert_allclose(proba, 1 / narrow.n_clusters_, rtol=1e-6)
    weights = np.r_[np.ones(len(blobs)), 0]
    both = np.r_[blobs, [[1e200, 0]]]
    model = ModeClusterer(random_state=0).fit(both, sample_weight=weights)
    np.testing.assert_array_equal(model.labels_[:-1], fitted.labels_)


def test_progress(blobs, capsys):
    ModeClusterer(verbose=1).fit(blobs)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("Start 1, iteration 1: ")
    assert last.endswith(" states")


def test_callbacks(blobs, fitted):
    pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9")
    from .test_callbacks import Recorder

    recorder = Recorder()
    model = ModeClusterer(random_state=0).set_callbacks(recorder).fit(blobs)
    np.testing.assert_array_equal(model.labels_, fitted.labels_)
    assert recorder.count("start") == 1
    assert set(recorder.begun) == set(recorder.ended)
    assert recorder.count("iteration") == model.n_iter_ + 1
    stopped = (
        ModeClusterer(random_state=0).set_callbacks(Recorder(stop_at=3)).fit(blobs)
    )
    np.testing.assert_array_equal(stopped.history_, fitted.history_[:3])
    assert len(stopped.labels_) == len(blobs)


def test_a_state_that_was_changed_is_named(blobs):
    model = ModeClusterer(random_state=0).fit(blobs)
    model.memory_labels_ = model.memory_labels_[:-1]
    with pytest.raises(ValueError, match="memory_labels_ has shape"):
        model.predict(blobs)


@given(st.one_of(any_tables(), wild_tables), st.data())
@settings(max_examples=100)
def test_a_result_or_a_named_error(X, data):
    names = data.draw(st.lists(st.sampled_from(NUMBERS), max_size=3))
    parameters = {name: data.draw(numbers, label=name) for name in names}
    model, named = ModeClusterer(), "|".join([*names, "X ", "array", "NaN", "inf"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.set_params(**parameters).fit(X)
        except (ValueError, TypeError) as error:
            if not re.search(named, str(error)):
                raise
            return
    assert model.labels_.shape == (len(X),)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.isfinite(model.cluster_centers_).all()
    assert (model.prominences_ >= 0).all()


@given(st.sampled_from(NUMBERS), odd_numbers)
@settings(max_examples=100)
def test_a_number_of_another_type_is_that_number_or_named(name, number):
    X, _ = clear_blobs(3, 2, 60)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="overflow")
        try:
            model = ModeClusterer(**{"random_state": 0, name: number}).fit(X)
        except (ValueError, TypeError) as error:
            if name not in str(error):
                raise
            return
        same = ModeClusterer(**{"random_state": 0, name: plain(number)}).fit(X)
    np.testing.assert_array_equal(model.modes_, same.modes_)
    np.testing.assert_array_equal(model.labels_, same.labels_)
