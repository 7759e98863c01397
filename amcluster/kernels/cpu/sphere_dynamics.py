"""The dynamics on the sphere: v <- normalise((1 - step_size) v + step_size u).

Here u is the mean of the directions, each weighted by its posterior at v times its
concentration. As minus the log evidence is concave in v, its value never rises for
0 < step_size <= 1. A state stays where it is if nothing pulls it, or if u is opposite
to it, so that the sum has no direction.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inner_lanewise, kernel
from .reduce import to_exponentials
from .sphere import to_sphere_logits
from .tiles import LANES, aligned_zeros, fill_tile, padded_matrix, product, store


class Room(NamedTuple):
    """Room for a tile of states and for intermediate results."""

    state: np.ndarray  # (1, D, LANES)
    means: np.ndarray  # (1, D, LANES) the mean u, times `total`
    shares: np.ndarray  # (1, K, LANES) the weights of the directions in u
    largest: np.ndarray  # (LANES,) logit
    total: np.ndarray  # (LANES,) the sum of the shares
    length: np.ndarray  # (LANES,) of a state before it is normalised
    moved: np.ndarray  # (LANES,) length of the last step, over step_size
    moves: np.ndarray  # (LANES,) 1, or 0 once a lane is at rest
    zeros: np.ndarray  # (max(K, D),)

    @classmethod
    def empty(cls, directions):
        """Room for states among these directions, which are padded."""
        n_clusters, n_features = directions.shape
        dtype = directions.dtype
        state, means = aligned_zeros((2, 1, n_features, LANES), dtype)
        shares = aligned_zeros((1, n_clusters, LANES), dtype)
        lanes = aligned_zeros((5, LANES), dtype)
        return cls(state, means, shares, *lanes, np.zeros(max(directions.shape), dtype))


def sphere_rest(rows, memories, n_steps, step_size, tolerance, out, shift):
    """Write the states when they rest, or after n_steps, into out (n_rows, n_features).

    Rows are unit rows, and may be `out`. A row is at rest once the length of its last
    step, divided by step_size, is at most `tolerance`; that is written into shift.
    """
    directions = padded_matrix(memories.directions)
    here = Room.empty(directions)
    network = directions, np.ascontiguousarray(directions.T)
    settings = n_steps, step_size, tolerance
    sphere_settle(rows, memories, network, settings, here, out, shift)


@kernel
def sphere_settle(rows, memories, network, settings, here, out, shift):
    """`sphere_rest`, tile by tile."""
    (directions, transposed), (n_steps, step_size, tolerance) = network, settings
    state, n_rows, n_clusters = here.state, rows.shape[0], memories.offsets.shape[0]
    for start in range(0, n_rows, LANES):
        fill_tile(rows, start, n_rows - 1, state[0])
        for lane in range(LANES):
            here.moves[lane], here.moved[lane] = 1.0, np.inf
        for _ in range(n_steps):
            product(directions, here.zeros, state, here.shares)
            to_sphere_logits(here.shares[0], memories)
            to_exponentials(here.shares[0], n_clusters, here.largest, here.total)
            concentrate(memories.concentrations, here.shares[0], here.total)
            product(transposed, here.zeros, here.shares, here.means)
            go(state[0], here.means[0], step_size, here)
            n_moving = 0
            for lane in range(LANES):
                if here.moved[lane] <= tolerance:
                    here.moves[lane] = 0.0
                n_moving += here.moves[lane] > 0.0
            if n_moving == 0:
                break
        store(state, out[start : start + LANES])
        for lane in range(min(n_rows - start, LANES)):
            shift[start + lane] = here.moved[lane]


@inner_lanewise
def concentrate(concentrations, shares, total):
    """Multiply by shares of the largest concentration, and write the sums."""
    one, zero = shares.dtype.type(1.0), shares.dtype.type(0.0)
    largest = zero
    for k in range(concentrations.shape[0]):
        largest = concentrations[k] if concentrations[k] > largest else largest
    for lane in range(LANES):
        total[lane] = zero
    for k in range(concentrations.shape[0]):
        share = concentrations[k] / (largest if largest > zero else one)
        for lane in range(LANES):
            shares[k, lane] *= share
            total[lane] += shares[k, lane]
    for lane in range(LANES):
        total[lane] = total[lane] if total[lane] > zero else one


@inner_lanewise
def go(state, means, step_size, here):
    """Take a step, and write how far each lane that is not at rest went."""
    length, total, moved, moves = here.length, here.total, here.moved, here.moves
    zero, one = state.dtype.type(0.0), state.dtype.type(1.0)
    for lane in range(LANES):
        length[lane], total[lane] = zero, step_size / total[lane]
    for j in range(state.shape[0]):
        for lane in range(LANES):
            there = (one - step_size) * state[j, lane] + total[lane] * means[j, lane]
            means[j, lane] = there
            length[lane] += there * there
    for lane in range(LANES):
        total[lane], length[lane] = zero, math.sqrt(length[lane])
    for j in range(state.shape[0]):
        for lane in range(LANES):
            goes = moves[lane] > zero and length[lane] > zero
            there = means[j, lane] / length[lane] if goes else state[j, lane]
            away = there - state[j, lane]
            total[lane] += away * away
            state[j, lane] = there
    for lane in range(LANES):
        if moves[lane] > zero:
            moved[lane] = math.sqrt(total[lane]) / step_size
