"""Clusters of CRPAssociativeClusterer that are unions of memories."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from amcluster import CRPAssociativeClusterer

from ..data import hide
from .crp import FORMS, fit

CURVED = [*FORMS, {"n_clusters": 12}]


@pytest.fixture(scope="module")
def moons():
    return make_moons(500, noise=0.06, random_state=0)


@pytest.fixture(scope="module", params=CURVED, ids=str)
def form(request):
    return request.param


def test_crescents_are_found(moons, form):
    X, y = moons
    crp = fit(X, merge="valley", **form)
    assert crp.n_clusters_ > crp.n_components_ == 2
    assert adjusted_rand_score(y, crp.labels_) == 1


def test_memories_are_those_of_a_fit_without(moons, form):
    X = moons[0]
    merged, alone = fit(X, merge="valley", **form), fit(X, **form)
    assert_array_equal(merged.cluster_centers_, alone.cluster_centers_)
    assert_array_equal(merged.novelty(X), alone.novelty(X))
    assert_array_equal(merged.transform(X), alone.transform(X))
    assert_array_equal(merged.labels_at(3), alone.labels_at(3))
    assert not hasattr(alone, "component_of_")


def test_posteriors_are_sums_and_labels_their_largest(moons, form):
    X = moons[0]
    merged, alone = fit(X, merge="valley", **form), fit(X, **form)
    of_memories, groups = alone.predict_proba(X), merged.component_of_
    sums = [of_memories[:, groups == g].sum(axis=1) for g in range(groups.max() + 1)]
    posteriors = merged.predict_proba(X)
    np.testing.assert_allclose(posteriors, np.column_stack(sums), rtol=1e-12)
    assert_array_equal(merged.labels_, posteriors.argmax(axis=1))
    assert_array_equal(merged.labels_, merged.predict(X))
    assert merged.labels_.dtype == alone.labels_.dtype


def test_clear_blobs_stay_apart():
    grid = np.stack(np.meshgrid([0, 9, 18, 27], [0, 9]), axis=-1).reshape(8, 2)
    X, y = make_blobs(800, centers=grid, random_state=3)
    crp = fit(X, merge="valley")
    assert_array_equal(crp.component_of_, np.arange(8))
    assert adjusted_rand_score(y, crp.labels_) == 1


def test_order_weights_and_units_do_not_matter(moons):
    X = moons[0]
    units = np.array([1.0, 1024.0])
    weights = np.arange(len(X)) % 3 + 1
    order = np.random.default_rng(0).permutation(len(X))
    weighed = fit(X, sample_weight=weights, merge="valley")
    copies = fit(np.repeat(X, weights, axis=0), merge="valley")
    shuffled = fit(X[order], sample_weight=weights[order], merge="valley")
    scaled = fit(X * units, sample_weight=weights, merge="valley")
    for other in (copies, shuffled, scaled):
        assert_array_equal(weighed.component_of_, other.component_of_)
    assert_array_equal(weighed.labels_[order], shuffled.labels_)


def test_missing_values_and_float32(moons):
    X, y = moons
    holed = hide(X, 0.05, seed=0)
    crp = fit(holed, merge="valley")
    assert_array_equal(crp.labels_, crp.predict(holed))
    seen = ~np.isnan(holed).any(axis=1)
    assert adjusted_rand_score(y[seen], crp.labels_[seen]) > 0.9
    narrow = fit(X.astype(np.float32), merge="valley")
    assert narrow.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert adjusted_rand_score(y, narrow.labels_) == 1


def test_a_stream_is_refused_and_drops_the_groups(moons):
    X = moons[0]
    crp = fit(X, merge="valley")
    with pytest.raises(ValueError, match=r"merge == 'valley'.*set merge=None"):
        crp.partial_fit(X)
    assert crp.n_components_ == 2
    with pytest.raises(ValueError, match="merge=None"):
        clone(crp).partial_fit(X)
    crp.set_params(merge=None).partial_fit(X)
    assert not hasattr(crp, "component_of_")
    assert crp.predict_proba(X).shape == (len(X), crp.n_clusters_)


def test_unknown_ways_are_refused(moons):
    with pytest.raises(ValueError, match=r"merge == 'hill', must be one of"):
        CRPAssociativeClusterer(merge="hill").fit(moons[0])
