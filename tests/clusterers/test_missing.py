"""Rows with holes, in estimators: marginals, conditionals, and what does not change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import nan_euclidean_distances
from sklearn.utils import get_tags

from amcluster import CLAMClusterer, CLAMELBOClusterer, CRPAssociativeClusterer
from amcluster.energies import resolve
from amcluster.learning.em import Mixture
from amcluster.learning.missing import FreeEnergyWithHoles
from amcluster.learning.seeding import partition_rows
from amcluster.rows.distinct import distinct_rows
from amcluster.rows.missing import has_missing, look_finite
from amcluster.spaces.covariance import Isotropic, first_shared

from ..conftest import REAL_SETS

VARIANTS = [
    {"likelihood": likelihood, "metric": metric}
    for likelihood in ("gaussian", "student_t")
    for metric in ("euclidean", "learned")
]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)
CRP_FORMS = [
    {"assignment": assignment, "metric": metric}
    for assignment in ("soft", "hard")
    for metric in ("learned", "euclidean")
]
crp_forms = pytest.mark.parametrize("form", CRP_FORMS, ids=str)


def hide(X, rate, seed=0):
    holes = np.random.default_rng(seed).random(X.shape) < rate
    return np.where(holes, X.dtype.type(np.nan), X)


def fit(X, n_clusters=3, sample_weight=None, **parameters):
    elbo = CLAMELBOClusterer(n_clusters, random_state=0, **parameters)
    return elbo.fit(X, sample_weight=sample_weight)


def fit_crp(X, sample_weight=None, **parameters):
    crp = CRPAssociativeClusterer(random_state=0, **parameters)
    return crp.fit(X, sample_weight=sample_weight)


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
    return fit(holed, **request.param)


@pytest.fixture(scope="module", params=CRP_FORMS, ids=str)
def crp(request, holed):
    return fit_crp(holed, discount=0.2, **request.param)


@pytest.fixture(scope="module", params=[*VARIANTS, *CRP_FORMS], ids=str)
def model(request, holed):
    is_crp = "assignment" in request.param
    return (fit_crp if is_crp else fit)(holed, **request.param)


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
    elbo = fit(holed, n_clusters, **variant)
    assert (np.diff(elbo.history_) <= 0).all()
    if variant["metric"] == "euclidean":
        np.testing.assert_allclose(-elbo.score(holed), elbo.objective_)
    np.testing.assert_array_equal(elbo.labels_, elbo.predict(holed))


@variants
@pytest.mark.parametrize("seed", range(3))
def test_every_step_of_em_lowers_it(X, variant, seed):
    """From anywhere, and without the guard that ends learning at the first rise."""
    rng = np.random.default_rng(seed)
    rows = distinct_rows(hide(X, 0.3, seed), rng.integers(1, 4, len(X)).astype(float))
    whole = rows.with_values(np.nan_to_num(rows.values))
    centers = rng.normal(size=(3, 4))
    spread = Isotropic(0.3, 1e-9)
    if variant["metric"] == "learned":
        partition = partition_rows(whole, centers)
        spread = first_shared(whole, partition, centers, 4, beta=None)
    free_energy = FreeEnergyWithHoles(
        rows, resolve(variant["likelihood"], nu=4.0), 4, learn_weights=True
    )
    mixture, values = Mixture(centers, np.array([0.2, 0.3, 0.5]), spread), []
    for _ in range(25):
        expected = free_energy.expectation(mixture)
        values.append(expected.free_energy)
        mixture = free_energy.maximisation(mixture, expected)
    assert np.diff(values).max() <= 1e-12
    assert values[-1] < values[0] - 0.1


def test_one_memory_learns_the_moments_of_a_normal_distribution():
    """Half of a column is hidden where the other is large: at random, given that."""
    rng = np.random.default_rng(0)
    sigma = np.array([[1.0, 0.8], [0.8, 2.0]])
    X = rng.multivariate_normal([0.0, 5.0], sigma, size=20_000)
    X[X[:, 0] > 0, 1] = np.nan
    elbo = fit(X, 1, metric="learned", tol=1e-9, max_iter=500)
    np.testing.assert_allclose(elbo.cluster_centers_[0], [0.0, 5.0], atol=0.05)
    np.testing.assert_allclose(covariance(elbo), sigma, atol=0.06)
    assert np.nanmean(X[:, 1]) < 4.5  # the mean of what is seen is not that


@variants
def test_a_row_that_was_not_seen_teaches_nothing(X, variant):
    whole = fit(X, **variant, tol=1e-9)
    holed = fit(np.vstack([X, np.full((1, 4), np.nan)]), **variant, tol=1e-9)
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
    whole = fit(X, **variant)
    assert adjusted_rand_score(fit(holed, **variant).labels_, whole.labels_) > 0.6


def test_holes_cost_less_than_filling_with_means(real_sets):
    X, n_clusters = real_sets["iris"]
    scores = []
    for seed in range(3):
        holed = hide(X, 0.3, seed)
        filled = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)
        whole = fit(X, n_clusters, metric="learned").labels_
        scores.append(
            [
                adjusted_rand_score(
                    whole, fit(rows, n_clusters, metric="learned").labels_
                )
                for rows in (holed, filled)
            ]
        )
    ours, of_means = np.mean(scores, axis=0)
    assert ours > of_means + 0.1


@variants
def test_order_and_copies(holed, variant):
    rng = np.random.default_rng(0)
    order, weights = rng.permutation(len(holed)), rng.integers(0, 3, len(holed))
    elbo = fit(holed, **variant)
    shuffled = fit(holed[order], **variant)
    np.testing.assert_array_equal(elbo.cluster_centers_, shuffled.cluster_centers_)
    weighted = fit(holed, sample_weight=weights, **variant)
    copies = fit(np.repeat(holed, weights, axis=0), **variant)
    np.testing.assert_array_equal(weighted.cluster_centers_, copies.cluster_centers_)


@variants
def test_float32(holed, variant):
    elbo = fit(holed.astype(np.float32), **variant)
    wide = fit(holed, **variant)
    assert adjusted_rand_score(elbo.labels_, wide.labels_) > 0.95
    for values in (
        *(elbo.predict_proba(holed.astype(np.float32)), elbo.cluster_centers_),
        *(elbo.complete(holed.astype(np.float32)), elbo.transform(elbo_rows(elbo))),
    ):
        assert values.dtype == np.float32


def elbo_rows(elbo):
    return np.full((1, elbo.n_features_in_), np.nan, np.float32)


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
    elbo = fit(np.where(holes, np.nan, X), 2, max_iter=20, init=init, **variant)
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
        fit(X)
    table = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="feature 'c'"):
        fit(table)
    X[0, 2] = 1.0
    weights = np.ones(len(X))
    weights[0] = 0
    with pytest.raises(ValueError, match="column 2"):
        fit(X, sample_weight=weights)


def test_infinity_is_still_an_error(X):
    X = X.copy()
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fit(X)


@pytest.mark.parametrize(
    "estimator", [CLAMClusterer(), CLAMELBOClusterer(), CRPAssociativeClusterer()]
)
def test_tags(estimator):
    assert get_tags(estimator).input_tags.allow_nan


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


@clam_variants
def test_clam_sees_a_weighted_set(holed, variant):
    rng = np.random.default_rng(0)
    order, weights = rng.permutation(len(holed)), rng.integers(0, 3, len(holed))
    fitted = clam(holed, **variant)
    shuffled = clam(holed[order], **variant)
    np.testing.assert_array_equal(fitted.cluster_centers_, shuffled.cluster_centers_)
    weighted = clam(holed, sample_weight=weights, **variant)
    copies = clam(np.repeat(holed, weights, axis=0), **variant)
    np.testing.assert_array_equal(weighted.cluster_centers_, copies.cluster_centers_)


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


# CRP: marginals


def test_crp_densities_are_those_of_what_is_seen(crp, holed):
    noise = covariance(crp)
    base = noise * (1 + crp.beta_ / crp.base_precision_)
    new = crp.concentration + crp.discount * crp.n_clusters_
    masses = np.append(crp.counts_ - crp.discount, new)
    np.testing.assert_allclose(masses.sum(), crp.concentration + crp.counts_.sum())
    for x in holed[1:40]:
        seen = ~np.isnan(x)
        if not seen.any():
            continue
        inside = np.ix_(seen, seen)
        places = [*crp.cluster_centers_, crp.base_mean_]
        spreads = [noise] * crp.n_clusters_ + [base]
        density = 0
        for mass, mean, sigma in zip(masses, places, spreads, strict=True):
            normal = multivariate_normal(mean[seen], sigma[inside])
            density += mass / masses.sum() * normal.pdf(x[seen])
        np.testing.assert_allclose(crp.score_samples([x]), np.log(density))


def test_crp_logits_are_tempered_marginals(crp, holed):
    """A seen feature counts for its part of the effective dimension."""
    power = crp.effective_dimension_ / crp.rank_
    gamma = crp.beta_ * crp.base_precision_ / (crp.beta_ + crp.base_precision_)
    shape = 2 * crp.beta_ * covariance(crp)  # of determinant 1
    new = np.log(crp.concentration + crp.discount * crp.n_clusters_)
    for x in holed[:40]:
        seen = ~np.isnan(x)
        away = (x - [*crp.cluster_centers_, crp.base_mean_])[:, seen]
        inverse = np.linalg.inv(shape[np.ix_(seen, seen)])
        squares = power * np.einsum("kd,de,ke->k", away, inverse, away)
        logits = np.log(crp.counts_ - crp.discount) - crp.beta_ * squares[:-1]
        part = crp.effective_dimension_ * seen.mean() / 2 * np.log(gamma / crp.beta_)
        of_base = new + part - gamma * squares[-1]
        evidence = np.logaddexp.reduce([*logits, of_base])
        np.testing.assert_allclose(
            crp.novelty([x]), np.exp(of_base - evidence), atol=1e-12
        )
        np.testing.assert_allclose(crp.energy([x]), -evidence / (power * crp.beta_))
        expected = np.exp(logits - np.logaddexp.reduce(logits))
        np.testing.assert_allclose(crp.predict_proba([x])[0], expected, atol=1e-10)


def test_crp_a_hidden_column_is_a_model_without_it(crp, X):
    hidden = X.copy()
    hidden[:, 1] = np.nan
    kept = [0, 2, 3]
    sigma = covariance(crp)[np.ix_(kept, kept)]
    smaller = fit_crp(X[:, kept], discount=0.2, metric="learned")
    scale = np.linalg.det(sigma) ** (1 / 3)
    smaller.metric_, smaller.beta_ = np.linalg.inv(sigma) * scale, 0.5 / scale
    smaller.base_precision_ = crp.base_precision_ * smaller.beta_ / crp.beta_
    smaller.base_mean_ = crp.base_mean_[kept]
    smaller.cluster_centers_ = crp.cluster_centers_[:, kept]
    smaller.counts_, smaller.weights_ = crp.counts_, crp.weights_
    smaller.effective_dimension_, smaller.rank_ = 0.75 * crp.effective_dimension_, 3
    for method in ("predict_proba", "novelty", "score_samples", "predict"):
        np.testing.assert_allclose(
            getattr(crp, method)(hidden),
            getattr(smaller, method)(X[:, kept]),
            rtol=1e-6,
            atol=1e-9,
        )


# CRP: dynamics


def test_crp_dynamics_lower_the_energy_and_leave_what_is_seen(crp, holed):
    whole = ~np.isnan(holed).any(axis=1)
    everything, holed = holed, holed[~whole]
    seen = ~np.isnan(holed)
    for step_size in (0.3, 1.0, 1.9):
        states = crp.trajectory(holed, n_steps=12, step_size=step_size)
        energies = np.array([crp.energy(v) for v in states.transpose(1, 0, 2)])
        assert (np.diff(energies, axis=0) <= 1e-9).all()
        assert (np.ptp(states, axis=1)[~seen] > 0).mean() > 0.9
        for state in states.transpose(1, 0, 2):
            np.testing.assert_array_equal(state[seen], holed[seen])
    np.testing.assert_allclose(states[:, 0], crp.complete(holed))
    rest = crp.retrieve(holed)
    np.testing.assert_array_equal(rest[seen], holed[seen])
    for state, x in zip(rest[:20], holed, strict=False):
        slope = approx_fprime(state, lambda v: crp.energy([v])[0], 1e-6)
        np.testing.assert_allclose(slope[np.isnan(x)], 0, atol=1e-4)
    # Rows without holes move as ever.
    np.testing.assert_array_equal(
        crp.retrieve(everything)[whole], crp.retrieve(everything[whole])
    )


# CRP: learning


@crp_forms
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_crp_finds_clear_blobs(form, rate):
    """And labels are those of the true centers, which nothing can surpass."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(6, 5))
    holed = hide(centers[rng.integers(0, 6, 600)] + rng.normal(size=(600, 5)), rate)
    crp = fit_crp(holed, **form)
    assert crp.n_clusters_ == 6
    best = np.nansum(np.square(holed[:, None] - centers), axis=2).argmin(axis=1)
    assert adjusted_rand_score(best, crp.labels_) > 0.95
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.12)
    order = np.argmin(np.square(centers[:, None] - crp.cluster_centers_).sum(2), axis=1)
    np.testing.assert_allclose(crp.cluster_centers_[order], centers, atol=0.6)


