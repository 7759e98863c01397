"""Dynamics among many patterns, slice after slice: room does not grow with them.

Kernels of dynamics have room for all memories, times the states that they move at once:
gigabytes for a million. Here a step has that of one slice, as logits have.
"""

import numpy as np

from .._typing import Floats
from ..energies import Gaussian
from ..execution.select import CPU
from ..network import Network
from ..rows.complete import Complete
from ..rows.states import MAX_RETRIEVAL_STEPS, rest_tolerance

# From so many patterns on, so many of them and so many states at once.
MANY, SLICE, STATES = 1 << 14, 1 << 12, 1 << 10


def are_many(network: Network) -> bool:
    """Whether steps go by slices: Gaussian memories only, whose means add up."""
    memories, device = network.memories, network.device
    on_cpu = isinstance(memories.energy, Gaussian) and isinstance(device, CPU)
    return on_cpu and len(memories.centers) > MANY


def states_among(
    network: Network, X: Floats, n_steps: int | None, step_size: float
) -> tuple[Floats, Floats]:
    """The states after so many steps, or at rest for None; and which still move."""
    states, still_moves = X.copy(), np.zeros(len(X), bool)
    for start in range(0, len(X), STATES):
        block = slice(start, start + STATES)
        still_moves[block] = _move(network, states[block], n_steps, step_size)
    return states, still_moves


def _move(
    network: Network, states: Floats, n_steps: int | None, step_size: float
) -> Floats:
    """Move the states in place; say which still move."""
    at_rest = rest_tolerance(network.memories.astype(states.dtype))
    tolerance = at_rest if n_steps is None else -1.0
    moving, step = np.arange(len(states)), states.dtype.type(step_size)
    for _ in range(MAX_RETRIEVAL_STEPS if n_steps is None else n_steps):
        drift = posterior_mean(network, states[moving]) - states[moving]
        states[moving] += step * drift
        moving = moving[np.linalg.norm(drift, axis=1) > tolerance]
        if not len(moving):
            break
    still_moves = np.zeros(len(states), bool)
    still_moves[moving] = True
    return still_moves


def posterior_mean(network: Network, states: Floats) -> Floats:
    """The mean of the patterns under the posterior of each state.

    Sums are in units of the exponential of the largest logit so far.
    """
    memories, rows = network.memories.astype(states.dtype), Complete(states)
    largest = np.full((len(states), 1), -np.inf, states.dtype)
    total, sums = np.zeros_like(largest), np.zeros_like(states)
    for start in range(0, len(memories.centers), SLICE):
        some = memories.some(slice(start, start + SLICE))
        weights = rows.logits(network._replace(memories=some))
        before = largest
        largest = np.maximum(before, weights.max(axis=1, keepdims=True))
        np.exp(np.subtract(weights, largest, out=weights), out=weights)
        shrunk = np.exp(before - largest)
        total = total * shrunk + weights.sum(axis=1, keepdims=True)
        sums = sums * shrunk + weights @ some.centers
    return sums / total
