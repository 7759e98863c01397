"""How "auto" compares likelihoods and numbers of memories."""

import numpy as np
import pytest
from scipy.special import huber
from sklearn.preprocessing import RobustScaler

from amcluster.imputation.selection import (
    HeldOut,
    Trial,
    as_table,
    best_of,
    compare,
    hold_out,
    robust_units,
)


def held_out(seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(80, 3))
    hidden = rng.random(Z.shape) < 0.2
    return HeldOut(Z, hidden, np.ones(80), np.array([0.5, 1.0, 2.0])), rng


def test_the_error_is_that_of_huber():
    held, rng = held_out()
    filled = held.values + rng.normal(size=held.values.shape)
    misses = ((filled - held.values) / held.units)[held.hidden]
    expected = np.sqrt(np.mean(2 * huber(1, misses)))
    assert held.error(filled) == pytest.approx(expected, rel=1e-12)


def test_weights_are_copies():
    held, rng = held_out()
    filled = held.values + rng.normal(size=held.values.shape)
    counts = rng.integers(1, 4, size=80)
    weighted = held._replace(weights=counts * 1.0).error(filled)
    rows = np.repeat(np.arange(80), counts)
    copies = HeldOut(
        held.values[rows], held.hidden[rows], np.ones(len(rows)), held.units
    )
    assert copies.error(filled[rows]) == pytest.approx(weighted, rel=1e-12)


def test_a_few_erroneous_cells_do_not_decide():
    """Who is nearer elsewhere stays so, whatever the two say of those."""
    held, rng = held_out()
    near = held.values + 0.3 * rng.normal(size=held.values.shape)
    far = held.values + 0.6 * rng.normal(size=held.values.shape)
    near[np.flatnonzero(held.hidden[:, 2])[0], 2] += 12
    assert held.error(near) < held.error(far)
    squares = [
        np.mean((filled - held.values)[held.hidden] ** 2) for filled in (near, far)
    ]
    assert squares[0] > squares[1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_units(dtype):
    rng = np.random.default_rng(0)
    Z = (rng.normal(size=(4001, 4)) * [1, 5, 0.1, 1]).astype(dtype)
    Z[:, 3] = rng.random(4001) < 0.1  # quartiles agree
    Z[rng.random(Z.shape) < 0.1] = np.nan
    scale = RobustScaler(unit_variance=True).fit(Z).scale_
    medians, units = robust_units(Z)
    np.testing.assert_allclose(medians, np.nanmedian(Z, axis=0), atol=2e-3)
    np.testing.assert_allclose(units[:3], scale[:3], rtol=1e-2)
    assert units[3] == pytest.approx(1.253 * np.nanmean(Z[:, 3]))
    np.testing.assert_allclose(robust_units(np.tile(Z, (3, 1)))[1], units, rtol=1e-5)
    erroneous = Z.copy()
    erroneous[7, :3] = 1e6
    np.testing.assert_allclose(robust_units(erroneous)[1][:3], units[:3], rtol=1e-2)
    assert robust_units(np.zeros((9, 1), dtype))[1] == 1


def test_numbers_are_tried_until_two_are_clearly_worse():
    first = dict(zip((1, 2, 4, 8, 16, 32), (2.0, 2.1, 2.05, 1, 1.1, 1.06), strict=True))
    asked = []

    def attempt(*pair):
        asked.append(pair)
        likelihood, number = pair
        return Trial(*pair, first[number] if likelihood == "a" else 0.5, None)

    numbers = (1, 2, 4, 8, 16, 32, 64)
    trials = compare(attempt, ("a", "b"), numbers)
    assert asked == [("a", number) for number in numbers[:-1]] + [("b", 8)]
    assert best_of(trials) == ("b", 8, 0.5, None)
    table = as_table(trials, ("a", "b"))
    np.testing.assert_array_equal(table[:, 0], numbers[:-1])
    np.testing.assert_array_equal(table[:, 1], list(first.values()))
    np.testing.assert_array_equal(table[:, 2], np.where(table[:, 0] == 8, 0.5, np.nan))
    assert as_table([], ("a", "b")).shape == (0, 3)


def test_erroneous_cells_are_shown():
    Z = np.random.default_rng(0).normal(size=(300, 4))
    Z[::7, 2] = 1e3
    Z -= Z.mean(axis=0)
    held = hold_out(Z, np.random.RandomState(0))
    assert not held.hidden[held.values > 100].any()
    assert held.hidden[:, 2].any()
    assert (held.shown() > 100).sum() == len(Z[::7])


def test_nothing_to_hide():
    rows = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert hold_out(rows, np.random.RandomState(0)) is None
