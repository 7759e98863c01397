"""What "auto" compares: how well values are told that it hides from itself."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from ..learning.seeding import draw_evenly
from ..rows.distinct import distinct_rows

# Numbers of memories that are compared, as long as there are at least this many rows
# per memory, until PATIENCE in a row are CLEARLY_WORSE times as bad as the best so far:
# clusters may help no number that is less than theirs, but more memories than that may
# be told apart by erroneous cells alone.
NUMBERS = (1, 2, 4, 8, 16, 32)
ROWS_PER_MEMORY = 10
PATIENCE = 2
CLEARLY_WORSE = 1.05
# Numbers are compared with the first, and the second is tried at the best number: an
# erroneous cell may rule memories of Gaussians whatever their number, and then none of
# their errors says which number is good.
LIKELIHOODS = ("student_t", "gaussian")
# At most SELECTION_ROWS rows are used, and one in HELD_OUT values hidden.
SELECTION_ROWS = 2000
HELD_OUT = 10
# Values farther than this many robust units from the median are never hidden. Nobody
# can tell an erroneous cell, and those whom it leads astray have to see it.
FAR = 10
# Quartiles of a Gaussian are this many standard deviations apart, and its values in
# the mean 1 / FROM_MEAN from the median.
BETWEEN_QUARTILES = 1.349
FROM_MEAN = 1.253


class HeldOut(NamedTuple):
    """Standardised rows, some of whose values are hidden from those who fill them."""

    values: Floats
    hidden: NDArray[np.bool_]
    weights: Floats  # of the rows
    units: Floats  # of the columns

    def shown(self) -> Floats:
        """The rows with NaN for what is hidden too."""
        return np.where(self.hidden, np.nan, self.values)

    def error(self, filled: Floats) -> float:
        """Root of the mean of Huber's loss over what was hidden, in robust units.

        That is m^2 for a miss m, but 2 m - 1 beyond 1. A few erroneous cells would rule
        a mean of squares: those that are hidden, and those from which the rest of their
        row is told. A mean of absolute values favours medians, while what is filled in
        is an expectation, and serves worse where nothing is wrong.
        """
        misses = np.abs(filled - self.values) / self.units
        losses = np.where(misses <= 1, np.square(misses), 2 * misses - 1)
        total = self.weights @ np.where(self.hidden, losses, 0).sum(axis=1)
        return float(np.sqrt(total / (self.weights @ self.hidden.sum(axis=1))))


class Trial(NamedTuple):
    """Memories of a likelihood, and their error on hidden values."""

    likelihood: Any
    number: Any
    error: float
    memories: Floats | None


def sample(Z: Floats, random_state: np.random.RandomState) -> tuple[Floats, Floats]:
    """At most SELECTION_ROWS distinct rows, and their weights."""
    rows = distinct_rows(Z, np.ones(len(Z)))
    chosen = np.arange(len(rows.values))
    if len(chosen) > SELECTION_ROWS:
        chosen = np.unique(draw_evenly(rows.weights, SELECTION_ROWS, random_state))
    return rows.values[chosen], rows.weights[chosen]


def numbers_for(n_rows: int) -> list[int]:
    """Numbers of memories to compare with that many rows."""
    return [n for n in NUMBERS if n == 1 or n * ROWS_PER_MEMORY <= n_rows]


def compare(
    attempt: Callable[[Any, Any], Trial],
    likelihoods: Sequence[Any],
    numbers: Sequence[Any],
) -> list[Trial]:
    """Try numbers with the first likelihood, and the others at the best number.

    Parameters
    ----------
    attempt : callable
        The trial of a likelihood and a number.
    likelihoods : sequence
    numbers : sequence
        In the order in which they are tried.

    Returns
    -------
    list of Trial
    """
    first, *others = likelihoods
    trials: list[Trial] = []
    for number in numbers:
        trials.append(attempt(first, number))
        bar = CLEARLY_WORSE * best_of(trials).error
        recent = trials[-PATIENCE:]
        if len(recent) == PATIENCE and all(trial.error > bar for trial in recent):
            break
    number = best_of(trials).number
    return trials + [attempt(other, number) for other in others]


def best_of(trials: Sequence[Trial]) -> Trial:
    """The one with the least error; of several, the first."""
    return min(trials, key=lambda trial: trial.error)


def as_table(trials: Sequence[Trial], likelihoods: Sequence[Any]) -> Floats:
    """A row for each number: it, and its error with each likelihood or NaN."""
    numbers = list(dict.fromkeys(trial.number for trial in trials))
    table = np.full((len(numbers), 1 + len(likelihoods)), np.nan)
    table[:, 0] = numbers
    for trial in trials:
        column = 1 + likelihoods.index(trial.likelihood)
        table[numbers.index(trial.number), column] = trial.error
    return table


def hold_out(Z: Floats, random_state: np.random.RandomState) -> HeldOut | None:
    """Rows of which values are hidden; None if there are too few to hide any."""
    medians, units = robust_units(Z)
    Z, weights = sample(Z, random_state)
    hidden = _spread_out(Z.shape, random_state) & (np.abs(Z - medians) <= FAR * units)
    # Hiding may leave no value of a feature with few values.
    left = (~np.isnan(Z) & ~hidden).any(axis=0)
    if not hidden[:, left].any():
        return None
    return HeldOut(Z[:, left], hidden[:, left], weights, units[left])


def robust_units(Z: Floats) -> tuple[Floats, Floats]:
    """Medians, and standard deviations as quartiles tell them, of standardised columns.

    One erroneous cell makes a standard deviation so large that all else seems to be
    told well. Where the quartiles agree the mean distance from the median stands in.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_columns)
        Each column has a value.

    Returns
    -------
    medians : ndarray of shape (n_columns,), float64
    units : ndarray of shape (n_columns,), float64
    """
    Z = Z.astype(np.float64)
    # By values that are there, so that copies of all rows do not matter.
    quartiles = np.nanpercentile(Z, [25, 50, 75], axis=0, method="inverted_cdf")
    units = (quartiles[2] - quartiles[0]) / BETWEEN_QUARTILES
    distances = FROM_MEAN * np.nanmean(np.abs(Z - quartiles[1]), axis=0)
    rounding = np.finfo(Z.dtype).eps
    units = np.where(units > rounding, units, distances)
    return quartiles[1], np.where(units > rounding, units, 1.0)


def _spread_out(
    shape: tuple[int, ...], random_state: np.random.RandomState
) -> NDArray[np.bool_]:
    """Choose one in HELD_OUT entries, spread evenly over rows and features.

    Rows are in canonical order, so the result does not depend on their original order.
    """
    start = random_state.permutation(max(shape[1], HELD_OUT))[: shape[1]]
    return (np.arange(shape[0])[:, None] + start) % HELD_OUT == 0
