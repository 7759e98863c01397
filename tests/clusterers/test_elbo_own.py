"""CLAMELBOClusterer where each memory has a covariance of its own."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from amcluster import CLAMELBOClusterer

from ..data import hide
from ..strategies import seeds, tables

FORMS = {"spherical": "spherical", "diagonal": "diag", "full": "full"}
forms = pytest.mark.parametrize("form", FORMS)
likelihoods = pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])


def fit(X, form, n_clusters=3, sample_weight=None, **parameters):
    parameters = {"random_state": 0, "n_init": 2, **parameters}
    elbo = CLAMELBOClusterer(n_clusters, covariance=form, **parameters)
    return elbo.fit(X, sample_weight=sample_weight)


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


def long_and_round(n_rows=300, seed=0):
    """Three clusters: one long and thin, one small, one in between; not along axes."""
    rng = np.random.default_rng(seed)
    scales = np.array([[6.0, 1.0, 0.2], [0.3, 0.3, 0.3], [1.0, 1.0, 3.0]])
    centers = np.array([[0.0, 0.0, 0.0], [0.0, 6.0, 1.5], [0.0, -6.0, 6.0]])
    X = rng.normal(size=(3, n_rows, 3)) * scales[:, None] + centers[:, None]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return X.reshape(-1, 3) @ turn, np.repeat(np.arange(3), n_rows)


def matrices(elbo):
    """The covariances (n_clusters, n_features, n_features)."""
    covariances, n_features = elbo.covariances_, elbo.n_features_in_
    if covariances.ndim == 1:
        covariances = np.repeat(covariances[:, None], n_features, axis=1)
    if covariances.ndim == 2:
        covariances = covariances[..., None] * np.eye(n_features)
    return covariances


def joint_densities(elbo, x):
    """log weight plus SciPy's log density of what is seen of a row, for each memory."""
    seen = ~np.isnan(x)
    densities = []
    for center, sigma in zip(elbo.cluster_centers_, matrices(elbo), strict=True):
        arguments = center[seen], sigma[np.ix_(seen, seen)]
        if elbo.likelihood == "student_t":
            densities.append(multivariate_t(*arguments, elbo.nu).logpdf(x[seen]))
        else:
            densities.append(multivariate_normal(*arguments).logpdf(x[seen]))
    return np.log(elbo.weights_) + densities


def mixture_of(elbo):
    """The GaussianMixture with the parameters of a fitted model."""
    mixture = GaussianMixture(3, covariance_type=FORMS[elbo.covariance])
    mixture.weights_, mixture.means_ = elbo.weights_, elbo.cluster_centers_
    mixture.covariances_ = elbo.covariances_
    if elbo.covariance == "full":
        roots = np.linalg.cholesky(np.linalg.inv(elbo.covariances_))
    else:
        roots = 1 / np.sqrt(elbo.covariances_)
    mixture.precisions_cholesky_ = roots
    return mixture


# What a fitted model says of rows


@forms
def test_it_is_the_gaussian_mixture_with_its_parameters(X, form):
    elbo = fit(X, form)
    mixture = mixture_of(elbo)
    np.testing.assert_allclose(
        elbo.score_samples(X), mixture.score_samples(X), rtol=1e-8
    )
    np.testing.assert_allclose(
        elbo.predict_proba(X), mixture.predict_proba(X), atol=1e-8
    )
    np.testing.assert_array_equal(elbo.labels_, mixture.predict(X))
    np.testing.assert_allclose(elbo.bic(X), mixture.bic(X))
    np.testing.assert_allclose(elbo.aic(X), mixture.aic(X))
    shapes = {"spherical": (3,), "diagonal": (3, 4), "full": (3, 4, 4)}
    assert elbo.covariances_.shape == shapes[form]
    sizes = np.linalg.det(matrices(elbo)) ** (-1 / 4) / 2
    np.testing.assert_allclose(elbo.beta_, sizes)


@pytest.mark.parametrize("metric", ["euclidean", "learned"])
def test_covariances_that_are_shared(X, metric):
    elbo = fit(X, "shared", metric=metric)
    matrix = elbo.metric_ if metric == "learned" else np.eye(4)
    expected = np.linalg.inv(matrix) / (2 * elbo.beta_)
    np.testing.assert_allclose(elbo.covariances_, expected, atol=1e-12)


@forms
@likelihoods
def test_marginals_are_scipys(X, form, likelihood):
    holed = hide(X, 0.3)
    elbo = fit(holed, form, likelihood=likelihood)
    for x in [*holed[::10], X[0]]:
        if np.isnan(x).all():
            continue
        joint = joint_densities(elbo, x)
        np.testing.assert_allclose(elbo.score_samples([x]), logsumexp(joint))
        expected = np.exp(joint - logsumexp(joint))
        np.testing.assert_allclose(elbo.predict_proba([x])[0], expected, atol=1e-9)


