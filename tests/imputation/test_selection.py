"""How "auto" compares likelihoods and numbers of memories."""

import numpy as np
import pytest
from scipy.special import huber
from sklearn.preprocessing import RobustScaler

from amcluster.imputation.selection import (
    HeldOut,
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
    units = robust_units(Z)
    np.testing.assert_allclose(units[:3], scale[:3], rtol=1e-2)
    assert units[3] == pytest.approx(1.253 * np.nanmean(Z[:, 3]))
    np.testing.assert_allclose(robust_units(np.tile(Z, (3, 1))), units, rtol=1e-5)
    erroneous = Z.copy()
    erroneous[7, :3] = 1e6
    np.testing.assert_allclose(robust_units(erroneous)[:3], units[:3], rtol=1e-2)
    assert robust_units(np.zeros((9, 1), dtype)) == 1


def test_numbers_are_tried_until_two_are_no_better():
    errors = {("b", 4): 0.1, **{("a", n): abs(n - 4) + 1 for n in (1, 2, 4, 8, 16, 32)}}
    asked = []

    def error(*pair):
        asked.append(pair)
        return errors[pair]

    trials = compare(error, ("a", "b"), (1, 2, 4, 8, 16, 32))
    assert asked == [("a", 1), ("a", 2), ("a", 4), ("a", 8), ("a", 16), ("b", 4)]
    assert best_of(trials) == ("b", 4, 0.1)
    nan = np.nan
    np.testing.assert_array_equal(
        as_table(trials, ("a", "b")),
        [[1, 4, nan], [2, 3, nan], [4, 1, 0.1], [8, 5, nan], [16, 13, nan]],
    )
    assert as_table([], ("a", "b")).shape == (0, 3)


def test_nothing_to_hide():
    rows = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert hold_out(rows, np.random.RandomState(0)) is None