@crp_forms
def test_crp_a_column_that_is_missing_for_half_the_rows(X, form):
    holed = X.copy()
    holed[::2, 2] = np.nan
    whole, found = fit_crp(X, **form), fit_crp(holed, **form)
    agreement = 0.55 if form["metric"] == "learned" else 0.4
    assert adjusted_rand_score(found.labels_, whole.labels_) > agreement
    assert found.n_clusters_ <= whole.n_clusters_ + 1


@crp_forms
def test_crp_rows_that_were_not_seen_find_nothing(form):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 8])
    nothing = np.full((100, 3), np.nan)
    crp = fit_crp(np.vstack([X, nothing]), **form)
    assert crp.n_clusters_ == 2
    np.testing.assert_allclose(crp.counts_.sum(), 400)
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.1)
    whole = fit_crp(X, **form)
    np.testing.assert_allclose(
        *(np.sort(c.cluster_centers_[:, 0]) for c in (crp, whole)), atol=0.02
    )


@crp_forms
def test_crp_order_copies_and_units(holed, form):
    rng = np.random.default_rng(0)
    order, weights = rng.permutation(len(holed)), rng.integers(0, 3, len(holed))
    crp = fit_crp(holed, **form)
    shuffled = fit_crp(holed[order], **form)
    np.testing.assert_array_equal(crp.cluster_centers_, shuffled.cluster_centers_)
    weighted = fit_crp(holed, sample_weight=weights, **form)
    copies = fit_crp(np.repeat(holed, weights, axis=0), **form)
    np.testing.assert_array_equal(weighted.cluster_centers_, copies.cluster_centers_)
    larger = fit_crp(1e3 * holed + 5e3, **form)
    assert adjusted_rand_score(crp.labels_, larger.labels_) > 0.95


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_crp_constant_features_change_nothing(X, assignment):
    form = {"assignment": assignment}
    holed = hide(X, 0.15)
    alone = fit_crp(holed, **form)
    constant = hide(np.full((len(X), 1), 3.0), 0.3)
    wider = fit_crp(np.c_[holed, constant], **form)
    assert wider.rank_ == 4
    assert adjusted_rand_score(alone.labels_, wider.labels_) > 0.9
    np.testing.assert_allclose(wider.complete(np.c_[holed, constant])[:, 4], 3.0)
    np.testing.assert_allclose(np.linalg.det(wider.metric_), 1)


