"""How states of +1 and -1 move: unit by unit, or all units at once."""

from numbers import Integral
from typing import Any, Protocol

import numpy as np

from .._typing import Floats, Ints
from ..checks import check_choice, check_number, generator_of

UPDATES = ("asynchronous", "synchronous")


class Fields(Protocol):
    """What acts on the units of a block of states (n_features, n_states)."""

    def on(self, unit: int) -> Floats:
        """The field on one unit, whose sign has the lower energy (n_states,)."""

    def flip(self, unit: int, change: Floats) -> None:
        """Take note of what is added to the unit of each state."""


def check_updates(update: Any, max_iter: Any) -> None:
    """Raise for parameters of the dynamics that cannot be."""
    check_choice(update, "update", UPDATES)
    check_number(max_iter, "max_iter", Integral, min_val=1)


def check_binary(values: Floats, name: str = "X") -> None:
    """Raise unless all values are -1 or 1."""
    other = values[np.abs(values) != 1]
    if other.size:
        raise ValueError(
            f"{name} contains {other[0]}, must be -1 or 1: pass"
            f" np.where({name} > threshold, 1, -1)."
        )


def drawn_order(n_features: int, random_state: Any) -> Ints:
    """The order in which units are updated one after the other."""
    return generator_of(random_state).permutation(n_features)


def settled(
    X: Floats, fields_of: Any, order: Ints, update: str, max_iter: int
) -> Floats:
    """The states after sweeps over all units, until none changes.

    Parameters
    ----------
    X : ndarray of shape (n_states, n_features)
        Where states start.
    fields_of : callable
        ``fields_of(states)`` are the `Fields` of states (n_features, n_states).
    order : ndarray of shape (n_features,), int
        In which units are updated one after the other.
    update : {"asynchronous", "synchronous"}
    max_iter : int
        The most sweeps.
    """
    states = np.array(X.T, dtype=np.float64, order="C")
    moving = np.arange(len(X))
    for _ in range(max_iter):
        before = states[:, moving]
        after = before.copy()
        sweep(after, fields_of(after), order, update)
        states[:, moving] = after
        moving = moving[(after != before).any(axis=0)]
        if not len(moving):
            break
    return np.ascontiguousarray(states.T, X.dtype)


def sweep(states: Floats, fields: Fields, order: Ints, update: str) -> None:
    """Give every unit of the states the sign of its field; with no field it stays."""
    if update == "synchronous":
        at_once = np.stack([fields.on(unit) for unit in range(len(states))])
        np.copyto(states, np.sign(at_once), where=at_once != 0)
        return
    for unit in order:
        field = fields.on(unit)
        values = np.where(field == 0, states[unit], np.sign(field))
        fields.flip(unit, values - states[unit])
        states[unit] = values
