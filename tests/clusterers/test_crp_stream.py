"""CRPAssociativeClusterer.partial_fit: rows that come in batches."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from amcluster import CRPAssociativeClusterer
from amcluster.nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from amcluster.nonparametric.stream import decayed, follow
from amcluster.rows.complete import DistinctRows

from ..data import clear_blobs
from ..strategies import seeds
from .crp import FORMS, fit, one_cluster


@pytest.mark.parametrize(
    ("form", "n_batches"), [(FORMS[0], 1), *((form, 20) for form in FORMS)], ids=str
)
def test_a_stream_finds_the_same_memories(form, n_batches):
    X, y = clear_blobs(6, 3, 1200)
    crp = CRPAssociativeClusterer(random_state=0, **form)
    for batch in np.array_split(X, n_batches):
        crp.partial_fit(batch)
        assert crp.predict(X).max() < crp.n_clusters_
    assert abs(crp.n_clusters_ - fit(X, **form).n_clusters_) <= 1
    np.testing.assert_allclose(crp.counts_.sum(), len(X))
    assert adjusted_rand_score(y, crp.predict(X)) > 0.99
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.05)


def test_warm_up_is_a_fit_of_all_rows(stretched):
    crp = CRPAssociativeClusterer(random_state=0)
    for batch in np.array_split(stretched, 7):
        crp.partial_fit(batch)
    whole = fit(stretched)
    np.testing.assert_array_equal(crp.cluster_centers_, whole.cluster_centers_)
    np.testing.assert_array_equal(crp.labels_, whole.labels_)


def test_what_is_kept_does_not_grow():
    X, _ = clear_blobs(4, 3, 4000)
    crp = CRPAssociativeClusterer(random_state=0).partial_fit(X[:600])
    size = len(pickle.dumps(crp))
    for batch in np.array_split(X[600:], 10):
        crp.partial_fit(batch)
    crp.labels_ = crp.labels_[:0]
    assert len(pickle.dumps(crp)) < size


def test_books_equal_a_recount():
    """Counts, means and scatter after a stream, from the labels it gave."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(30, 2)) + shift for shift in (0.0, 8.0))
    model = Nonparametric(ChineseRestaurant(0.1, 0.0), 2, 2.0, 1.0, 0.02)
    rows = [first]
    beta = 2 * (30 - 1) / (2 * np.square(first - first.mean(axis=0)).sum())
    grown = Grown(first.mean(axis=0)[None], np.array([30.0]), beta)
    labels = [np.zeros(30, int)]
    for batch in (second[:10], np.vstack([second[10:], rng.normal(size=(5, 2))])):
        weighted = DistinctRows(batch, np.ones(len(batch)), np.zeros(2))
        seated = follow(weighted, grown, model, by_flow=False)
        grown = seated.grown
        rows.append(batch)
        labels.append(seated.labels)
    X, y = np.concatenate(rows), np.concatenate(labels)
    assert len(grown.counts) == 2
    means = np.array([X[y == k].mean(axis=0) for k in range(2)])
    scatter = np.square(X - means[y]).sum()
    np.testing.assert_allclose(grown.counts, np.bincount(y))
    np.testing.assert_allclose(grown.centers, means)
    np.testing.assert_allclose(grown.beta, 2 * (len(X) - 2) / (2 * scatter))


def test_decay_forgets(stretched):
    grown = Grown(np.zeros((3, 1)), np.array([1e3, 1.0, 1e-2]), 1.0)
    after = decayed(grown, 0.05, discount=0.0)
    np.testing.assert_allclose(after.counts, [50, 0.05])
    assert len(decayed(grown, 1e-9, discount=0.0).counts) == 1
    assert len(decayed(grown, 0.05, discount=0.5).counts) == 1

    rng = np.random.default_rng(0)
    follows = CRPAssociativeClusterer(decay=0.5 ** (1 / 50), random_state=0)
    keeps = CRPAssociativeClusterer(random_state=0)
    for step in range(40):  # one cluster on its way
        batch = rng.normal([0.2 * step, 0.0], 1.0, size=(50, 2))
        follows.partial_fit(batch)
        keeps.partial_fit(batch)
    last = batch.mean(axis=0)
    nearest = follows.cluster_centers_[follows.predict([last])[0]]
    assert np.linalg.norm(nearest - last) < 0.7
    assert keeps.counts_.sum() == pytest.approx(2000)
    assert follows.counts_.sum() < 100


def test_a_new_kind_makes_a_memory_after_a_fit():
    X, _ = clear_blobs(3, 2)
    crp = fit(X, likelihood="gaussian")
    batch = np.random.default_rng(0).normal(60.0, 1.0, size=(40, 2))
    crp.partial_fit(batch, sample_weight=np.full(40, 2.0))
    assert crp.n_clusters_ == 4
    assert set(crp.labels_) == {3}
    assert crp.counts_[3] == 80
    np.testing.assert_allclose(crp.cluster_centers_[3], batch.mean(axis=0))