@forms
def test_completion_is_the_conditional_mean(X, form):
    holed = hide(X, 0.3)
    elbo = fit(holed, form)
    completed, posteriors = elbo.complete(holed), elbo.predict_proba(holed)
    for x, filled, p in zip(
        holed[::10], completed[::10], posteriors[::10], strict=True
    ):
        seen, expected = ~np.isnan(x), 0
        for weight, mean, sigma in zip(
            p, elbo.cluster_centers_, matrices(elbo), strict=True
        ):
            among = np.linalg.inv(sigma[np.ix_(seen, seen)])
            regression = sigma[np.ix_(~seen, seen)] @ among
            expected += weight * (mean[~seen] + regression @ (x - mean)[seen])
        np.testing.assert_allclose(filled[~seen], expected, atol=1e-9)
        np.testing.assert_array_equal(filled[seen], x[seen])


@forms
@likelihoods
def test_the_free_energy_of_states_falls_to_minus_the_log_density(X, form, likelihood):
    elbo = fit(X, form, likelihood=likelihood)
    states, energies = elbo.trajectory(X[:20], 60, 0.5, return_energy=True)
    assert np.diff(energies, axis=1).max() < 1e-9
    np.testing.assert_allclose(energies[:, -1], -elbo.score_samples(X[:20]), atol=1e-9)
    np.testing.assert_allclose(states[:, -1], elbo.predict_proba(X[:20]), atol=1e-9)
    means = elbo.predict_proba(X[:20]) @ elbo.cluster_centers_
    np.testing.assert_allclose(elbo.retrieve(X[:20]), means)
    joint = np.array([joint_densities(elbo, x) for x in X[:20]])
    # But for the normaliser of the first memory.
    differences = np.diff(-elbo.beta_[0] * elbo.energy(X[:20]))
    np.testing.assert_allclose(differences, np.diff(logsumexp(joint, axis=1)))


@forms
def test_draws_have_the_moments_of_their_memory(X, form):
    elbo = fit(X, form)
    drawn, y = elbo.sample(60000)
    for k, sigma in enumerate(matrices(elbo)):
        rows = drawn[y == k]
        scale = np.sqrt(np.outer(np.diag(sigma), np.diag(sigma)))
        np.testing.assert_allclose((np.cov(rows.T) - sigma) / scale, 0, atol=0.05)
        error = (rows.mean(axis=0) - elbo.cluster_centers_[k]) / np.sqrt(np.diag(sigma))
        np.testing.assert_allclose(error, 0, atol=0.05)


# What it learns


def test_clusters_of_unlike_shape_are_found():
    X, y = long_and_round(3000)
    full = fit(X, "full")
    assert adjusted_rand_score(y, full.labels_) > 0.99
    for covariance, label in zip(full.covariances_, range(3), strict=True):
        (cluster,) = np.unique(y[full.predict_proba(X)[:, label] > 0.99])
        expected = np.cov(X[y == cluster].T)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose((covariance - expected) / scale, 0, atol=0.06)


@pytest.mark.parametrize("turned", [False, True])
def test_a_cross_takes_the_form_of_its_arms(turned):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 500)
    X = rng.normal(size=(1000, 2)) * np.array([[5.0, 0.3], [0.3, 5.0]])[y]
    X[y == 1] += [4.0, 2.0]
    forms = {"full"} if turned else {"full", "diagonal"}
    if turned:
        X = X @ np.array([[1.0, 1.0], [-1.0, 1.0]])
    for form in ("spherical", "diagonal", "full"):
        found = adjusted_rand_score(y, fit(X, form, 2).labels_) > 0.8
        assert found == (form in forms), form
    shared = fit(X, "shared", 2, metric="learned")
    assert adjusted_rand_score(y, shared.labels_) < 0.8


@forms
@likelihoods
def test_history_falls_and_ends_with_score_and_penalty(X, form, likelihood):
    elbo = fit(X, form, likelihood=likelihood, tol=0.0)
    assert (np.diff(elbo.history_) <= 0).all()
    assert elbo.history_[-1] > -elbo.score(X)  # the penalty is positive
    assert elbo.n_iter_ == len(elbo.history_) > 5


@pytest.mark.parametrize("form", ["diagonal", "full"])
def test_units_of_columns_do_not_matter(X, form):
    units = np.array([1.0, 1e4, 1e-3, 7.0])
    one, other = fit(X, form), fit(X * units, form)
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(one.cluster_centers_ * units, other.cluster_centers_)
    expected = matrices(one) * np.outer(units, units)
    scale = np.sqrt(np.outer(units, units) ** 2)
    np.testing.assert_allclose(
        matrices(other) / scale, expected / scale, rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        one.score_samples(X), other.score_samples(X * units) + np.log(units).sum()
    )


