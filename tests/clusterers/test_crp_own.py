"""CRPAssociativeClusterer where memories have covariances of their own."""

import pickle

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from amcluster import CRPAssociativeClusterer

from ..data import hide
from .crp import fit


def long_and_round(n_rows=300, tails=None, seed=0):
    """Three clusters: one long and thin, one small, one in between."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(3, n_rows, 3))
    if tails is not None:
        noise /= np.sqrt(rng.chisquare(tails, size=(3, n_rows, 1)) / tails)
    scales = np.array([[6.0, 1.0, 0.2], [0.3, 0.3, 0.3], [1.0, 1.0, 3.0]])
    centers = np.array([[0.0, 0.0, 0.0], [0.0, 9.0, 4.0], [0.0, -9.0, 9.0]])
    X = noise * scales[:, None] + centers[:, None]
    return X.reshape(-1, 3), np.repeat(np.arange(3), n_rows)


@pytest.fixture(scope="module", params=[None, 5.0], ids=["gaussian", "heavy"])
def fitted(request):
    X, y = long_and_round(tails=request.param)
    return fit(X), X, y


def parts(crp):
    """Mass, center and scale matrix of each memory, and of the base measure."""
    metric = crp._learned_metric()
    beta, root = crp._base_
    (inside,) = metric.in_features(root[None])
    base = np.linalg.inv(inside @ inside.T) / (2 * beta)
    total = crp.counts_.sum() + crp.concentration
    masses = np.append(crp.counts_, crp.concentration) / total
    centers = [*crp.cluster_centers_, crp.base_mean_]
    return list(zip(masses, centers, [*crp.covariances_, base], strict=True))


def log_density(crp, x, center, scale):
    if np.isinf(crp.nu_):
        return multivariate_normal(center, scale).logpdf(x)
    return multivariate_t(center, scale, crp.nu_).logpdf(x)


def test_clusters_of_unlike_shape_are_one_memory_each(fitted):
    crp, X, y = fitted
    assert crp.n_clusters_ == 3
    assert adjusted_rand_score(y, crp.labels_) > 0.97
    assert fit(X, covariance="tied").n_clusters_ > 3


def test_tails_are_told():
    X, _ = long_and_round(1000)
    assert fit(X).nu_ > 30
    X, _ = long_and_round(1000, tails=5)
    assert 4 <= fit(X).nu_ <= 8
    assert fit(X, likelihood="gaussian").nu_ == np.inf


def test_covariances_are_those_of_clusters():
    X, y = long_and_round(3000)
    crp = fit(X)
    for k in range(3):
        (cluster,) = np.unique(y[crp.labels_ == k])
        expected = np.cov(X[y == cluster].T)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        error = (crp.covariances_[k] - expected) / scale
        np.testing.assert_allclose(error, 0, atol=0.05)


def test_densities_are_scipys(fitted):
    crp, X, _ = fitted
    X = np.vstack([X[::20], [[30.0, 0.0, 0.0]]])
    joint = [np.log(m) + log_density(crp, X, c, s) for m, c, s in parts(crp)]
    np.testing.assert_allclose(crp.score_samples(X), logsumexp(joint, axis=0))
    expected = np.exp(joint[:-1] - logsumexp(joint[:-1], axis=0)).T
    np.testing.assert_allclose(crp.predict_proba(X), expected, atol=1e-9)


def test_marginals_are_scipys(fitted):
    crp, X, _ = fitted
    for x in hide(X[::40], 0.3):
        seen = ~np.isnan(x)
        if not seen.any():
            continue
        joint = [
            np.log(m) + log_density(crp, x[seen], c[seen], s[np.ix_(seen, seen)])
            for m, c, s in parts(crp)
        ]
        np.testing.assert_allclose(crp.score_samples([x]), logsumexp(joint))


def test_a_mixture_with_the_same_parameters_says_the_same():
    X, _ = long_and_round()
    crp = fit(X, likelihood="gaussian")
    mixture = GaussianMixture(3).fit(X)
    mixture.means_, mixture.weights_ = crp.cluster_centers_, crp.weights_
    mixture.covariances_ = crp.covariances_
    roots = np.linalg.cholesky(np.linalg.inv(crp.covariances_))
    mixture.precisions_cholesky_ = roots
    np.testing.assert_allclose(
        crp.predict_proba(X), mixture.predict_proba(X), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("step_size", [0.3, 1.0, 1.9])
def test_the_energy_never_rises_and_rest_is_reached(fitted, step_size):
    crp, X, _ = fitted
    states = crp.trajectory(X[::30], n_steps=8, step_size=step_size)
    energies = np.array([crp.energy(v) for v in states.transpose(1, 0, 2)])
    assert (np.diff(energies, axis=0) <= 1e-9 * np.abs(energies).max()).all()
    rest = crp.retrieve(X[::30])
    again = crp.retrieve(rest, n_steps=1)
    np.testing.assert_allclose(again, rest, atol=1e-6)


def test_units_of_columns_do_not_matter(fitted):
    crp, X, _ = fitted
    units = np.array([1e-4, 1.0, 5e3])
    other = fit(X * units)
    np.testing.assert_array_equal(other.labels_, crp.labels_)
    expected = crp.covariances_ * np.outer(units, units)
    np.testing.assert_allclose(other.covariances_, expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(other.novelty(X * units), crp.novelty(X), atol=1e-6)


def test_weights_are_copies_in_any_order():
    X, _ = long_and_round(120)
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = fit(X, sample_weight=weights)
    copies = fit(np.repeat(X, weights, axis=0)[::-1])
    np.testing.assert_array_equal(weighted.cluster_centers_, copies.cluster_centers_)
    np.testing.assert_array_equal(weighted.covariances_, copies.covariances_)


def test_missing_values_leave_the_clusters():
    X, y = long_and_round()
    crp = fit(hide(X, 0.15))
    assert crp.n_clusters_ == 3
    assert adjusted_rand_score(y, crp.labels_) > 0.85
    filled = crp.complete(hide(X, 0.15))
    error = np.abs(filled - X).mean()
    assert error < np.abs(X - X.mean(axis=0)).mean() * 0.15 * 0.5


def test_constant_columns_change_nothing():
    X, _ = long_and_round()
    crp, wider = fit(X), fit(np.c_[X, np.full(len(X), 3.0)])
    np.testing.assert_array_equal(wider.labels_, crp.labels_)
    new = np.array([[0.0, 0.0, 6.0], [0.0, 4.0, 2.0]])
    wide = np.c_[new, [3.0, 3.0]]
    np.testing.assert_allclose(wider.novelty(wide), crp.novelty(new), atol=1e-6)


def test_a_number_that_is_asked_for():
    X, _ = long_and_round()
    for n_clusters in (1, 2, 5, 9):
        for form in ({}, {"covariance": "tied"}, {"assignment": "hard"}):
            assert fit(X, n_clusters=n_clusters, **form).n_clusters_ == n_clusters


def test_a_stream_comes_to_what_a_fit_finds():
    X, _ = long_and_round(800)
    order = np.random.default_rng(0).permutation(len(X))
    stream, whole = CRPAssociativeClusterer(random_state=0), fit(X)
    for batch in np.array_split(X[order], 30):
        stream.partial_fit(batch)
    assert stream.n_clusters_ == 3
    assert stream.novelty([[0.0, 40.0, 0.0]])[0] > 0.9
    assert (stream.novelty(X) > 0.5).mean() < 0.05
    for k in range(3):
        away = np.linalg.norm(
            whole.cluster_centers_ - stream.cluster_centers_[k], axis=1
        )
        same = whole.covariances_[away.argmin()]
        scale = np.sqrt(np.outer(np.diag(same), np.diag(same)))
        np.testing.assert_allclose(
            (stream.covariances_[k] - same) / scale, 0, atol=0.15
        )


def test_a_new_kind_in_a_stream_is_one_memory_of_its_own_shape():
    X, _ = long_and_round()
    crp = fit(X)
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(90, 3)) * [0.5, 5.0, 2.0] + [0.0, 60.0, 0.0]
    crp.partial_fit(batch)
    assert crp.n_clusters_ == 4
    np.testing.assert_allclose(crp.counts_[3], 90, rtol=0.02)
    deviations = np.sqrt(np.diag(crp.covariances_[3]))
    np.testing.assert_allclose(deviations, batch.std(axis=0), rtol=0.3)


def test_float32_is_as_float64(fitted):
    crp, X, _ = fitted
    narrow = fit(X.astype(np.float32))
    np.testing.assert_array_equal(narrow.labels_, crp.labels_)
    np.testing.assert_allclose(
        narrow.covariances_, crp.covariances_, rtol=0.02, atol=0.01
    )
    assert narrow.score_samples(X.astype(np.float32)).dtype == np.float32


def test_novelty_ranks_as_the_density_and_flags_few_known_rows():
    X, y = long_and_round(600)
    crp = fit(X[y != 1])
    again, classes = long_and_round(600, seed=1)
    novelty = crp.novelty(again)
    assert (novelty[classes == 1] > 0.5).mean() > 0.95
    assert (novelty[classes != 1] > 0.5).mean() < 0.05


def test_a_pickle_says_the_same(fitted):
    crp, X, _ = fitted
    loaded = pickle.loads(pickle.dumps(crp))
    np.testing.assert_array_equal(loaded.novelty(X), crp.novelty(X))


def test_one_cluster_deserves_a_word_and_what_to_try(recwarn):
    X = np.random.default_rng(0).normal(size=(200, 2))
    with pytest.warns(ConvergenceWarning, match='One cluster.*covariance="tied"'):
        fit(X)
    recwarn.clear()
    fit(X, n_clusters=1)  # as asked for
    fit(X[:9])  # too few rows for two
    fit(np.ones((200, 2)))
    assert not [w for w in recwarn if w.category is ConvergenceWarning]