def test_crp_more_features_than_rows():
    rng = np.random.default_rng(0)
    y = np.arange(45) % 3
    X = 6 * rng.normal(size=(3, 60))[y] + rng.normal(size=(45, 60))
    for form in CRP_FORMS:
        crp = fit_crp(hide(X, 0.2), **form)
        assert adjusted_rand_score(y, crp.labels_) == 1


@crp_forms
def test_crp_float32(holed, form):
    narrow = holed.astype(np.float32)
    crp, wide = fit_crp(narrow, **form), fit_crp(holed, **form)
    assert adjusted_rand_score(crp.labels_, wide.labels_) > 0.9
    for values in (
        *(crp.predict_proba(narrow), crp.novelty(narrow), crp.score_samples(narrow)),
        *(crp.energy(narrow), crp.retrieve(narrow, 2), crp.trajectory(narrow, 2)),
        *(crp.cluster_centers_, crp.complete(narrow)),
    ):
        assert values.dtype == np.float32


@given(
    st.integers(0, 2**31),
    st.sampled_from(CRP_FORMS),
    hnp.arrays(bool, (14, 3), elements=st.booleans()),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_crp_any_pattern(seed, form, holes):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=holes.shape).astype(float)
    holes[0] = False
    holed = np.where(holes, np.nan, X)
    crp = fit_crp(holed, min_cluster_size=1, **form)
    assert (np.diff(crp.history_) <= 0).all()
    np.testing.assert_array_equal(crp.labels_, crp.predict(holed))
    np.testing.assert_allclose(crp.counts_.sum(), 14)
    crp.partial_fit(holed[::-1] + 1)
    np.testing.assert_allclose(crp.counts_.sum(), 28)
    np.testing.assert_allclose(crp.predict_proba(holed).sum(axis=1), 1)
    for values in (crp.novelty(holed), crp.energy(holed), crp.score_samples(holed)):
        assert np.isfinite(values).all()
    for filled in (crp.complete(holed), crp.retrieve(holed, 2)):
        assert np.isfinite(filled).all()
    np.testing.assert_array_equal(crp.complete(holed)[~holes], X[~holes])


