"""The normaliser of von Mises-Fisher, its inverse and its draws.

Against mpmath in 40 digits, closed forms, and SciPy.
"""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from amcluster.energies.von_mises_fisher import (
    SMALLEST_GAP,
    concentration_of,
    debye_polynomials,
    draw,
    log_normaliser,
    mean_resultant_length,
)

dimensions = pytest.mark.parametrize("n_features", [2, 3, 20, 81, 84, 768, 20_000])
KAPPA = np.array([1e-6, 0.1, 10, 500, 2e4])


def log_bessel(order, kappa):
    """log(I(kappa) / kappa^order) by the power series, whose terms are positive."""
    term = total = mpmath.mpf(1)
    j = 0
    while term > total * mpmath.eps:
        j += 1
        term *= kappa**2 / (4 * j * (order + j))
        total += term
    return mpmath.log(total) - order * mpmath.log(2) - mpmath.loggamma(order + 1)


@dimensions
def test_normaliser_and_mean_are_those_of_mpmath(n_features):
    log_c, lengths = [], []
    with mpmath.workdps(40):
        for kappa in map(mpmath.mpf, KAPPA):
            order = mpmath.mpf(n_features) / 2 - 1
            log = log_bessel(order, kappa)
            above = log_bessel(order + 1, kappa) + mpmath.log(kappa)
            log_c.append(-(order + 1) * mpmath.log(2 * mpmath.pi) - log)
            lengths.append(mpmath.exp(above - log))
        found = log_normaliser(KAPPA, n_features)
        errors = [
            abs(f - e) / max(1, abs(e)) for f, e in zip(found, log_c, strict=True)
        ]
        assert max(errors) < 1e-13
        found = mean_resultant_length(KAPPA, n_features)
        errors = [abs(f / e - 1) for f, e in zip(found, lengths, strict=True)]
        assert max(errors) < 2e-15


def test_large_concentrations_by_the_asymptotic_series():
    with mpmath.workdps(40):
        for n_features in (2, 3, 100):
            order = mpmath.mpf(n_features) / 2 - 1
            bessel, above = (mpmath.besseli(order + i, 10**6) for i in (0, 1))
            expected = order * mpmath.log(10**6) - mpmath.log(bessel)
            expected -= (order + 1) * mpmath.log(2 * mpmath.pi)
            assert abs(log_normaliser(1e6, n_features) / expected - 1) < 1e-15
            found = mean_resultant_length(1e6, n_features)
            assert abs(found / (above / bessel) - 1) < 1e-15


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 30.0, 500.0])
def test_closed_forms_in_three_dimensions(kappa):
    np.testing.assert_allclose(
        log_normaliser(kappa, 3),
        np.log(kappa / (4 * np.pi * np.sinh(kappa))),
        rtol=1e-13,
    )
    np.testing.assert_allclose(
        mean_resultant_length(kappa, 3), 1 / np.tanh(kappa) - 1 / kappa, rtol=1e-9
    )


@dimensions
def test_without_concentration_it_is_uniform(n_features):
    half = n_features / 2
    log_area = np.log(2) + half * np.log(np.pi) - gammaln(half)
    np.testing.assert_allclose(log_normaliser(0, n_features), -log_area, rtol=1e-13)
    assert mean_resultant_length(0, n_features) == 0
    assert concentration_of(0, n_features) == 0


def test_polynomials_are_those_of_the_literature():
    # DLMF 10.41.10 and 10.41.11, and Abramowitz and Stegun 9.3.9.
    assert debye_polynomials(4)[1:] == [
        [Fraction(c, 24) for c in (3, -5)],
        [Fraction(c, 1152) for c in (81, -462, 385)],
        [Fraction(c, 414720) for c in (30375, -369603, 765765, -425425)],
    ]


def test_arrays_are_taken_element_by_element():
    for function in (log_normaliser, mean_resultant_length):
        single = [function(kappa, 50) for kappa in KAPPA]
        assert all(isinstance(value, float) for value in single)
        np.testing.assert_array_equal(function(KAPPA, 50), single)


