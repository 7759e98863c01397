"""Where EM is heading: against limits that are known."""

import numpy as np
import pytest
from numpy.linalg import LinAlgError

from amcluster import CLAMELBOClusterer
from amcluster.energies import resolve
from amcluster.learning.em import FreeEnergy, Mixture, extrapolated, lower
from amcluster.learning.squarem import ahead
from amcluster.rows.distinct import distinct_rows
from amcluster.spaces.covariance import Isotropic, Shared

CENTERS = np.array([[0.0, 1.0], [3.0, -1.0], [-2.0, 0.5]])
AWAY = np.array([[0.3, -0.1], [0.2, 0.4], [-0.1, 0.2]])
COVARIANCE = np.array([[1.5, 0.4], [0.4, 0.7]])
NEVER = {"watch": lambda *_: False}


def on_the_way(spread_at, rate=0.9):
    """Three mixtures in a row, each nearer to its limit by the same rate; the limit."""

    def at(distance):
        # Not divided by their sum: their logarithms are to be on a line.
        weights = np.exp(distance * np.array([0.5, -0.2, 0.1])) / 3
        return Mixture(CENTERS + distance * AWAY, weights, spread_at(distance))

    return [at(rate**t) for t in range(3)], at(0.0)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.999])
def test_steps_that_shorten_at_one_rate_lead_to_their_limit(rate):
    mixtures, limit = on_the_way(lambda d: Isotropic(0.7 * np.exp(d), 1e-9), rate)
    found = ahead(mixtures)
    np.testing.assert_allclose(found.centers, limit.centers, atol=1e-9)
    np.testing.assert_allclose(found.weights, limit.weights)
    np.testing.assert_allclose(found.spread.variance, 0.7)


def test_a_covariance_is_led_to_its_limit():
    # Multiples of one matrix: their logarithms are on a line in any coordinates.
    def spread_at(distance):
        scale = np.exp(0.3 * distance)
        return Shared(scale * COVARIANCE, scale * 0.2, 4, 0.1, 1.0)

    mixtures, _ = on_the_way(spread_at)
    found = ahead(mixtures).spread
    np.testing.assert_allclose(found.covariance, COVARIANCE)
    np.testing.assert_allclose(found.unseen, 0.2)


def test_a_spread_relative_to_another_gives_it_back():
    spread = Shared(COVARIANCE, 0.5, 4, 0.1, 1.0, fixed_beta=0.3)
    other = Shared(np.array([[0.9, -0.3], [-0.3, 2.0]]), 0.8, 4, 0.1, 1.0, 0.3)
    again = other.scaled(spread.relative_to(other))
    np.testing.assert_allclose(again.covariance, COVARIANCE)
    np.testing.assert_allclose(again.unseen, 0.5)
    for spread in (Isotropic(0.4, 0.1), Isotropic(0.04, 0.1)):
        other = Isotropic(2.0, 0.1)
        again = other.scaled(spread.relative_to(other))
        np.testing.assert_allclose(again.variance, max(spread.variance, 0.1))
    fixed = Isotropic(2.0, 0.1, fixed=True)
    assert fixed.scaled(np.array([1.0])) is fixed


def test_the_unit_of_the_data_does_not_matter():
    def found(unit):
        mixtures, _ = on_the_way(lambda d: Isotropic(unit**2 * np.exp(d**2), 1e-9))
        mixtures = [
            m._replace(centers=unit * (m.centers + m.centers**2)) for m in mixtures
        ]
        return ahead(mixtures)

    meters, millimeters = found(1.0), found(1000.0)
    np.testing.assert_allclose(1000 * meters.centers, millimeters.centers)
    np.testing.assert_allclose(meters.weights, millimeters.weights)


def test_steps_that_do_not_shorten_lead_nowhere():
    mixtures, limit = on_the_way(lambda d: Isotropic(0.7, 1e-9))
    assert ahead(mixtures[:1] * 3) is None
    # The second step is back to where the first one began.
    assert ahead([mixtures[0], limit, mixtures[0]]) is None


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_way_that_does_not_end_is_followed_for_a_while(direction):
    def spread_at(distance):
        scale = np.exp(direction * distance)
        return Shared(scale * COVARIANCE, scale * 0.2, 4, 0.1, 1.0)

    mixtures = [
        Mixture(CENTERS, np.full(3, 1 / 3), spread_at(distance))
        for distance in (0.0, 1.0, 2.0 - 1e-12)
    ]
    unseen = ahead(mixtures).spread.unseen
    assert 2 < direction * np.log(unseen / 0.2) < 30
    assert (
        ahead([m._replace(centers=1e3 * d * AWAY) for d, m in enumerate(mixtures)])
        is None
    )


def test_an_extrapolation_is_taken_only_to_where_it_is_lower():
    mixtures, _ = on_the_way(lambda d: Isotropic(0.7 * np.exp(d), 1e-9))

    class Flat(FreeEnergy):
        """As high everywhere, or singular."""

        value = 1.0

        def expectation(self, mixture):
            if self.value is None:
                raise LinAlgError
            return type("Expected", (), {"free_energy": self.value})

    flat = Flat(None, None, 2, learn_weights=True)
    assert extrapolated(flat, mixtures, bar=1.1)[1].free_energy == 1.0
    assert extrapolated(flat, mixtures, bar=1.0) is None
    flat.value = np.nan
    assert extrapolated(flat, mixtures, bar=1.1) is None
    flat.value = None
    assert extrapolated(flat, mixtures, bar=1.1) is None


def test_none_is_taken_onto_a_plane():
    """Rows on one, and next to no prior: it may lead to a determinant of 0."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[:, 2] = 2 * X[:, 0] - X[:, 1]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    for every in range(3, 12):
        holed = X.copy()
        holed[::every, 2] = np.nan
        elbo = CLAMELBOClusterer(1, metric="learned", max_iter=50, tol=1e-4)
        elbo.fit(holed, sample_weight=np.full(200, 1e8))
        assert np.isfinite(elbo.metric_).all()
        np.testing.assert_allclose(elbo.complete(holed), X, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["gaussian", "student_t"])
def test_extrapolation_leads_where_em_goes_in_fewer_iterations(shared, name):
    """Plain EM, many times as long, ends in the same place."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 2)) * [1.0, 0.5] + 1.5 * rng.integers(0, 3, size=(400, 1))
    rows = distinct_rows(X, np.ones(len(X)))
    spread = Shared(np.eye(2), 1.0, 2, 0.01, 1.0) if shared else Isotropic(1.0, 1e-9)
    free_energy = FreeEnergy(rows, resolve(name, nu=4.0), 2, learn_weights=True)
    start = Mixture(rows.values[:3].astype(float), np.full(3, 1 / 3), spread)

    plain, values = start, []
    for _ in range(3000):
        expected = free_energy.expectation(plain)
        values.append(expected.free_energy)
        plain = free_energy.maximisation(plain, expected)
    last, history, _ = lower(free_energy, start, max_iter=5000, tol=1e-10, **NEVER)
    np.testing.assert_allclose(history[-1], values[-1], atol=1e-7)
    np.testing.assert_allclose(last.centers, plain.centers, atol=1e-2)
    reached = next(i for i, value in enumerate(values) if value <= history[-1] + 1e-9)
    assert len(history) < 2 / 3 * reached
