"""What a fit of CRPAssociativeClusterer finds: how many memories, from which rows."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from amcluster.nonparametric import soft
from amcluster.rows.distinct import distinct_rows

from ..data import REAL_SETS, clear_blobs
from .crp import FORMS, fit, forms, mass_of_new, one_cluster


@pytest.fixture(scope="module", params=FORMS, ids=str)
def crp(request, stretched):
    return fit(stretched, **request.param)


# The number of memories


@forms
@pytest.mark.parametrize(
    ("n_clusters", "n_features"), [(3, 2), (10, 2), (3, 10), (10, 40)]
)
def test_finds_clear_blobs(form, n_clusters, n_features):
    X, y = clear_blobs(n_clusters, n_features)
    crp = fit(X, **form)
    assert crp.n_clusters_ == n_clusters
    assert adjusted_rand_score(y, crp.labels_) > 0.99


@pytest.mark.parametrize("n_clusters", [25, 50])
def test_finds_many_blobs(n_clusters):
    X, _ = clear_blobs(n_clusters, 10, 2000, seed=1)
    assert fit(X).n_clusters_ == n_clusters


@pytest.mark.parametrize("n_features", [2, 10])
def test_soft_memories_may_overlap(n_features):
    centers = 2.5 * np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
    padded = np.pad(centers, ((0, 0), (0, n_features - 2)))
    X, _ = make_blobs([400] * 5, centers=padded, random_state=0)
    assert fit(X).n_clusters_ == 5


@one_cluster
@forms
def test_one_blob_is_not_split(form):
    rng = np.random.default_rng(0)
    assert fit(rng.normal(size=(500, 5)), **form).n_clusters_ == 1


@pytest.mark.parametrize(
    ("name", "most"), zip(REAL_SETS, [8, 8, 12, 40], strict=True), ids=REAL_SETS
)
def test_real_sets_are_not_shattered(real_sets, name, most):
    X, _ = real_sets[name]
    crp = fit(X)
    assert 2 <= crp.n_clusters_ <= most
    assert np.bincount(crp.labels_).min() >= crp.min_cluster_size


def test_scattered_noise(stretched):
    rng = np.random.default_rng(0)
    noise = rng.uniform(stretched.min(axis=0), stretched.max(axis=0), size=(15, 2))
    assert 3 <= fit(np.vstack([stretched, noise])).n_clusters_ <= 5


@forms
def test_small_and_flat_tables(form):
    for X in (np.ones((7, 3)), np.ones((1, 2)), np.eye(2), np.arange(4.0)[:, None]):
        crp = fit(X, **form)
        assert crp.n_clusters_ == 1
        np.testing.assert_array_equal(crp.predict_proba(X), 1)
        assert np.isfinite(crp.score_samples(X)).all()
        assert np.isfinite(crp.novelty(X)).all()


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_constant_features_and_copies_of_features_change_nothing(assignment):
    X, _ = clear_blobs(4, 3)
    form = {"assignment": assignment, "likelihood": "gaussian"}
    alone = fit(X, **form)
    wider = fit(np.c_[X, np.full(len(X), 3.0)], **form)
    np.testing.assert_array_equal(wider.labels_, alone.labels_)
    assert wider.rank_ == 3
    np.testing.assert_allclose(
        mass_of_new(wider, np.c_[X + 4, np.full(len(X), 3.0)]),
        mass_of_new(alone, X + 4),
    )
    np.testing.assert_allclose(np.linalg.det(wider.metric_), 1)
    copied = fit(np.c_[X, X[:, 0]], assignment=assignment)
    assert copied.n_clusters_ == 4


def test_more_features_than_rows():
    X, y = clear_blobs(3, 100, 60, distance=30)
    crp = fit(X)
    assert adjusted_rand_score(y, crp.labels_) == 1
    assert crp.rank_ == 2  # three clusters are in a plane
    assert crp.metric_.shape == (100, 100)
    np.testing.assert_allclose(np.linalg.slogdet(crp.metric_)[1], 0, atol=1e-6)


# One answer


@forms
def test_labels_do_not_depend_on_place_or_scale(form, stretched):
    crp = fit(stretched, **form)
    for moved in (stretched + 1e6, stretched * 1e6, stretched * 1e-6):
        same = fit(moved, **form)
        assert same.n_clusters_ == crp.n_clusters_
        assert adjusted_rand_score(same.labels_, crp.labels_) > 0.98


def test_a_sample_of_many_rows(monkeypatch):
    X, _ = clear_blobs(6, 4, 3000)
    every = fit(X)
    monkeypatch.setattr(soft, "PATH_ROWS", 700)
    sampled = fit(X)
    assert sampled.n_clusters_ == every.n_clusters_ == 6
    np.testing.assert_allclose(sampled.counts_.sum(), 3000)
    assert adjusted_rand_score(sampled.labels_, every.labels_) > 0.99
    # The last EM steps see all rows again.
    np.testing.assert_allclose(
        *(np.sort(crp.cluster_centers_[:, 0]) for crp in (sampled, every)), atol=1e-3
    )


def test_a_sample_counts_rows_by_weight(monkeypatch):
    monkeypatch.setattr(soft, "PATH_ROWS", 100)
    weights = np.repeat([1.0, 9.0], 500)
    rows = distinct_rows(np.arange(1000.0)[:, None], weights)
    sample = soft.path_rows(rows, np.random.RandomState(0))
    assert sample.total_weight == 100
    is_heavy = sample.values[:, 0] + sample.offset >= 500
    np.testing.assert_allclose(sample.weights[is_heavy].sum(), 90, atol=1)


# What is lowered


def test_history_never_rises_and_runs_tell_what_was_compared(crp):
    assert (np.diff(crp.history_) <= 0).all()
    assert crp.objective_ == crp.history_[-1] == crp.runs_[:, 1].min()
    assert crp.n_iter_ == len(crp.history_)
    best = crp.runs_[crp.runs_[:, 1].argmin(), 0]
    assert crp.n_clusters_ <= best


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_more_starts_never_lose(real_sets, assignment):
    X, _ = real_sets["wine"]
    one = fit(X, assignment=assignment, n_init=1)
    many = fit(X, assignment=assignment, n_init=3)
    assert len(many.runs_) > 2 * len(one.runs_)
    np.testing.assert_array_equal(many.runs_[: len(one.runs_)], one.runs_)
    assert many.objective_ <= one.objective_


def test_concentration_and_discount_make_memories(real_sets):
    X, _ = real_sets["iris"]
    few, many = (fit(X, concentration=c, min_cluster_size=1) for c in (1e-9, 1e3))
    assert few.n_clusters_ < many.n_clusters_
    uneven = fit(X, concentration=-0.4, discount=0.5, min_cluster_size=1)
    assert (uneven.counts_ > 0.5).all()
    np.testing.assert_allclose(
        uneven.weights_, (uneven.counts_ - 0.5) / (uneven.counts_ - 0.5).sum()
    )


@forms
def test_given_precisions_are_kept(form, stretched):
    crp = fit(stretched, beta=0.7, base_precision=0.01, **form)
    np.testing.assert_allclose([crp.beta_, crp.base_precision_], [0.7, 0.01])


def test_euclidean_model_is_exact(stretched):
    crp = fit(stretched, metric="euclidean")
    assert crp.effective_dimension_ == crp.rank_ == 2
    assert crp.misfit_ == 1
    assert not hasattr(crp, "metric_")
    variance = stretched.var(axis=0).mean()
    np.testing.assert_allclose(crp.base_precision_, 0.5 / variance)
    np.testing.assert_allclose(crp.base_mean_, stretched.mean(axis=0))


def test_flow_creates_less_than_the_posterior():
    """A far row is caught by a memory on its way to the base measure."""
    X = np.concatenate([np.zeros((200, 1)), np.full((200, 1), 40.0)])
    X += np.random.default_rng(0).normal(size=X.shape)
    parameters = {"assignment": "hard", "metric": "euclidean", "min_cluster_size": 1}
    by_posterior = fit(X, **parameters).partial_fit([[90.0]])
    by_flow = fit(X, creation="flow", **parameters).partial_fit([[90.0]])
    assert by_posterior.n_clusters_ == 3
    assert by_flow.n_clusters_ == 2
    # Between two memories the state flows to the base measure, the mean of the data.
    assert fit(X, creation="flow", **parameters).partial_fit([[20.0]]).n_clusters_ == 3
    # The sweeps of a fit follow the same rule, and some starts end elsewhere.
    X = np.append(X, [[60.0]], axis=0)
    runs = [fit(X, creation=rule, **parameters).runs_ for rule in ("posterior", "flow")]
    assert not np.array_equal(*runs)


def test_small_memories_are_dissolved(stretched):
    X = np.vstack([stretched, [[200.0, 200.0]] * 3 + [[-200.0, 100.0]]])
    kept = fit(X, assignment="hard", metric="euclidean", min_cluster_size=1)
    assert np.bincount(kept.labels_).min() < 4
    for assignment in ("soft", "hard"):
        crp = fit(X, assignment=assignment, min_cluster_size=4)
        assert np.bincount(crp.labels_).min() >= 4
        assert set(crp.labels_) == set(range(crp.n_clusters_))
        assert (crp.novelty(X[-4:]) > 0.99).all()
        np.testing.assert_allclose(crp.counts_.sum(), len(X))


# Weights


def kish(weights):
    return weights.sum() ** 2 / np.square(weights).sum()


@forms
def test_the_unit_of_relative_weights_does_not_matter(form):
    X, _ = clear_blobs(3, 2)
    weights = np.random.default_rng(0).lognormal(5, 0.5, len(X))
    crp = fit(X, weights, **form)
    assert crp.n_clusters_ == 3
    np.testing.assert_allclose(crp.counts_.sum(), kish(weights))
    for unit in (weights.sum(), 1e-300, 2.0**100):
        same = fit(X, weights / unit, **form)
        assert adjusted_rand_score(same.labels_, crp.labels_) == 1
        centers = np.sort(same.cluster_centers_, axis=0)
        np.testing.assert_allclose(centers, np.sort(crp.cluster_centers_, axis=0))
    order = np.random.default_rng(1).permutation(len(weights))
    shuffled = fit(X[order], weights[order], **form)
    np.testing.assert_array_equal(shuffled.cluster_centers_, crp.cluster_centers_)
    np.testing.assert_array_equal(shuffled.counts_, crp.counts_)


@pytest.mark.parametrize("weight", [0.1, 1 / 300, 2.5, 1e30])
def test_equal_weights_are_none(stretched, weight):
    equal = fit(stretched, np.full(len(stretched), weight), weighting="relative")
    np.testing.assert_array_equal(
        equal.cluster_centers_, fit(stretched).cluster_centers_
    )
    np.testing.assert_array_equal(equal.counts_, fit(stretched).counts_)


def test_large_whole_numbers_are_relative_unless_they_are_said_to_count(stretched):
    weights = np.random.default_rng(0).integers(0, 60, len(stretched))
    with pytest.warns(UserWarning, match=r"whole numbers of mean .* weighting="):
        ambiguous = fit(stretched, weights)
    relative = fit(stretched, weights, weighting="relative")
    np.testing.assert_array_equal(ambiguous.cluster_centers_, relative.cluster_centers_)
    np.testing.assert_allclose(relative.counts_.sum(), kish(weights))
    counts = fit(stretched, weights, weighting="counts")
    copies = fit(np.repeat(stretched, weights, axis=0))
    np.testing.assert_array_equal(counts.cluster_centers_, copies.cluster_centers_)
    np.testing.assert_array_equal(counts.counts_, copies.counts_)


def test_heavy_rows_start_with_no_more_memories_than_light_ones_by_half():
    for n_rows in (30, 400, 4000):
        light = soft.most_memories(n_rows, n_rows)
        assert soft.most_memories(1e3 * n_rows, n_rows) <= max(60, 1.5 * light)


# Parameters


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("concentration", 0.0), ("concentration", np.nan), ("discount", 1.0)),
        *(("discount", -0.1), ("base_precision", 0.0), ("base_precision", "wide")),
        *(("beta", -1.0), ("metric", "cosine"), ("creation", "never")),
        *(("assignment", "both"), ("min_cluster_size", 0), ("decay", 0.0)),
        *(("decay", 1.5), ("n_init", 0), ("max_iter", 0), ("tol", -1.0)),
        *(("verbose", -1), ("weighting", "kish"), ("weighting", None)),
    ],
)
def test_bad_parameters_are_named(stretched, name, bad):
    with pytest.raises((ValueError, TypeError), match=name):
        fit(stretched, **{name: bad})


def test_concentration_may_be_negative_with_a_discount(stretched):
    assert fit(stretched, concentration=-0.1, discount=0.2).n_clusters_ >= 3
    with pytest.raises(ValueError, match="concentration"):
        fit(stretched, concentration=-0.3, discount=0.2)


def test_weights_must_exceed_the_discount(stretched):
    light = np.full(len(stretched), 1e-4)
    with pytest.raises(ValueError, match="weights count rows"):
        fit(stretched, light, discount=0.5, weighting="counts")


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_verbose(stretched, capsys, assignment):
    fit(stretched, assignment=assignment, verbose=1)
    assert "Start 1, iteration 1: " in capsys.readouterr().out
    fit(stretched, assignment=assignment)
    assert not capsys.readouterr().out