@dimensions
def test_concentration_is_the_inverse(n_features):
    kappa = np.geomspace(1e-6, 1e12, 100)
    lengths = mean_resultant_length(kappa, n_features)
    # The last digits of the length are so much of kappa.
    digits = 1e-11 + 2e-15 / np.maximum(1 - lengths, SMALLEST_GAP)
    relative = concentration_of(lengths, n_features) / kappa - 1
    seen = 1 - lengths > 2 * SMALLEST_GAP
    assert (np.abs(relative) < digits)[seen].all()


@dimensions
def test_concentration_rises_up_to_its_cap(n_features):
    gaps = np.append(np.geomspace(1, SMALLEST_GAP, 50), [1e-16, 0, -1e-9])
    kappa = concentration_of(1 - gaps, n_features)
    assert (np.diff(kappa[:-3]) > 0).all()
    assert (kappa[-3:] == concentration_of(1.0, n_features)).all()
    expected = (n_features - 1) / 2 / SMALLEST_GAP
    np.testing.assert_allclose(kappa[-1], expected, rtol=0.1)


def test_density_is_the_one_of_scipy():
    rng = np.random.default_rng(0)
    for n_features, kappa in [(2, 0.5), (5, 3.0), (30, 400.0)]:
        rows = rng.normal(size=(4, n_features))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        expected = stats.vonmises_fisher(rows[0], kappa).logpdf(rows)
        found = log_normaliser(kappa, n_features) + kappa * rows @ rows[0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def moments_of_gaps(kappa, n_features):
    """The mean and the variance of 1 - cos."""
    free = n_features - 1
    if kappa == 0:
        return 1, 1 / n_features
    if kappa > 1e6:  # then 2 kappa (1 - cos) is chi-squared
        return free / 2 / kappa, free / 2 / kappa**2
    length = mean_resultant_length(kappa, n_features)
    return 1 - length, 1 - length**2 - free * length / kappa


@pytest.mark.parametrize("kappa", [0.0, 1.0, 50.0, 1e12])
@pytest.mark.parametrize("n_features", [2, 3, 40])
def test_draws_have_the_moments(n_features, kappa):
    direction = np.linspace(-1, 2, n_features)
    direction /= np.linalg.norm(direction)
    n_samples = 20_000
    directions = np.tile(direction, (n_samples, 1))
    rows = draw(directions, kappa, np.random.RandomState(0))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-14)
    # Of 1 - cos, which cosines near 1 do not have.
    gaps = np.square(rows - directions).sum(axis=1) / 2
    mean, variance = moments_of_gaps(kappa, n_features)
    assert abs(gaps.mean() - mean) < 4 * np.sqrt(variance / n_samples)
    np.testing.assert_allclose(gaps.var(), variance, rtol=0.06)
    # Around the direction no way is preferred.
    across = rows - (rows @ direction)[:, None] * direction
    variance = np.square(across).sum(axis=1).mean() / (n_features - 1)
    assert np.abs(across.mean(axis=0)).max() < 4.5 * np.sqrt(variance / n_samples)


@pytest.mark.parametrize(("n_features", "kappa"), [(2, 2.0), (3, 8.0), (30, 20.0)])
def test_draws_are_distributed_as_those_of_scipy(n_features, kappa):
    direction = np.eye(n_features)[-1]
    theirs = stats.vonmises_fisher(direction, kappa).rvs(4000, random_state=1)
    ours = draw(np.tile(direction, (4000, 1)), kappa, np.random.RandomState(1))
    for column in (0, -1):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.01


def test_each_draw_has_its_own_direction_and_concentration():
    directions = np.repeat(np.eye(3), 500, axis=0)
    kappa = np.repeat([0.0, 10.0, 1e6], 500)
    rows = draw(directions, kappa, np.random.RandomState(3))
    cosines = np.einsum("ij,ij->i", rows, directions).reshape(3, 500).mean(axis=1)
    np.testing.assert_allclose(
        cosines, mean_resultant_length(kappa[::500], 3), atol=0.1
    )
    again = draw(directions, kappa, np.random.RandomState(3))
    np.testing.assert_array_equal(rows, again)
