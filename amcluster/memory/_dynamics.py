"""Retrieval of the networks whose states are any numbers, by the library's kernels."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._typing import Floats
from ..checks import check_number
from ..network import Network
from ..rows.complete import Complete
from ._many import are_many, states_among

# Near where two modes merge a state comes to rest only after so many calls of the
# kernel, which gives up after some steps.
PATIENCE = 50


def check_steps(n_steps: Any, step_size: Any) -> None:
    """Raise for parameters of the dynamics that cannot be."""
    if n_steps is not None:
        check_number(n_steps, "n_steps", Integral, min_val=0)
    check_number(
        step_size, "step_size", min_val=0, max_val=2, include_boundaries="neither"
    )


def states_of(
    network: Network, X: Floats, n_steps: int | None, step_size: float
) -> Floats:
    """The states after so many steps, or at rest for None, that start at the rows."""
    if n_steps is not None:
        if are_many(network):
            return states_among(network, X, int(n_steps), step_size)[0]
        return network.states_after(Complete(X), int(n_steps), step_size)
    states, moving = states_at_rest(network, X, step_size)
    n_moving = np.count_nonzero(moving)
    if n_moving:
        warnings.warn(
            f"{n_moving} of {len(X)} states still moved in the end: they are between"
            " two patterns. Pass n_steps to take what they reach without this warning.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return states


def states_at_rest(
    network: Network, X: Floats, step_size: float
) -> tuple[Floats, Floats]:
    """The states where they rest, and whether they still moved in the end."""
    if are_many(network):
        return states_among(network, X, None, step_size)
    return network.states_at_rest(Complete(X), step_size)


def patient_states(network: Network, X: Floats, step_size: float) -> Floats:
    """The states at rest, even if they move for long."""
    states, moving = states_at_rest(network, X, step_size)
    for _ in range(PATIENCE):
        (late,) = np.nonzero(moving)
        if not len(late):
            break
        states[late], moving[late] = states_at_rest(network, states[late], step_size)
    return states
