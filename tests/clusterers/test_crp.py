"""CRPAssociativeClusterer: number of clusters, novelty, streams, and its network."""

import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from amcluster import CLAMClusterer, CRPAssociativeClusterer
from amcluster.nonparametric import landscape, soft
from amcluster.nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from amcluster.nonparametric.stream import decayed, follow
from amcluster.rows.distinct import DistinctRows, distinct_rows
from amcluster.spaces.metric import LearnedMetric

from ..conftest import REAL_SETS

FORMS = [
    {"assignment": assignment, "metric": metric}
    for assignment in ("soft", "hard")
    for metric in ("learned", "euclidean")
]
forms = pytest.mark.parametrize("form", FORMS, ids=str)


def fit(X, sample_weight=None, **parameters):
    crp = CRPAssociativeClusterer(random_state=0, **parameters)
    return crp.fit(X, sample_weight=sample_weight)


def clear_blobs(n_clusters, n_features, n_rows=400, distance=8.0, seed=0):
    """Unit blobs whose nearest centers are at the given distance."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(size=(n_clusters, n_features))
    gaps = np.linalg.norm(centers[:, None] - centers, axis=2)
    centers *= distance / gaps[np.triu_indices(n_clusters, 1)].min()
    y = rng.permutation(n_rows) % n_clusters
    return centers[y] + rng.normal(size=(n_rows, n_features)), y


@pytest.fixture(scope="module")
def stretched():
    """Blobs that are not round, with soft borders."""
    X, _ = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=1)
    return X @ np.array([[2.0, 0.0], [1.0, 0.5]]) + [10.0, -3.0]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def crp(request, stretched):
    return fit(stretched, **request.param)


# The number of memories


@forms
@pytest.mark.parametrize("n_features", [2, 10, 40])
@pytest.mark.parametrize("n_clusters", [3, 10])
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
    alone = fit(X, assignment=assignment)
    wider = fit(np.c_[X, np.full(len(X), 3.0)], assignment=assignment)
    np.testing.assert_array_equal(wider.labels_, alone.labels_)
    assert wider.rank_ == 3
    np.testing.assert_allclose(
        wider.novelty(np.c_[X + 4, np.full(len(X), 3.0)]), alone.novelty(X + 4)
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


@pytest.mark.parametrize("n_features", [9, 40])
def test_density_of_a_wide_table_is_that_of_a_mixture(n_features):
    """Outside the axes noise is the same about all memories and the base."""
    X = np.random.default_rng(0).normal(size=(8, n_features))
    X[4:] += 3
    crp = fit(X, min_cluster_size=1)
    inverse = np.linalg.inv(crp.metric_)
    rows = X + np.random.default_rng(1).normal(size=X.shape)
    parts = [
        np.log(count)
        + multivariate_normal(center, inverse / (2 * crp.beta_)).logpdf(rows)
        for center, count in zip(crp.cluster_centers_, crp.counts_, strict=True)
    ]
    # Of the base measure it is wider within the axes.
    units, axes, root, outside = crp._metric_
    gamma = crp.beta_ * crp.base_precision_ / (crp.beta_ + crp.base_precision_)
    of_base = LearnedMetric(units, axes, root, outside * crp.beta_ / gamma)
    wide = np.linalg.inv(of_base.to_matrix()) / (2 * gamma)
    base = multivariate_normal(crp.base_mean_, wide).logpdf(rows)
    parts.append(np.log(crp.concentration) + base)
    expected = logsumexp(parts, axis=0) - np.log(crp.concentration + 8)
    np.testing.assert_allclose(crp.score_samples(rows), expected, rtol=1e-6)


def test_states_of_a_wide_table_come_to_rest_in_the_span_of_memories():
    X, _ = clear_blobs(3, 100, 60, distance=30)
    crp = fit(X)
    path = crp.trajectory(X, n_steps=40, step_size=0.5)
    np.testing.assert_array_equal(path[:, 0], X)
    np.testing.assert_allclose(path[:, -1], crp.retrieve(X), atol=1e-3)
    np.testing.assert_allclose(path[:, 5], crp.retrieve(X, 5, 0.5))
    energies = crp.energy(path.reshape(-1, 100)).reshape(60, -1)
    assert np.diff(energies, axis=1).max() < 1e-9 * np.abs(energies).max()
    assert crp.novelty(X + np.random.default_rng(0).normal(size=X.shape)).max() < 0.1


# One answer


@forms
def test_labels_do_not_depend_on_order_place_or_scale(form, stretched):
    crp = fit(stretched, **form)
    order = np.random.default_rng(0).permutation(len(stretched))
    shuffled = fit(stretched[order], **form)
    np.testing.assert_array_equal(shuffled.labels_, crp.labels_[order])
    np.testing.assert_array_equal(shuffled.cluster_centers_, crp.cluster_centers_)
    for moved in (stretched + 1e6, stretched * 1e6, stretched * 1e-6):
        same = fit(moved, **form)
        assert same.n_clusters_ == crp.n_clusters_
        assert adjusted_rand_score(same.labels_, crp.labels_) > 0.98


@forms
def test_weights_are_copies(form, stretched):
    weights = np.random.default_rng(0).integers(0, 4, len(stretched))
    weighted = fit(stretched, weights, **form)
    copies = fit(np.repeat(stretched, weights, axis=0), **form)
    np.testing.assert_array_equal(weighted.cluster_centers_, copies.cluster_centers_)
    np.testing.assert_array_equal(weighted.counts_, copies.counts_)
    np.testing.assert_allclose(weighted.counts_.sum(), weights.sum())


@forms
def test_float32(form, stretched):
    X = stretched.astype(np.float32)
    crp = fit(X, **form)
    assert adjusted_rand_score(fit(stretched, **form).labels_, crp.labels_) > 0.98
    assert crp.cluster_centers_.dtype == np.float32
    for values in (
        *(crp.predict_proba(X), crp.novelty(X), crp.score_samples(X)),
        *(crp.energy(X), crp.retrieve(X, 2), crp.trajectory(X, 2)),
    ):
        assert values.dtype == np.float32


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


# The network


def test_posteriors_and_novelty_follow_the_logits(crp, stretched):
    power = crp.effective_dimension_ / crp.rank_
    metric = getattr(crp, "metric_", np.eye(2))
    gamma = crp.beta_ * crp.base_precision_ / (crp.beta_ + crp.base_precision_)

    def squares(center):
        return np.einsum("nd,de,ne->n", X - center, metric, X - center)

    X = np.vstack([stretched[::10], [[60.0, 60.0], [14.0, -3.0]]])
    logits = [
        np.log(n) - power * crp.beta_ * squares(center)
        for n, center in zip(crp.counts_, crp.cluster_centers_, strict=True)
    ]
    new = power * (np.log(gamma / crp.beta_) - gamma * squares(crp.base_mean_))
    new += np.log(crp.concentration)
    evidence = logsumexp([new, *logits], axis=0)
    np.testing.assert_allclose(crp.novelty(X), np.exp(new - evidence), atol=1e-10)
    np.testing.assert_allclose(crp.energy(X), -evidence / (power * crp.beta_))
    expected = np.exp(np.transpose(logits - logsumexp(logits, axis=0)))
    np.testing.assert_allclose(crp.predict_proba(X), expected, atol=1e-10)
    np.testing.assert_array_equal(crp.predict(X), expected.argmax(axis=1))


def test_density_is_that_of_the_mixture(crp, stretched):
    metric = getattr(crp, "metric_", np.eye(2))
    noise = np.linalg.inv(metric) / (2 * crp.beta_)
    base = noise + np.linalg.inv(metric) / (2 * crp.base_precision_)
    total = crp.concentration + crp.counts_.sum()
    density = crp.concentration * multivariate_normal(crp.base_mean_, base).pdf(
        stretched
    )
    for n, center in zip(crp.counts_, crp.cluster_centers_, strict=True):
        density += n * multivariate_normal(center, noise).pdf(stretched)
    np.testing.assert_allclose(crp.score_samples(stretched), np.log(density / total))


@forms
def test_density_integrates_to_one(form, stretched):
    crp = fit(stretched[:, :1], discount=0.2, **form)
    low, high = stretched[:, 0].min() - 200, stretched[:, 0].max() + 200
    area, _ = quad(
        *(lambda x: np.exp(crp.score_samples([[x]])[0]), low, high),
        points=crp.cluster_centers_[:, 0],
        limit=500,
    )
    np.testing.assert_allclose(area, 1, atol=1e-6)


def test_dynamics_follow_the_gradient_of_the_energy(crp, stretched):
    metric = getattr(crp, "metric_", np.eye(2))
    for x in [*stretched[::60], np.array([14.0, -2.0]), np.array([40.0, 20.0])]:
        gradient = approx_fprime(x, lambda x: crp.energy([x])[0], 1e-6)
        step = crp.trajectory([x], n_steps=1, step_size=0.3)[0, 1] - x
        expected = -0.3 / 2 * np.linalg.solve(metric, gradient)
        np.testing.assert_allclose(step, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step_size", [0.3, 1.0, 1.99])
def test_energy_never_rises(crp, stretched, step_size):
    starts = np.vstack([stretched[::5], 3 * stretched[::20]])
    states = crp.trajectory(starts, n_steps=20, step_size=step_size)
    np.testing.assert_array_equal(states[:, 0], starts)
    energies = np.array([crp.energy(v) for v in states.transpose(1, 0, 2)])
    scale = np.abs(energies).max()
    assert (np.diff(energies, axis=0) <= 1e-9 * scale).all()


def test_retrieval_rests_where_the_dynamics_end(crp, stretched):
    rest = crp.retrieve(stretched)
    np.testing.assert_allclose(crp.retrieve(rest, n_steps=1), rest, atol=1e-6)
    steps = crp.trajectory(stretched, n_steps=4, step_size=0.5)[:, -1]
    np.testing.assert_allclose(crp.retrieve(stretched, 4, 0.5), steps)


def test_unrested_states_are_told_of(crp, stretched, monkeypatch):
    monkeypatch.setattr(landscape, "MAX_RETRIEVAL_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="still moved"):
        crp.retrieve(stretched)


def test_without_new_memories_it_is_clam(stretched):
    """Equal counts, and a base measure of no weight."""
    clam = CLAMClusterer(3, beta=0.2, random_state=0).fit(stretched)
    crp = fit(stretched, metric="euclidean", concentration=1e-300)
    crp.cluster_centers_, crp.beta_ = clam.cluster_centers_, clam.beta_
    crp.counts_, crp.weights_ = np.full(3, 100.0), np.full(3, 1 / 3)
    np.testing.assert_allclose(
        crp.predict_proba(stretched), clam.predict_proba(stretched)
    )
    np.testing.assert_allclose(
        crp.energy(stretched), clam.energy(stretched) - np.log(300) / 0.2
    )
    np.testing.assert_allclose(
        crp.score_samples(stretched), clam.score_samples(stretched)
    )
    np.testing.assert_allclose(
        crp.retrieve(stretched, 3), clam.retrieve(stretched, 3), atol=1e-9
    )


@pytest.mark.parametrize("form", FORMS[:3], ids=str)
def test_novelty_tells_a_kind_never_seen(form):
    X, y = clear_blobs(5, 4, distance=6)
    crp = fit(X[y > 0], **form)
    assert roc_auc_score(y == 0, crp.novelty(X)) > 0.97
    assert ((crp.novelty(X) >= 0) & (crp.novelty(X) <= 1)).all()


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


# Streams


@forms
@pytest.mark.parametrize("n_batches", [1, 20])
def test_a_stream_finds_the_same_memories(form, n_batches):
    X, y = clear_blobs(6, 3, 2000)
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
    crp = fit(X)
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
    crp = fit(X)
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
            *(CRPAssociativeClusterer, "_learn"),
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


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-3, 1e-2])
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


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("discount", [0.0, 0.3])
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
    np.testing.assert_allclose(crp.beta_, before, rtol=1e-6)
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
