"""The network of a fitted CRPAssociativeClusterer: densities, novelty, dynamics."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score

from amcluster import CLAMClusterer
from amcluster.rows import states
from amcluster.spaces.metric import LearnedMetric

from ..data import clear_blobs
from .crp import FORMS, TIED, fit, forms, mass_of_new, one_cluster


@pytest.fixture(scope="module", params=TIED, ids=str)
def crp(request, stretched):
    return fit(stretched, **request.param)


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
    np.testing.assert_allclose(mass_of_new(crp, X), np.exp(new - evidence), atol=1e-10)
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


@one_cluster
@forms
def test_density_integrates_to_one(form, stretched):
    crp = fit(stretched[:, :1], discount=0.2, **form)
    low, high = stretched[:, 0].min() - 200, stretched[:, 0].max() + 200
    area, _ = quad(
        lambda x: np.exp(crp.score_samples([[x]])[0]),
        low,
        high,
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
    monkeypatch.setattr(states, "MAX_RETRIEVAL_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="still moved"):
        crp.retrieve(stretched)


@one_cluster
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


@one_cluster
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
    X = X + np.random.default_rng(0).normal(size=X.shape)
    assert mass_of_new(crp, X).max() < 0.1
