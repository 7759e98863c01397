"""Coarser answers of CRPAssociativeClusterer, against scikit-learn's and each other."""

import pickle

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

from amcluster import CRPAssociativeClusterer
from amcluster.nonparametric import soft

from ..data import hide
from .crp import FORMS, fit, forms, one_cluster

# Five round blobs whose order of merges is plain to all that merge what is near.
FAR = [[0, 0], [12, 0], [0, 60], [30, 60], [400, 0]]
KINDS = {
    "own": {},
    "tied": {"covariance": "tied"},
    "given": {"n_clusters": 5},
    "hard": {"assignment": "hard"},
}


@pytest.fixture(scope="module")
def far():
    return make_blobs(300, centers=FAR, cluster_std=0.5, random_state=0)[0]


@pytest.fixture(scope="module", params=KINDS)
def crp(request, far):
    return fit(far, **KINDS[request.param])


@pytest.fixture(scope="module", params=[{}, *FORMS], ids=str)
def soft_borders(request, stretched):
    return fit(stretched, min_cluster_size=1, **request.param)


@pytest.mark.parametrize("kind", ["tied", "hard"])
def test_merges_are_those_of_ward_on_all_rows(far, kind):
    crp = fit(far, **KINDS[kind])
    assert crp.n_clusters_ == 5
    for n_clusters in range(1, 6):
        theirs = AgglomerativeClustering(n_clusters).fit(far).labels_
        ours = crp.labels_at(n_clusters)
        assert adjusted_rand_score(ours, theirs) == 1


def test_shapes_tell_what_is_merged():
    """Where Ward's method cuts across clusters of unequal shape."""
    rng = np.random.default_rng(2)
    shapes, y = rng.normal(size=(4, 3, 3)), np.arange(1200) % 4
    noise = shapes[y] @ rng.normal(size=(1200, 3, 1))
    X = noise[:, :, 0] + 5 * rng.normal(size=(4, 3))[y]
    own, tied = (fit(X, n_clusters=10, covariance=c) for c in ("own", "tied"))
    assert adjusted_rand_score(y, own.labels_at(4)) > 0.95
    assert adjusted_rand_score(y, tied.labels_at(4)) < 0.8


@pytest.mark.parametrize("metric", ["learned", "euclidean"])
def test_distances_are_what_merging_adds_to_squared_distances(far, metric):
    crp = fit(far, covariance="tied", metric=metric)
    A = getattr(crp, "metric_", np.eye(2))
    for i, distance in enumerate(crp.distances_):
        before, after = (squares(far, crp.labels_at(n), A) for n in (5 - i, 4 - i))
        np.testing.assert_allclose(distance, crp.beta_ * (after - before), rtol=1e-3)