@forms
def test_a_common_unit_does_not_matter(X, form):
    one, other = fit(X, form), fit(1e3 * X + 5, form)
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(1e6 * one.covariances_, other.covariances_, rtol=1e-6)


@forms
def test_one_memory(X, form):
    """Its prior is about the geometric mean of itself and of the shared covariance."""
    elbo = fit(X, form, 1, tol=0.0)
    metric = "euclidean" if form == "spherical" else "learned"
    shared = fit(X, "shared", 1, metric=metric).covariances_
    shared = np.diag(np.diag(shared)) if form == "diagonal" else shared
    about, sigma = X - X.mean(axis=0), matrices(elbo)[0]
    root = np.real(sqrtm(shared))
    inverse = np.linalg.inv(root)
    common = root @ np.real(sqrtm(inverse @ sigma @ inverse)) @ root
    expected = (about.T @ about + 16 * common) / (len(X) + 16)
    if form != "full":
        variances = np.diag(expected)
        expected = np.diag(variances if form == "diagonal" else [variances.mean()] * 4)
    np.testing.assert_allclose(sigma, expected, rtol=1e-6, atol=1e-7)


@forms
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_few_rows_and_constant_columns(form, dtype, real_sets):
    wide = real_sets["digits"][0][:40].astype(dtype)  # with constant columns
    elbo = fit(wide, form)
    assert np.isfinite(elbo.score_samples(wide)).all()
    assert np.isfinite(elbo.covariances_).all()
    each = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [7.0, 5.0, 3.0]], dtype)
    elbo = fit(each, form)
    assert len(np.unique(elbo.labels_)) == 3
    assert np.isfinite(elbo.score(each))


@given(tables(), st.sampled_from(list(FORMS)), seeds, st.data())
@settings(max_examples=15)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Rows are:RuntimeWarning")
def test_any_table(X, form, seed, data):
    X[np.abs(X) < 1e-10] = 0
    n_clusters = data.draw(st.integers(1, min(5, len(X))))
    elbo = fit(X, form, n_clusters, random_state=seed, max_iter=30)
    for value in (elbo.cluster_centers_, elbo.covariances_, elbo.history_, elbo.beta_):
        assert np.isfinite(value).all()
    assert (np.diff(elbo.history_) <= 0).all()
    assert np.linalg.eigvalsh(matrices(elbo)).min() > 0
    proba = elbo.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=10 * np.finfo(X.dtype).eps)
    np.testing.assert_array_equal(elbo.labels_, proba.argmax(axis=1))
    for method in ("predict_proba", "score_samples", "energy"):
        whole = getattr(elbo, method)(X)
        single = [getattr(elbo, method)(X[i : i + 1])[0] for i in range(len(X))]
        np.testing.assert_array_equal(whole, single)


# At home


@forms
def test_pickles_and_refits(X, form):
    elbo = fit(X, form)
    copy = pickle.loads(pickle.dumps(elbo))
    np.testing.assert_array_equal(copy.score_samples(X), elbo.score_samples(X))
    expected = elbo.covariances_
    elbo.set_params(covariance="shared")  # what was fitted stays so
    np.testing.assert_array_equal(elbo.covariances_, expected)
    np.testing.assert_array_equal(elbo.predict(X), elbo.labels_)
    elbo.fit(X)
    fresh = fit(X, "shared")
    assert elbo.beta_ == fresh.beta_
    np.testing.assert_array_equal(elbo.score_samples(X), fresh.score_samples(X))


@forms
def test_a_state_that_does_not_fit_together_is_refused(X, form):
    elbo = fit(X, form)
    elbo.beta_ = elbo.beta_[:2]
    with pytest.raises(ValueError, match=r"beta_ has shape \(2,\)"):
        elbo.predict(X)
    elbo.beta_ = np.array([1.0, 1.0, -1.0])
    with pytest.raises(ValueError, match="expected positive numbers"):
        elbo.predict(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"covariance": "tied"}, "covariance == 'tied', must be one of"),
        (
            {"covariance": "full", "metric": "learned"},
            "metric == 'learned' and covariance == 'full': the metric is that of",
        ),
        (
            {"covariance": "diagonal", "beta": 2.0},
            "beta == 2.0 and covariance == 'diagonal': each memory learns its own",
        ),
        (
            {"covariance": "spherical", "likelihood": "uniform"},
            "likelihood == 'uniform' and covariance == 'spherical'",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_named(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        CLAMELBOClusterer(3, **parameters).fit(X)


def test_laplace_learns_but_has_no_marginals(X):
    elbo = fit(X, "full", likelihood="laplace")
    assert (np.diff(elbo.history_) <= 0).all()
    with pytest.raises(ValueError, match="has no closed form for rows with missing"):
        elbo.predict(hide(X, 0.2))


def test_a_gpu_does_not_learn_them(X):
    with pytest.raises(NotImplementedError, match="device='cpu'"):
        fit(X[::10], "full", max_iter=2, device="cuda")
