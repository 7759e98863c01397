"""CRPAssociativeClusterer of rows with missing values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from amcluster import CRPAssociativeClusterer

from ..data import hide
from .crp import FORMS, TIED, fit, forms, mass_of_new


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


@pytest.fixture(scope="module")
def holed(X):
    holed = hide(X, 0.2)
    holed[0] = np.nan
    return holed


@pytest.fixture(scope="module", params=TIED, ids=str)
def crp(request, holed):
    return fit(holed, discount=0.2, **request.param)


def covariance(crp):
    metric = getattr(crp, "metric_", np.eye(crp.n_features_in_))
    return np.linalg.inv(metric) / (2 * crp.beta_)


# Marginals


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
            mass_of_new(crp, [x]), np.exp(of_base - evidence), atol=1e-12
        )
        np.testing.assert_allclose(crp.energy([x]), -evidence / (power * crp.beta_))
        expected = np.exp(logits - np.logaddexp.reduce(logits))
        np.testing.assert_allclose(crp.predict_proba([x])[0], expected, atol=1e-10)


def test_crp_a_hidden_column_is_a_model_without_it(crp, X):
    hidden = X.copy()
    hidden[:, 1] = np.nan
    kept = [0, 2, 3]
    sigma = covariance(crp)[np.ix_(kept, kept)]
    smaller = fit(X[:, kept], discount=0.2, metric="learned", covariance="tied")
    scale = np.linalg.det(sigma) ** (1 / 3)
    smaller.metric_, smaller.beta_ = np.linalg.inv(sigma) * scale, 0.5 / scale
    smaller.base_precision_ = crp.base_precision_ * smaller.beta_ / crp.beta_
    smaller.base_mean_ = crp.base_mean_[kept]
    smaller.cluster_centers_ = crp.cluster_centers_[:, kept]
    smaller.counts_, smaller.weights_ = crp.counts_, crp.weights_
    smaller.effective_dimension_, smaller.rank_ = 0.75 * crp.effective_dimension_, 3
    for method in ("predict_proba", "score_samples", "predict"):
        np.testing.assert_allclose(
            getattr(crp, method)(hidden),
            getattr(smaller, method)(X[:, kept]),
            rtol=1e-6,
            atol=1e-9,
        )


# Dynamics


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


# Learning


@forms
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_crp_finds_clear_blobs(form, rate):
    """And labels are those of the true centers, which nothing can surpass."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.normal(size=(6, 5))
    holed = hide(centers[rng.integers(0, 6, 600)] + rng.normal(size=(600, 5)), rate)
    crp = fit(holed, **form)
    assert crp.n_clusters_ == 6
    best = np.nansum(np.square(holed[:, None] - centers), axis=2).argmin(axis=1)
    assert adjusted_rand_score(best, crp.labels_) > 0.95
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.12)
    order = np.argmin(np.square(centers[:, None] - crp.cluster_centers_).sum(2), axis=1)
    np.testing.assert_allclose(crp.cluster_centers_[order], centers, atol=0.6)


@forms
def test_crp_a_column_that_is_missing_for_half_the_rows(X, form):
    holed = X.copy()
    holed[::2, 2] = np.nan
    whole, found = fit(X, **form), fit(holed, **form)
    agreement = 0.55 if form["metric"] == "learned" else 0.4
    assert adjusted_rand_score(found.labels_, whole.labels_) > agreement
    assert found.n_clusters_ <= whole.n_clusters_ + 1


@forms
def test_crp_rows_that_were_not_seen_find_nothing(form):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 8])
    nothing = np.full((100, 3), np.nan)
    crp = fit(np.vstack([X, nothing]), **form)
    assert crp.n_clusters_ == 2
    np.testing.assert_allclose(crp.counts_.sum(), 400)
    np.testing.assert_allclose(crp.beta_, 0.5, rtol=0.1)
    whole = fit(X, **form)
    np.testing.assert_allclose(
        *(np.sort(c.cluster_centers_[:, 0]) for c in (crp, whole)), atol=0.02
    )


@forms
def test_crp_units(holed, form):
    crp, larger = fit(holed, **form), fit(1e3 * holed + 5e3, **form)
    assert adjusted_rand_score(crp.labels_, larger.labels_) > 0.95


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_crp_constant_features_change_nothing(X, assignment):
    form = {"assignment": assignment}
    holed = hide(X, 0.15)
    alone = fit(holed, **form)
    constant = hide(np.full((len(X), 1), 3.0), 0.3)
    wider = fit(np.c_[holed, constant], **form)
    assert wider.rank_ == 4
    assert adjusted_rand_score(alone.labels_, wider.labels_) > 0.9
    np.testing.assert_allclose(wider.complete(np.c_[holed, constant])[:, 4], 3.0)
    np.testing.assert_allclose(np.linalg.det(wider.metric_), 1)


def test_crp_more_features_than_rows():
    rng = np.random.default_rng(0)
    y = np.arange(45) % 3
    X = 6 * rng.normal(size=(3, 60))[y] + rng.normal(size=(45, 60))
    for form in FORMS:
        crp = fit(hide(X, 0.2), **form)
        assert adjusted_rand_score(y, crp.labels_) == 1


@given(
    st.integers(0, 2**31),
    st.sampled_from(FORMS),
    hnp.arrays(bool, (14, 3), elements=st.booleans()),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_crp_any_pattern(seed, form, holes):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=holes.shape).astype(float)
    holes[0] = False
    holed = np.where(holes, np.nan, X)
    crp = fit(holed, min_cluster_size=1, **form)
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


# Streams


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
    crp = fit(X[:600], metric=metric)
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
    whole = fit(holed)
    np.testing.assert_array_equal(crp.cluster_centers_, whole.cluster_centers_)
    np.testing.assert_array_equal(crp.labels_, whole.labels_)


def test_crp_errors(X):
    X = X.copy()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2"):
        fit(X)
    crp = fit(hide(X[:, :2], 0.1))
    before = crp.cluster_centers_.copy()
    with pytest.raises(ValueError, match="infinity"):
        crp.partial_fit([[np.inf, np.nan]])
    np.testing.assert_array_equal(crp.cluster_centers_, before)