def squares(X, labels, A):
    """Squared distances in a metric of rows to the mean of their label."""
    means = np.array([X[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    away = X - means[labels]
    return np.einsum("nd,de,ne->", away, A, away)


def test_the_finest_answer_is_that_of_the_fit(soft_borders):
    labels = soft_borders.labels_at(soft_borders.n_clusters_)
    np.testing.assert_array_equal(labels, soft_borders.labels_)
    assert labels.dtype == soft_borders.labels_.dtype
    np.testing.assert_array_equal(soft_borders.labels_at(1), 0)


def test_answers_are_nested_and_in_the_order_of_memories(real_sets):
    crp = fit(real_sets["digits"][0], covariance="tied")
    n_clusters = crp.n_clusters_
    assert n_clusters > 10
    finer = crp.labels_at(n_clusters)
    for n in range(n_clusters - 1, 0, -1):
        coarser = crp.labels_at(n)
        pairs = np.unique(np.c_[finer, coarser], axis=0)
        assert len(pairs) == n + 1  # one label of the coarser for each of the finer
        first = np.unique(pairs[:, 1], return_index=True)[1]
        np.testing.assert_array_equal(np.sort(first), first)
        np.testing.assert_array_equal(np.unique(coarser), range(n))
        finer = coarser


@forms
def test_form_of_the_attributes(form, stretched):
    crp = fit(stretched, **form)
    n_merges = crp.n_clusters_ - 1
    assert crp.children_.shape == (n_merges, 2)
    assert crp.distances_.shape == (n_merges,)
    assert crp.children_.dtype.kind == "i"
    assert crp.distances_.dtype == np.float64


@pytest.mark.parametrize("kind", KINDS)
def test_order_copies_and_weights(far, kind):
    rng = np.random.default_rng(0)
    X, weights = far + rng.normal(size=far.shape) * 3, rng.integers(1, 4, len(far))
    copies = rng.permutation(np.repeat(np.arange(len(X)), weights))
    weighted, copied = fit(X, weights, **KINDS[kind]), fit(X[copies], **KINDS[kind])
    assert weighted.n_clusters_ > 2
    np.testing.assert_array_equal(copied.children_, weighted.children_)
    np.testing.assert_array_equal(copied.distances_, weighted.distances_)
    np.testing.assert_array_equal(copied.labels_at(2), weighted.labels_at(2)[copies])


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_and_float32(far, kind):
    whole = fit(far, **KINDS[kind]).labels_at(3)
    narrow = fit(far.astype(np.float32), **KINDS[kind])
    assert narrow.distances_.dtype == np.float64
    np.testing.assert_array_equal(narrow.labels_at(3), whole)
    X, seen = hide(far, 0.1), ~np.isnan(hide(far, 0.1)).any(axis=1)
    with_missing = fit(X, **KINDS[kind]).labels_at(3)
    assert adjusted_rand_score(with_missing[seen], whole[seen]) == 1


def test_a_sample_tells_what_merges_cost(monkeypatch):
    X, _ = make_blobs(3000, centers=[[0, 0], [4, 0], [0, 9]], random_state=0)
    every = fit(X, n_clusters=3)
    monkeypatch.setattr(soft, "PATH_ROWS", 800)
    sampled = fit(X, n_clusters=3)
    np.testing.assert_allclose(
        np.sort(sampled.distances_), np.sort(every.distances_), rtol=0.05
    )


@pytest.mark.parametrize("n_clusters", [0, -1, 6])
def test_numbers_that_merges_do_not_reach(crp, n_clusters):
    expected = rf"n_clusters == {n_clusters}, .* 1 to n_clusters_ == 5.*n_clusters=\.\."
    with pytest.raises(ValueError, match=expected):
        crp.labels_at(n_clusters)


@pytest.mark.parametrize("n_clusters", [2.0, "2", None])
def test_numbers_that_are_none(crp, n_clusters):
    with pytest.raises(TypeError, match=r"n_clusters.*pass an integer"):
        crp.labels_at(n_clusters)


def test_integers_of_numpy(crp):
    np.testing.assert_array_equal(crp.labels_at(np.int64(2)), crp.labels_at(2))


def test_before_a_fit():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        CRPAssociativeClusterer().labels_at(2)


def test_streams_have_none(far):
    crp = fit(far)
    crp.partial_fit(far[:50])
    assert not hasattr(crp, "children_")
    assert not hasattr(crp, "distances_")
    with pytest.raises(NotFittedError, match=r"partial_fit has dropped.*call fit"):
        crp.labels_at(2)
    new = CRPAssociativeClusterer(random_state=0).partial_fit(far)
    assert not hasattr(new, "children_")
    assert len(np.unique(crp.fit(far).labels_at(2))) == 2


def test_a_batch_that_fails_leaves_the_hierarchy(far):
    crp = fit(far)
    with pytest.raises(ValueError, match="inf"):
        crp.partial_fit([[np.inf, 0.0]])
    assert crp.children_.shape == (4, 2)


def test_pickled(crp):
    again = pickle.loads(pickle.dumps(crp))
    np.testing.assert_array_equal(again.labels_at(2), crp.labels_at(2))


@one_cluster
def test_one_memory():
    crp = fit(np.random.default_rng(0).normal(size=(200, 3)))
    assert crp.children_.shape == (0, 2)
    np.testing.assert_array_equal(crp.labels_at(1), 0)