@pytest.mark.parametrize("size", [1e5, 1e10, 1e100])
@pytest.mark.parametrize("alone", [False, True])
def test_a_row_that_is_no_data_moves_nothing(size, alone):
    X, _ = clear_blobs(3, 2, 700)
    follows, clean = (fit(X[:600]) for _ in range(2))
    batch = X[600:650]
    if alone:
        follows.partial_fit([[size, -size]]).partial_fit(batch)
    else:
        follows.partial_fit(np.vstack([batch, [[size, -size]]]))
        assert follows.labels_[-1] == follows.predict([[size, -size]])[0]
    clean.partial_fit(batch)
    assert follows.counts_.sum() == clean.counts_.sum() + 1
    np.testing.assert_allclose(follows.beta_, clean.beta_, rtol=1e-3)
    np.testing.assert_allclose(
        follows.cluster_centers_, clean.cluster_centers_, rtol=1e-4
    )


def test_rows_far_from_their_memory_do_not_change_its_radius():
    """Two that are no data share one, and are far from each other."""
    X, _ = clear_blobs(3, 2, 600)
    crp = fit(X, covariance="tied")
    before = crp.beta_
    crp.partial_fit([[3000.0, 0.0], [3300.0, 0.0]])
    assert crp.n_clusters_ == 4
    np.testing.assert_allclose(crp.beta_, before, rtol=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_before", [0, 20, 600])
def test_a_row_out_of_range_is_named(dtype, n_before):
    X = clear_blobs(3, 2, 600)[0].astype(dtype)
    crp = CRPAssociativeClusterer(random_state=0)
    if n_before:
        crp.partial_fit(X[:n_before])
    before = pickle.dumps(vars(crp))
    bad = X[:5].copy()
    bad[2, 1] = np.finfo(dtype).max / 2
    with pytest.raises(ValueError, match=r"X has values .* range of float"):
        crp.partial_fit(bad)
    assert pickle.dumps(vars(crp)) == before


def n_fits(crp, batches, monkeypatch):
    fits = []
    learn = CRPAssociativeClusterer._learn
    with monkeypatch.context() as patch:
        patch.setattr(
            CRPAssociativeClusterer,
            "_learn",
            lambda *args: fits.append(1) or learn(*args),
        )
        for batch in batches:
            crp.partial_fit(batch)
            assert len(crp.labels_) >= len(batch)
            assert crp.labels_.max() < crp.n_clusters_
    return len(fits)


def test_a_stream_row_by_row(monkeypatch):
    X, y = clear_blobs(3, 3, 700)
    crp = CRPAssociativeClusterer(random_state=0)
    assert n_fits(crp, X[:499, None], monkeypatch) == 9  # 1, 2, 4, ... 256 rows
    np.testing.assert_array_equal(crp.labels_, crp.predict(X[:499]))
    assert n_fits(crp, X[499:, None], monkeypatch) == 1
    np.testing.assert_array_equal(crp.labels_, crp.predict(X[-1:]))
    assert crp.n_clusters_ == 3
    assert adjusted_rand_score(y, crp.predict(X)) > 0.99
    np.testing.assert_allclose(crp.counts_.sum(), 700)


@one_cluster
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-2])
def test_another_scale_than_it_began_with_is_learned(scale, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = clear_blobs(3, 2, 1000)
    crp = fit(5 + scale * rng.normal(size=(600, 2)))
    fits = n_fits(crp, np.array_split(X, 50), monkeypatch)
    assert 1 <= fits <= 8
    assert 3 <= crp.n_clusters_ <= 4
    assert adjusted_rand_score(y, crp.predict(X)) > 0.98
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.1)
    np.testing.assert_allclose(crp.counts_.sum(), 1600)
    assert crp._buffer is None


def test_copies_in_a_stream_are_weights():
    """Also where one comes again and again, or is no data."""
    X, _ = clear_blobs(3, 2, 120)
    X = np.vstack([X, [[1e9, 0.0]], [[4.0, 4.0]]])
    weights = np.r_[np.random.default_rng(0).integers(0, 4, 120), 3, 200]
    weighted, copies = (CRPAssociativeClusterer(random_state=0) for _ in range(2))
    for _ in range(2):
        weighted.partial_fit(X, sample_weight=weights)
        copies.partial_fit(np.repeat(X, weights, axis=0)[::-1])
        np.testing.assert_array_equal(
            weighted.cluster_centers_, copies.cluster_centers_
        )
        np.testing.assert_array_equal(weighted.counts_, copies.counts_)


