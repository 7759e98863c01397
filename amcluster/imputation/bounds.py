"""Bounds on the values that are filled in, one pair per feature."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._typing import Floats
from ..clusterers.centers import is_word

Bound = str | ArrayLike | None


def checked_bounds(
    min_value: Bound, max_value: Bound, X: Floats
) -> tuple[Floats, Floats]:
    """The lower and the upper bound of each feature.

    Parameters
    ----------
    min_value : "seen", float, array-like of shape (n_features,) or None
        "seen": the least value in X. None: no bound.
    max_value : "seen", float, array-like of shape (n_features,) or None
        The greatest, likewise.
    X : ndarray of shape (n_rows, n_features)
        NaN where a value is missing.

    Returns
    -------
    given : ndarray of shape (2, n_features)
        Bounds that are numbers; infinite for "seen".
    bounds : ndarray of shape (2, n_features)
        The same, with what was seen. That gives way where a number is beyond it.

    Raises
    ------
    ValueError
        If a bound is not valid, or a lower one is not less than the upper one.
    """
    low = _given(min_value, "min_value", -np.inf, X.shape[1])
    high = _given(max_value, "max_value", np.inf, X.shape[1])
    wrong = np.flatnonzero(~(low < high))
    if len(wrong):
        raise ValueError(
            f"min_value == {low[wrong[0]]} and max_value == {high[wrong[0]]} of feature"
            f" {wrong[0]}: min_value must be less than max_value."
        )
    given = bounds = np.array([low, high])
    if is_word(min_value, "seen"):
        least = np.minimum(np.fmin.reduce(X), high)
        bounds = np.array([np.where(np.isnan(least), low, least), bounds[1]])
    if is_word(max_value, "seen"):
        greatest = np.maximum(np.fmax.reduce(X), low)
        bounds = np.array([bounds[0], np.where(np.isnan(greatest), high, greatest)])
    return given, bounds


def _given(value: Bound, name: str, without: float, n_features: int) -> Floats:
    """One bound for each feature."""
    if value is None or is_word(value, "seen"):
        value = without
    try:
        bound = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{name} == {value!r}, must be "seen", None, a number, or one for each'
            " feature."
        ) from error
    if bound.shape not in ((), (n_features,)):
        raise ValueError(
            f"{name} has shape {bound.shape}, must be a number or of shape"
            f" ({n_features},): one for each feature."
        )
    return np.broadcast_to(bound, (n_features,))


def within(bounds: Floats, dtype: DTypeLike) -> tuple[Floats, Floats]:
    """Bounds in this dtype, rounded inward so that they respect those given."""
    with np.errstate(over="ignore"):
        low, high = bounds.astype(dtype)
    up, down = (np.nextafter(*pair) for pair in ((low, np.inf), (high, -np.inf)))
    return np.where(low < bounds[0], up, low), np.where(high > bounds[1], down, high)
