"""Bounds on the values that are filled in, one pair per feature."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._typing import Floats


def checked_bounds(
    min_value: ArrayLike | None, max_value: ArrayLike | None, n_features: int
) -> Floats:
    """The lower and the upper bound of each feature.

    Parameters
    ----------
    min_value : float, array-like of shape (n_features,) or None
        None: no bound.
    max_value : float, array-like of shape (n_features,) or None
    n_features : int

    Returns
    -------
    ndarray of shape (2, n_features)

    Raises
    ------
    ValueError
        If a shape is wrong, or a lower bound is not less than the upper one.
    """
    bounds = [
        _bound(min_value, "min_value", -np.inf, n_features),
        _bound(max_value, "max_value", np.inf, n_features),
    ]
    wrong = np.flatnonzero(~(bounds[0] < bounds[1]))
    if len(wrong):
        low, high = (bound[wrong[0]] for bound in bounds)
        raise ValueError(
            f"min_value == {low} and max_value == {high} of feature {wrong[0]}:"
            " min_value must be less than max_value."
        )
    return np.array(bounds)


def _bound(
    value: ArrayLike | None, name: str, default: float, n_features: int
) -> Floats:
    """One bound for each feature."""
    bound = np.asarray(default if value is None else value, dtype=np.float64)
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