@pytest.mark.parametrize(("assignment", "discount"), [("soft", 0.3), ("hard", 0.0)])
@pytest.mark.parametrize("decay", [0.9, 0.5, 1e-300])
def test_all_may_be_forgotten(assignment, discount, decay):
    """decay ** n underflows; what comes then is as if it came first."""
    X, _ = clear_blobs(3, 2, 800)
    crp = fit(X + 50, decay=decay, discount=discount, assignment=assignment)
    crp.partial_fit(np.vstack([X] * 10))
    assert crp.n_clusters_ == 3  # none of old
    assert (crp.counts_ > 1000).all()
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.1)
    np.testing.assert_allclose(crp.weights_.sum(), 1)
    assert np.isfinite(crp.score_samples(X)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_rows_with_nothing_seen_tell_nothing(decay):
    X, _ = clear_blobs(3, 2, 600)
    crp = fit(X, decay=decay)
    before = crp.beta_
    crp.partial_fit(np.full((50, 2), np.nan))
    np.testing.assert_allclose(np.max(crp.beta_), np.max(before), rtol=1e-6)
    assert np.isfinite(crp.cluster_centers_).all()
    assert np.isfinite(crp.inertia_)


def test_a_failing_batch_changes_nothing(stretched, monkeypatch):
    crp = fit(stretched)
    before = pickle.dumps(vars(crp))
    for bad in (stretched[:, :1], np.full((3, 2), np.inf)):
        with pytest.raises(ValueError, match=r"features|infinity"):
            crp.partial_fit(bad)
        assert pickle.dumps(vars(crp)) == before
    monkeypatch.setattr(crp, "_set_labels", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        crp.partial_fit(stretched + 60)
    monkeypatch.undo()
    assert pickle.dumps(vars(crp)) == before


def test_feature_names_survive_a_stream(stretched):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(stretched, columns=["a", "b"])
    crp = CRPAssociativeClusterer(random_state=0)
    for _ in range(2):
        crp.partial_fit(table)
        assert list(crp.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        crp.partial_fit(table.rename(columns={"a": "c"}))


def kish(weights):
    return weights.sum() ** 2 / np.square(weights).sum()


def test_relative_weights_of_a_stream(stretched):
    """They are compared with those of earlier batches, in any unit."""
    rng = np.random.default_rng(0)
    X = np.vstack([stretched, stretched + rng.normal(size=stretched.shape)])
    weights = rng.lognormal(0, 0.5, len(X))
    streams = []
    for unit in (1.0, 1e-5):
        crp = CRPAssociativeClusterer(random_state=0)
        for batch in np.array_split(np.arange(len(X)), 12):
            crp.partial_fit(X[batch], sample_weight=weights[batch] * unit)
        streams.append(crp)
    np.testing.assert_allclose(streams[0].counts_, streams[1].counts_)
    np.testing.assert_allclose(streams[0].counts_.sum(), kish(weights), rtol=0.05)
    assert streams[0].n_clusters_ == 3
    # A row of half the weight counts half as much, also when it comes alone.
    before = streams[0].counts_.sum()
    for weight, part in ((2.0, 1.0), (1.0, 0.5)):
        streams[0].partial_fit(X[:1], sample_weight=[weight])
        gained, before = streams[0].counts_.sum() - before, streams[0].counts_.sum()
        np.testing.assert_allclose(
            gained, part * 2 * weights.sum() / np.square(weights).sum(), rtol=0.05
        )


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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(streams(), STREAM_VARIANTS, st.floats(0, 1, exclude_min=True))
@settings(max_examples=15)
def test_a_stream_leaves_a_finite_model(stream, variant, decay):
    X, _, sizes = stream
    crp = CRPAssociativeClusterer(random_state=0, decay=decay, **variant)
    for batch in batches(X[:300], sizes):
        crp.partial_fit(batch)
        for value in (crp.cluster_centers_, crp.counts_, crp.weights_, crp.inertia_):
            assert np.isfinite(value).all()
        assert 0 < np.min(crp.beta_) <= np.max(crp.beta_) < np.inf
        assert (crp.counts_ > variant["discount"]).all()
        assert np.isfinite(crp.predict_proba(batch)).all()
        if crp._buffer is not None:
            assert len(crp._buffer[0]) < 500
    if decay == 1:
        np.testing.assert_allclose(crp.counts_.sum(), 300)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(streams(n_rows=2000), st.sampled_from([1.0, 0.5 ** (1 / 1000)]))
@settings(max_examples=8)
def test_a_stream_finds_clear_blobs_whatever_its_start(stream, decay):
    X, y, sizes = stream
    crp = CRPAssociativeClusterer(random_state=0, decay=decay)
    for batch in batches(X, [max(size, 20) for size in sizes]):
        crp.partial_fit(batch)
    assert abs(crp.n_clusters_ - y.max() - 1) <= 1
    assert crp._buffer is None or len(crp._buffer[0]) < 500
    assert adjusted_rand_score(y[y >= 0], crp.predict(X[y >= 0])) > 0.95
