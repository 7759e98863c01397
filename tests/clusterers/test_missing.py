"""Rows with missing values: what all estimators promise; ELBO and CLAM in detail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import nan_euclidean_distances

from amcluster import CLAMClusterer, CLAMELBOClusterer

from ..data import REAL_SETS, hide
from .crp import TIED
from .crp import fit as fit_crp

VARIANTS = [
    {"likelihood": likelihood, "metric": metric}
    for likelihood in ("gaussian", "student_t")
    for metric in ("euclidean", "learned")
]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def fit_elbo(X, n_clusters=3, sample_weight=None, **parameters):
    elbo = CLAMELBOClusterer(n_clusters, random_state=0, **parameters)
    return elbo.fit(X, sample_weight=sample_weight)


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


@pytest.fixture(scope="module")
def holed(X):
    holed = hide(X, 0.2)
    holed[0] = np.nan
    return holed


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def elbo(request, holed):
    return fit_elbo(holed, **request.param)


@pytest.fixture(scope="module", params=[*VARIANTS, *TIED], ids=str)
def model(request, holed):
    is_crp = "assignment" in request.param
    return (fit_crp if is_crp else fit_elbo)(holed, **request.param)


def covariance(model):
    metric = getattr(model, "metric_", np.eye(model.n_features_in_))
    return np.linalg.inv(metric) / (2 * model.beta_)


# Marginals and conditionals


def test_densities_and_posteriors_are_those_of_what_is_seen(elbo, holed):
    for x in holed[1:40]:
        seen = ~np.isnan(x)
        if not seen.any():
            continue
        sigma = covariance(elbo)[np.ix_(seen, seen)]
        means = elbo.cluster_centers_[:, seen]
        if elbo.likelihood == "student_t":
            densities = [multivariate_t(m, sigma, elbo.nu).pdf(x[seen]) for m in means]
        else:
            densities = [multivariate_normal(m, sigma).pdf(x[seen]) for m in means]
        joint = elbo.weights_ * densities
        np.testing.assert_allclose(elbo.score_samples([x]), np.log(joint.sum()))
        expected = joint / joint.sum()
        np.testing.assert_allclose(elbo.predict_proba([x])[0], expected, atol=1e-10)


def test_a_row_with_nothing_seen_gets_the_weights(model, holed):
    np.testing.assert_allclose(model.predict_proba(holed[:1])[0], model.weights_)
    np.testing.assert_allclose(model.score_samples(holed[:1]), 0, atol=1e-12)
    expected = model.weights_ @ model.cluster_centers_
    np.testing.assert_allclose(model.complete(holed[:1])[0], expected)


def test_completion_is_the_conditional_mean(model, holed):
    completed, sigma = model.complete(holed), covariance(model)
    posteriors = model.predict_proba(holed)
    for x, filled, p in zip(holed[:40], completed, posteriors, strict=False):
        seen, hidden = ~np.isnan(x), np.isnan(x)
        regression = sigma[np.ix_(hidden, seen)] @ np.linalg.inv(
            sigma[np.ix_(seen, seen)]
        )
        expected = 0
        for weight, mean in zip(p, model.cluster_centers_, strict=True):
            expected += weight * (mean[hidden] + regression @ (x - mean)[seen])
        np.testing.assert_allclose(filled[hidden], expected, atol=1e-9)


def test_what_is_seen_is_untouched(model, holed, X):
    seen = ~np.isnan(holed)
    np.testing.assert_array_equal(model.complete(holed)[seen], holed[seen])
    np.testing.assert_array_equal(model.complete(X), X)
    assert model.complete(X) is not X


def test_a_hidden_column_is_a_model_without_it(elbo, X):
    hidden = X.copy()
    hidden[:, 1] = np.nan
    kept = [0, 2, 3]
    sigma = covariance(elbo)[np.ix_(kept, kept)]
    smaller = CLAMELBOClusterer(3, likelihood=elbo.likelihood, metric="learned")
    smaller.fit(X[:, kept])
    scale = np.linalg.det(sigma) ** (1 / 3)
    smaller.metric_, smaller.beta_ = np.linalg.inv(sigma) * scale, 0.5 / scale
    smaller.cluster_centers_ = elbo.cluster_centers_[:, kept]
    smaller.weights_ = elbo.weights_
    np.testing.assert_allclose(
        elbo.predict_proba(hidden), smaller.predict_proba(X[:, kept]), atol=1e-9
    )
    np.testing.assert_allclose(
        elbo.score_samples(hidden), smaller.score_samples(X[:, kept])
    )


def test_rows_with_and_without_holes_agree(model, X):
    """One row with a hole sends the others another way."""
    mixed = np.vstack([X, np.full((1, 4), np.nan)])
    for method in ("predict_proba", "score_samples", "energy", "transform", "predict"):
        whole, other = getattr(model, method)(X), getattr(model, method)(mixed)[:-1]
        np.testing.assert_allclose(other, whole, rtol=1e-6, atol=1e-9)
    whole, other = model.trajectory(X, 3), model.trajectory(mixed, 3)[:-1]
    np.testing.assert_allclose(other, whole, rtol=1e-6, atol=1e-9)


def test_transform_is_as_in_scikit_learn(model, holed):
    expected = nan_euclidean_distances(holed, model.cluster_centers_)
    np.testing.assert_array_equal(model.transform(holed), expected)


def test_inertia_is_of_what_is_seen(model, holed):
    away = np.nan_to_num(holed - model.cluster_centers_[model.labels_])
    np.testing.assert_allclose(model.inertia_, np.square(away).sum())


# Learning


@variants
@pytest.mark.parametrize("name", REAL_SETS[:3])
def test_the_free_energy_of_what_is_seen_never_rises(real_sets, name, variant):
    X, n_clusters = real_sets[name]
    holed = hide(X, 0.2)
    elbo = fit_elbo(holed, n_clusters, **variant)
    assert (np.diff(elbo.history_) <= 0).all()
    if variant["metric"] == "euclidean":
        np.testing.assert_allclose(-elbo.score(holed), elbo.objective_)
    np.testing.assert_array_equal(elbo.labels_, elbo.predict(holed))


def test_one_memory_learns_the_moments_of_a_normal_distribution():
    """Half of a column is hidden where the other is large: at random, given that."""
    rng = np.random.default_rng(0)
    sigma = np.array([[1.0, 0.8], [0.8, 2.0]])
    X = rng.multivariate_normal([0.0, 5.0], sigma, size=20_000)
    X[X[:, 0] > 0, 1] = np.nan
    elbo = fit_elbo(X, 1, metric="learned", tol=1e-9, max_iter=500)
    np.testing.assert_allclose(elbo.cluster_centers_[0], [0.0, 5.0], atol=0.05)
    np.testing.assert_allclose(covariance(elbo), sigma, atol=0.06)
    assert np.nanmean(X[:, 1]) < 4.5  # the mean of what is seen is not that


@variants
def test_a_row_that_was_not_seen_teaches_nothing(X, variant):
    whole = fit_elbo(X, **variant, tol=1e-9)
    holed = fit_elbo(np.vstack([X, np.full((1, 4), np.nan)]), **variant, tol=1e-9)
    assert adjusted_rand_score(holed.labels_[:-1], whole.labels_) == 1
    order = np.argsort(whole.cluster_centers_[:, 0])
    again = np.argsort(holed.cluster_centers_[:, 0])
    tolerance = 0.02 if variant["metric"] == "learned" else 1e-3  # the prior's weight
    np.testing.assert_allclose(
        holed.cluster_centers_[again], whole.cluster_centers_[order], atol=tolerance
    )


@variants
def test_a_column_that_is_missing_for_half_the_rows(X, variant):
    holed = X.copy()
    holed[::2, 2] = np.nan
    whole = fit_elbo(X, **variant)
    assert adjusted_rand_score(fit_elbo(holed, **variant).labels_, whole.labels_) > 0.6


def test_holes_cost_less_than_filling_with_means(real_sets):
    X, n_clusters = real_sets["iris"]
    scores = []
    for seed in range(3):
        holed = hide(X, 0.3, seed)
        filled = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)
        whole = fit_elbo(X, n_clusters, metric="learned").labels_
        scores.append(
            [
                adjusted_rand_score(
                    whole, fit_elbo(rows, n_clusters, metric="learned").labels_
                )
                for rows in (holed, filled)
            ]
        )
    ours, of_means = np.mean(scores, axis=0)
    assert ours > of_means + 0.1


@given(
    st.integers(0, 2**31),
    st.sampled_from(VARIANTS),
    hnp.arrays(bool, (12, 3), elements=st.booleans()),
    st.sampled_from(["k-means++", "random"]),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_pattern(seed, variant, holes, init):
    X = np.random.default_rng(seed).normal(size=holes.shape)
    holes[0] = False
    elbo = fit_elbo(np.where(holes, np.nan, X), 2, max_iter=20, init=init, **variant)
    assert (np.diff(elbo.history_) <= 0).all()
    proba = elbo.predict_proba(np.where(holes, np.nan, X))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    completed = elbo.complete(np.where(holes, np.nan, X))
    assert np.isfinite(completed).all()
    np.testing.assert_array_equal(completed[~holes], X[~holes])


# Errors


def test_a_column_never_seen_is_named(X):
    pandas = pytest.importorskip("pandas")
    X = X.copy()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2"):
        fit_elbo(X)
    table = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="feature 'c'"):
        fit_elbo(table)
    X[0, 2] = 1.0
    weights = np.ones(len(X))
    weights[0] = 0
    with pytest.raises(ValueError, match="column 2"):
        fit_elbo(X, sample_weight=weights)


def test_infinity_is_still_an_error(X):
    X = X.copy()
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fit_elbo(X)


# CLAM

CLAM_VARIANTS = [{}, {"mask_fraction": 0.5}, {"weights": "learned"}]


clam_variants = pytest.mark.parametrize("variant", CLAM_VARIANTS, ids=str)


def clam(X, sample_weight=None, **parameters):
    estimator = CLAMClusterer(3, random_state=0, **parameters)
    return estimator.fit(X, sample_weight=sample_weight)


@clam_variants
def test_clam_learns_from_what_is_seen(X, holed, variant):
    fitted = clam(holed, **variant)
    assert (np.diff(fitted.history_) <= 0).all()
    assert fitted.history_[-1] < fitted.history_[0]
    whole = clam(X, **variant)
    assert adjusted_rand_score(fitted.labels_[1:], whole.labels_[1:]) > 0.7


def test_adam_learns_from_what_is_seen(holed):
    adam = clam(holed, solver="adam", max_iter=20, init="random")
    assert adam.history_[-1] < 0.9 * adam.history_[0]


def test_clamped_dynamics_lower_the_energy_and_leave_what_is_seen(holed):
    fitted = clam(holed, beta=0.5)
    whole = ~np.isnan(holed).any(axis=1)
    everything, holed = holed, holed[~whole]
    seen = ~np.isnan(holed)
    for step_size in (0.3, 1.0, 1.9):
        states = fitted.trajectory(holed, n_steps=15, step_size=step_size)
        energies = np.array([fitted.energy(v) for v in states.transpose(1, 0, 2)])
        assert (np.diff(energies, axis=0) <= 1e-10).all()
        assert (np.ptp(states, axis=1)[~seen] > 0).mean() > 0.9
        for state in states.transpose(1, 0, 2):
            np.testing.assert_array_equal(state[seen], holed[seen])
    np.testing.assert_allclose(states[:, 0], fitted.complete(holed))
    rest = fitted.retrieve(holed)
    np.testing.assert_array_equal(rest[seen], holed[seen])
    # Rows without holes move as ever.
    rest = fitted.retrieve(everything)[whole]
    np.testing.assert_allclose(rest, fitted.retrieve(everything[whole]))