# CRP: streams


def test_crp_a_stream_of_rows_with_holes():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [40, 40, 40]])
    y = rng.integers(0, 3, 1500)
    X = hide(centers[y] + rng.normal(size=(1500, 3)), 0.2)
    crp = CRPAssociativeClusterer(random_state=0)
    for batch in np.array_split(X, 15):
        crp.partial_fit(batch)
    assert crp.n_clusters_ == 3
    np.testing.assert_allclose(crp.counts_.sum(), 1500)
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.1)
    # Rows that tell nothing make no memory and do not narrow those there are.
    before = crp.beta_
    crp.partial_fit(np.full((50, 3), np.nan))
    assert crp.n_clusters_ == 3
    np.testing.assert_allclose(crp.beta_, before, rtol=0.01)
    # A new kind makes one, at the mean of what was seen of it.
    batch = hide(centers[3] + rng.normal(size=(60, 3)), 0.3, seed=1)
    crp.partial_fit(batch)
    assert crp.n_clusters_ == 4
    np.testing.assert_allclose(
        crp.cluster_centers_[3], np.nanmean(batch, axis=0), atol=0.3
    )


@pytest.mark.parametrize("metric", ["learned", "euclidean"])
@pytest.mark.parametrize("n_features", [3, 20])
def test_crp_two_new_kinds_with_holes_make_two_memories(metric, n_features):
    """Filled as old memories expect them their rows would all be kinds of their own."""
    rng = np.random.default_rng(0)
    centers = 6 * rng.normal(size=(5, n_features))
    y = np.append(rng.integers(0, 3, 600), np.arange(60) % 2 + 3)
    X = hide(centers[y] + rng.normal(size=(660, n_features)), 0.2)
    crp = fit_crp(X[:600], metric=metric)
    assert crp.n_clusters_ == 3
    crp.partial_fit(X[600:])
    assert crp.n_clusters_ == 5
    squares = np.nansum(np.square(X[600:, None] - centers), axis=2)
    best = (squares / 2 - np.log(np.bincount(y))).argmin(axis=1)
    assert adjusted_rand_score(best, crp.labels_) > 0.9
    # One row of another kind makes a memory too.
    assert crp.partial_fit(X[:1] + 90).n_clusters_ == 6


