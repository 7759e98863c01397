"""EM with covariances of a memory's own: against NumPy, SciPy and GaussianMixture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import invwishart, multivariate_normal, multivariate_t
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from amcluster.energies import Cauchy, Gaussian, Laplace, StudentT
from amcluster.learning.em import Mixture, lower
from amcluster.learning.own import OwnFreeEnergy, with_own
from amcluster.rows.distinct import distinct_rows
from amcluster.spaces.covariance import Isotropic, Own, Shared, formed

from ..data import hide

FORMS = {"spherical": "spherical", "diagonal": "diag", "full": "full"}
forms = pytest.mark.parametrize("form", FORMS)
COMMON = np.diag([0.5, 1.0, 2.0]) + 0.2
FIRST = np.diag([1.0, 0.7, 0.4]) + 0.1
rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3)) + 2 * rng.integers(0, 2, size=(80, 1)) + [3.0, -1.0, 0.0]
WEIGHTS = rng.uniform(0.5, 2, 80)
CENTERS = rng.normal(size=(3, 3))
SHARES = rng.dirichlet(np.ones(3))


def covariances_of(form):
    rng = np.random.default_rng(1)
    roots = np.eye(3) + 0.3 * rng.normal(size=(3, 3, 3))
    return formed(roots @ roots.transpose(0, 2, 1), form)


def own(form, part):
    common = formed(COMMON, form)
    return Own(covariances_of(form), common, formed(FIRST, form), part, form)


def make(form, part=0.1, likelihood=None, X=X, weights=WEIGHTS):
    rows = distinct_rows(X, weights)
    free_energy = OwnFreeEnergy(rows, likelihood or Gaussian(), 3, learn_weights=True)
    return free_energy, Mixture(CENTERS, SHARES, own(form, part))


def as_a_form_has_it(full, form):
    """The covariance of largest likelihood of that form, given the full one."""
    if form == "full":
        return full
    variances = np.diagonal(full, axis1=-2, axis2=-1)
    if form == "spherical":
        variances = np.repeat(variances.mean(axis=-1, keepdims=True), 3, axis=-1)
    return variances[..., None] * np.eye(3)


@forms
@pytest.mark.parametrize("nu", [np.inf, 3.0])
def test_one_step(form, nu):
    likelihood = Gaussian() if np.isinf(nu) else StudentT(nu)
    free_energy, mixture = make(form, 0.1, likelihood)
    expected = free_energy.expectation(mixture)
    following = free_energy.maximisation(mixture, expected)

    rows = free_energy.rows
    values, w = rows.values, rows.weights
    sigmas = covariances_of(form)
    densities = [
        multivariate_normal(c, s) if np.isinf(nu) else multivariate_t(c, s, nu)
        for c, s in zip(CENTERS, sigmas, strict=True)
    ]
    joint = np.log(SHARES) + np.array([d.logpdf(values) for d in densities]).T
    evidence = logsumexp(joint, axis=1)
    np.testing.assert_allclose(
        expected.free_energy, mixture.spread.penalty - w @ evidence / w.sum()
    )
    R = w[:, None] * np.exp(joint - evidence[:, None])
    away = values[:, None] - CENTERS
    squares = np.einsum("nki,kij,nkj->nk", away, np.linalg.inv(sigmas), away)
    U = R if np.isinf(nu) else R * (nu + 3) / (nu + squares)
    centers = U.T @ values / U.sum(axis=0)[:, None]
    np.testing.assert_allclose(following.centers, centers)
    np.testing.assert_allclose(following.weights, R.sum(axis=0) / w.sum())
    about = values[:, None] - centers
    scatters = np.einsum("nk,nki,nkj->kij", U, about, about)
    strength = 0.1 * w.sum()
    both = scatters + strength * as_a_form_has_it(COMMON, form)
    both /= (R.sum(axis=0) + strength)[:, None, None]
    covariances = as_a_form_has_it(both, form)
    np.testing.assert_allclose(following.spread.covariances, covariances, atol=1e-12)


@forms
@pytest.mark.parametrize("nu", [np.inf, 3.0])
def test_the_free_energy_of_what_is_seen(form, nu):
    likelihood = Gaussian() if np.isinf(nu) else StudentT(nu)
    free_energy, mixture = make(form, 0.1, likelihood, hide(X, 0.4))
    units = np.array([1.0, 0.1, 7.0])
    rows = free_energy.rows
    free_energy.rows = rows.in_units(units)._replace(values=rows.values)
    expected, found = 0.0, free_energy.expectation(mixture).free_energy
    for x, w in zip(rows.values, rows.weights, strict=True):
        seen = ~np.isnan(x)
        if not seen.any():
            continue
        joint = np.log(SHARES) - np.log(units[seen]).sum()
        for k, sigma in enumerate(mixture.spread.covariances):
            arguments = CENTERS[k, seen], sigma[np.ix_(seen, seen)]
            gaussian = np.isinf(nu)
            density = multivariate_normal if gaussian else multivariate_t
            density = density(*arguments, *(() if gaussian else (nu,)))
            joint[k] += density.logpdf(x[seen])
        expected -= w * logsumexp(joint) / rows.total_weight
    np.testing.assert_allclose(found, expected + mixture.spread.penalty)


@forms
@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
def test_without_a_prior_it_is_the_em_of_gaussian_mixture(form):
    n_steps = 15
    free_energy, mixture = make(form, 1e-14, weights=np.ones(80))
    offset = free_energy.rows.offset
    precisions = np.linalg.inv(mixture.spread.covariances)
    if form != "full":
        precisions = np.diagonal(precisions, axis1=1, axis2=2)
        precisions = precisions[:, 0] if form == "spherical" else precisions
    theirs = GaussianMixture(
        3,
        covariance_type=FORMS[form],
        weights_init=SHARES,
        means_init=CENTERS + offset,
        precisions_init=precisions,
        reg_covar=0,
        tol=0,
        max_iter=n_steps,
    ).fit(X)
    for _ in range(n_steps):
        mixture = free_energy.maximisation(mixture, free_energy.expectation(mixture))
    covariances = mixture.spread.covariances
    if form != "full":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
        covariances = covariances[:, 0] if form == "spherical" else covariances
    np.testing.assert_allclose(mixture.centers + offset, theirs.means_, rtol=1e-6)
    np.testing.assert_allclose(mixture.weights, theirs.weights_, rtol=1e-6)
    np.testing.assert_allclose(covariances, theirs.covariances_, rtol=1e-6, atol=1e-9)
    score = -free_energy.expectation(mixture).free_energy
    np.testing.assert_allclose(score, theirs.score(X), rtol=1e-6)


def test_the_penalty_is_that_of_inverse_wishart_priors():
    """Up to a constant, as densities with respect to the invariant measure."""
    strength, total = 17.0, 80.0
    rng = np.random.default_rng(3)

    def log_density(sigma, about):
        of_sigma = invwishart(strength, strength * about).logpdf(sigma)
        return of_sigma + (3 + 1) / 2 * np.linalg.slogdet(sigma)[1]

    densities, penalties = [], []
    for _ in range(3):
        roots = rng.normal(size=(4, 3, 3))
        common, *covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
        spread = own("full", strength / total)._replace(
            covariances=np.array(covariances), common=common
        )
        density = sum(log_density(sigma, common) for sigma in covariances)
        densities.append(density + log_density(common, FIRST))
        penalties.append(spread.penalty * total)
    np.testing.assert_allclose(np.diff(penalties), -np.diff(densities))
    alike = Own.alike(3, COMMON, strength / total, "full")
    np.testing.assert_allclose(alike.penalty, 0, atol=1e-12)


@forms
def test_both_parts_of_the_m_step_are_minima(form):
    rng = np.random.default_rng(2)
    shares = np.array([0.2, 0.5, 0.3])
    scatters = shares[:, None, None] * covariances_of("full")

    def value(spread):
        ratios = np.linalg.solve(spread.covariances, scatters)
        fits = shares @ np.linalg.slogdet(spread.covariances)[1]
        fits += np.trace(ratios, axis1=1, axis2=2).sum()
        return fits / 2 + spread.penalty

    before = own(form, 0.1)
    after = before.updated(shares, scatters)
    halfway = after._replace(common=before.common)
    for _ in range(20):
        noise = 0.01 * rng.normal(size=(3, 3, 3))
        other = formed(after.covariances + noise + noise.transpose(0, 2, 1), form)
        assert value(halfway) < value(halfway._replace(covariances=other))
        other = formed(after.common + noise[0] + noise[0].T, form)
        assert value(after) < value(after._replace(common=other))


def test_a_memory_without_rows_gets_what_is_common():
    spread = own("full", 0.1).updated(np.array([0, 0.4, 0.6]), np.zeros((3, 3, 3)))
    np.testing.assert_allclose(spread.covariances[0], COMMON)
    assert np.linalg.eigvalsh(spread.covariances).min() > 0


@given(
    st.integers(0, 2**31),
    st.sampled_from(list(FORMS)),
    st.sampled_from([Gaussian(), StudentT(3.0), Cauchy(), Laplace()]),
    st.sampled_from([np.float64, np.float32]),
    st.floats(1e-3, 10),
    st.booleans(),
)
def test_em_never_rises(seed, form, likelihood, dtype, part, missing):
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, size=(rng.integers(2, 40), 3)).astype(dtype)
    if missing and type(likelihood).marginals:
        X = hide(X, 0.3, seed)
    weights = rng.uniform(0.1, 3, len(X))
    free_energy, mixture = make(form, part, likelihood, X, weights)
    values = []
    for _ in range(12):
        expected = free_energy.expectation(mixture)
        values.append(expected.free_energy)
        mixture = free_energy.maximisation(mixture, expected)
    slack = 10 * np.finfo(dtype).eps * (1 + np.abs(values).max())
    assert np.diff(values).max() <= slack
    assert np.linalg.eigvalsh(mixture.spread.covariances).min() > 0


def test_lower_takes_plain_steps():
    free_energy, mixture = make("full")
    last, history, _ = lower(
        free_energy, mixture, max_iter=500, tol=1e-7, watch=lambda *_: False
    )
    for value in history:
        np.testing.assert_allclose(free_energy.expectation(mixture).free_energy, value)
        mixture = free_energy.maximisation(mixture, free_energy.expectation(mixture))
    assert 10 < len(history) < 500
    assert history[-1] == free_energy.expectation(last).free_energy


def test_it_goes_on_from_one_spread_for_all():
    rows = distinct_rows(X, WEIGHTS)
    basis = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    shared = Shared(np.array([[2.0, 0.3], [0.3, 1.0]]), 0.4, 3, 0.1, 1.0)
    inside = Mixture(CENTERS[:, :2], SHARES, shared)
    mixture = with_own(inside, basis, rows, "full")
    outside = np.linalg.svd(basis)[0][:, 2:]
    expected = basis @ shared.covariance @ basis.T + 0.4 * outside @ outside.T
    np.testing.assert_allclose(mixture.spread.covariances, [expected] * 3)
    np.testing.assert_allclose(mixture.centers, CENTERS[:, :2] @ basis.T)
    strength = mixture.spread.part * WEIGHTS.sum()
    np.testing.assert_allclose(strength, 4 * 3)
    round_ones = Mixture(CENTERS, SHARES, Isotropic(0.7, 1e-9))
    mixture = with_own(round_ones, None, rows, "spherical")
    np.testing.assert_allclose(mixture.spread.covariances, [0.7 * np.eye(3)] * 3)
