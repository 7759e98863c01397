"""One step of EM against plain NumPy, and where EM ends."""

import numpy as np
import pytest
from scipy.special import logsumexp

from amcluster.energies import Gaussian, StudentT
from amcluster.learning.em import FreeEnergy, Mixture, lower
from amcluster.rows.distinct import distinct_rows
from amcluster.spaces.covariance import Isotropic, Shared

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) + 2 * rng.integers(0, 2, size=(60, 1))
ROWS = distinct_rows(X, rng.uniform(0.5, 2, 60))
CENTERS = rng.normal(size=(4, 3))
WEIGHTS = rng.dirichlet(np.ones(4))
COVARIANCE = np.diag([0.5, 1.0, 2.0]) + 0.2
SPREADS = [Isotropic(0.8, 1e-9), Shared(COVARIANCE, 1.0, 3, 0.2, 0.9)]
LIKELIHOODS = [Gaussian(), StudentT(3.0)]
cases = pytest.mark.parametrize("spread", SPREADS, ids=lambda s: type(s).__name__)
likelihoods = pytest.mark.parametrize(
    "likelihood", LIKELIHOODS, ids=lambda x: type(x).__name__
)


def make(likelihood, spread):
    free_energy = FreeEnergy(ROWS, likelihood, 3, learn_weights=True)
    return free_energy, Mixture(CENTERS, WEIGHTS, spread)


@cases
@likelihoods
def test_one_step(likelihood, spread):
    free_energy, mixture = make(likelihood, spread)
    expected = free_energy.expectation(mixture)
    following = free_energy.maximisation(mixture, expected)

    isotropic = isinstance(spread, Isotropic)
    covariance = spread.variance * np.eye(3) if isotropic else COVARIANCE
    differences = ROWS.values[:, None] - CENTERS
    squared = np.einsum(
        "nki,ij,nkj->nk", differences, np.linalg.inv(covariance), differences
    )
    pull = np.ones_like(squared)
    log_density = -squared / 2
    if isinstance(likelihood, StudentT):
        pull = (3.0 + 3) / (3.0 + squared)
        log_density = -(3.0 + 3) / 2 * np.log1p(squared / 3.0)
    logits = np.log(WEIGHTS) + log_density
    evidence = logsumexp(logits, axis=1)
    R = ROWS.weights[:, None] * np.exp(logits - evidence[:, None])
    U, N = R * pull, ROWS.weights.sum()
    normaliser = likelihood.log_normaliser(spread.beta, 3, 0)
    np.testing.assert_allclose(
        expected.free_energy,
        spread.penalty - ROWS.weights @ (evidence + normaliser) / N,
    )

    centers = U.T @ ROWS.values / U.sum(axis=0)[:, None]
    np.testing.assert_allclose(following.centers, centers)
    np.testing.assert_allclose(following.weights, R.sum(axis=0) / N)
    about = ROWS.values[:, None] - centers
    scatter = np.einsum("nk,nki,nkj->ij", U, about, about) / N
    if isotropic:
        np.testing.assert_allclose(following.spread.variance, np.trace(scatter) / 3)
    else:
        shrunk = 0.8 * scatter + 0.2 * 0.9 * np.eye(3)
        np.testing.assert_allclose(following.spread.covariance, shrunk)


@cases
@likelihoods
def test_em_goes_down_and_the_last_value_is_that_of_the_mixture(likelihood, spread):
    free_energy, mixture = make(likelihood, spread)
    seen = []
    last, history, _ = lower(
        free_energy, mixture, max_iter=500, tol=1e-9, watch=lambda *s: seen.append(s)
    )
    assert np.all(np.diff(history) <= 0)
    assert 10 < len(history) < 500
    assert history[-1] == free_energy.expectation(last).free_energy
    assert [(i, value) for i, value, _ in seen] == list(enumerate(history, start=1))


def test_a_rising_free_energy_is_not_taken():
    free_energy, mixture = make(LIKELIHOODS[0], SPREADS[0])

    class Rising(FreeEnergy):
        """Every step is a step up."""

        def maximisation(self, mixture, expected):
            wide = Isotropic(mixture.spread.variance * 1e4, 0.0)
            return mixture._replace(spread=wide)

    rising = Rising(ROWS, LIKELIHOODS[0], 3, learn_weights=True)
    last, history, settled = lower(
        rising, mixture, max_iter=9, tol=0.0, watch=lambda *_: False
    )
    assert last is mixture
    assert history == [free_energy.expectation(mixture).free_energy] == [settled]


def test_a_start_that_is_behind_when_it_settles_is_given_up():
    free_energy, mixture = make(LIKELIHOODS[0], SPREADS[0])
    parameters = {"max_iter": 500, "tol": 1e-9, "watch": lambda *_: False}
    _, full, settled = lower(free_energy, mixture, **parameters)
    gains = -np.diff(full)
    end = np.flatnonzero(gains <= 100 * 1e-9 * 3)[0] + 1
    assert settled == full[end]
    assert 10 < end < len(full) - 2
    _, ahead, _ = lower(free_energy, mixture, **parameters, bar=settled)
    assert ahead == full
    last, behind, _ = lower(free_energy, mixture, **parameters, bar=settled - 1e-9)
    assert behind == full[: end + 1]
    assert behind[-1] == free_energy.expectation(last).free_energy