def test_crp_warm_up_with_holes_is_a_fit(holed):
    crp = CRPAssociativeClusterer(random_state=0)
    for batch in (holed[:90], holed[90:]):
        crp.partial_fit(batch)
    whole = fit_crp(holed)
    np.testing.assert_array_equal(crp.cluster_centers_, whole.cluster_centers_)
    np.testing.assert_array_equal(crp.labels_, whole.labels_)


def test_crp_errors(X):
    X = X.copy()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2"):
        fit_crp(X)
    crp = fit_crp(hide(X[:, :2], 0.1))
    before = crp.cluster_centers_.copy()
    with pytest.raises(ValueError, match="infinity"):
        crp.partial_fit([[np.inf, np.nan]])
    np.testing.assert_array_equal(crp.cluster_centers_, before)


@pytest.mark.parametrize(
    ("values", "finite", "holes"),
    [
        ([1.0, -2.0], True, False),
        ([1.0, np.nan], False, True),
        ([np.inf, -np.inf], False, False),
        ([np.inf, np.nan], False, True),
        ([1.5e308, 1.5e308], False, False),  # their sum is not
    ],
)
def test_holes_are_told_from_infinity(values, finite, holes):
    values = np.array([values])
    assert look_finite(values) == finite
    assert has_missing(values) == holes
