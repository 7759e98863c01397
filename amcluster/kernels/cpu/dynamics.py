"""The state on its way: v <- v + step_size * (u - v).

Here u is the mean of the memories, each weighted by its posterior times the weight that
its energy gives to the distance. Where all that is 0, too far from memories whose
density is bounded, the state stays.
"""

from typing import NamedTuple

import numpy as np

from ..cpu import gram_dynamics
from ._jit import allocating, inner, inner_lanewise, kernel
from .energies import weighs, weight
from .expansion import expanded, expands
from .missing import fill_zeros, seen_squares
from .reduce import (
    logit,
    softmax,
    squared_distance,
    to_exponentials,
    to_logits,
)
from .tiles import (
    LANES,
    aligned_zeros,
    fill_tile,
    padded_matrix,
    product,
    squares,
    store,
)


@kernel
def mean_at(state, squared, n_hidden, memories, pulls, mean):
    """Write the mean u at squared distances; `pulls` is room for how memories pull."""
    for k in range(pulls.shape[0]):
        pulls[k] = logit(k, squared[k], n_hidden, memories)
    softmax(pulls)
    total, n_seen = squared.dtype.type(0.0), memories.dimension - n_hidden
    for k in range(pulls.shape[0]):
        if weighs(memories.energy):
            scaled = memories.beta * squared[k]
            pulls[k] *= weight(memories.energy, scaled, n_seen, n_hidden)
        total += pulls[k]
    for j in range(mean.shape[0]):
        mean[j] = state[j] if total == 0.0 else squared.dtype.type(0.0)
    if total > 0.0:
        for k in range(pulls.shape[0]):
            for j in range(mean.shape[0]):
                mean[j] += pulls[k] / total * memories.centers[k, j]


@kernel
def mean_of(state, memories, squared, pulls, mean):
    """Write the mean u of a state."""
    for k in range(squared.shape[0]):
        squared[k] = squared_distance(state, memories.centers[k])
    mean_at(state, squared, state.dtype.type(0.0), memories, pulls, mean)


@kernel
def clamp(row, memories, state, moves, hidden, squared, pulls, mean):
    """Start a row with holes: what is seen stays, what is not is where it is expected.

    Writes the state and what moves of it; of a row without holes everything does.
    """
    n_hidden = fill_zeros(row, state, moves, hidden)
    if n_hidden == 0:
        return
    seen_squares(state, moves, memories.centers, squared)
    mean_at(state, squared, row.dtype.type(n_hidden), memories, pulls, mean)
    for j in range(row.shape[0]):
        moves[j] = row.dtype.type(1.0) - moves[j]
        if moves[j] > 0:
            state[j] = mean[j]


@allocating
def trajectory(rows, memories, dynamics, out):
    """Write the states v(0) = x, ..., v(T) into out (n_rows, T + 1, n_features)."""
    squared, pulls = np.empty((2, memories.centers.shape[0]), rows.dtype)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        out[i, 0] = rows[i]
        if dynamics.holes:
            clamp(rows[i], memories, out[i, 0], moves, hidden, squared, pulls, mean)
        for t in range(dynamics.n_steps):
            state = out[i, t]
            mean_of(state, memories, squared, pulls, mean)
            for j in range(rows.shape[1]):
                step = dynamics.step_size * moves[j]
                out[i, t + 1, j] = state[j] + step * (mean[j] - state[j])


def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    shift, never = np.empty(rows.shape[0], rows.dtype), rows.dtype.type(-1)
    if gram_dynamics.pays(memories, dynamics):
        gram_dynamics.retrieve(rows, memories, dynamics, out)
    elif dynamics.holes:
        rest_with_holes(rows, memories, dynamics, never, out, shift)
    else:
        _settle(rows, memories, dynamics, never, expands(memories), out, shift)


def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row rests once u - v is no longer than `tolerance`; its last length goes into
    shift (n_rows,). Inner products would cancel to more than a small tolerance.
    """
    if dynamics.holes:
        rest_with_holes(rows, memories, dynamics, tolerance, out, shift)
    else:
        _settle(rows, memories, dynamics, tolerance, False, out, shift)


def _settle(rows, memories, dynamics, tolerance, by_products, out, shift):
    centers = padded_matrix(memories.centers)
    matrix, start = centers, np.zeros(len(centers), centers.dtype)
    if by_products:
        matrix, start = expanded(memories)
    network = by_products, matrix, start, np.ascontiguousarray(centers.T)
    n_clusters, n_features = centers.shape
    here = Room(
        *aligned_zeros((2, 1, n_features, LANES), centers.dtype),
        *aligned_zeros((2, 1, n_clusters, LANES), centers.dtype),
        *aligned_zeros((5, LANES), centers.dtype),
        np.zeros(n_features, centers.dtype),
    )
    settle(rows, memories, network, dynamics, tolerance, here, out, shift)


class Room(NamedTuple):
    """Room for a tile of states and for what is known of them."""

    state: np.ndarray  # (1, D, LANES)
    means: np.ndarray  # (1, D, LANES)
    pulls: np.ndarray  # (1, K, LANES)
    distances: np.ndarray  # (1, K, LANES) squared
    step: np.ndarray  # (LANES,)
    moved: np.ndarray  # (LANES,)
    largest: np.ndarray  # (LANES,)
    total: np.ndarray  # (LANES,)
    squared: np.ndarray  # (LANES,)
    zeros: np.ndarray  # (D,)


@kernel
def settle(rows, memories, network, dynamics, tolerance, here, out, shift):
    """Write the states where they rest, and the lengths of their last moves."""
    by_products, matrix, start, transposed = network
    state, p, step, moved = here.state, here.pulls, here.step, here.moved
    n_rows, n_clusters = rows.shape[0], memories.log_weights.shape[0]
    for first in range(0, n_rows, LANES):
        fill_tile(rows, first, n_rows - 1, state[0])
        for lane in range(LANES):
            step[lane], moved[lane] = dynamics.step_size, np.inf
        for _ in range(dynamics.n_steps):
            if by_products:
                product(matrix, start, state, p)
            else:
                squares(state, matrix, p)
                if weighs(memories.energy):
                    keep(p[0], here.distances[0])
                to_logits(p, memories)
            to_exponentials(p[0], n_clusters, here.largest, here.total)
            if weighs(memories.energy):
                weigh(here.distances[0], memories, p[0], here.total, step, moved)
            product(transposed, here.zeros, p, here.means)
            move(state[0], dynamics.moves, here)
            n_moving = 0
            for lane in range(LANES):
                if moved[lane] <= tolerance:
                    step[lane] = 0.0
                n_moving += step[lane] > 0.0
            if n_moving == 0:
                break
        store(state, out[first : first + LANES])
        for lane in range(min(n_rows - first, LANES)):
            shift[first + lane] = moved[lane]


@inner_lanewise
def keep(values, out):
    """Copy the lanes of a tile."""
    for k in range(values.shape[0]):
        for lane in range(LANES):
            out[k, lane] = values[k, lane]


@inner_lanewise
def weigh(distances, memories, p, total, step, moved):
    """Multiply by the weights of the energy; a lane without any stays where it is."""
    zero, one = p.dtype.type(0.0), p.dtype.type(1.0)
    for lane in range(LANES):
        total[lane] = zero
    for k in range(memories.log_weights.shape[0]):
        for lane in range(LANES):
            scaled = memories.beta * distances[k, lane]
            p[k, lane] *= weight(memories.energy, scaled, memories.dimension, zero)
            total[lane] += p[k, lane]
    for lane in range(LANES):
        step[lane] = step[lane] if total[lane] > zero else zero
        moved[lane] = moved[lane] if total[lane] > zero else zero
        total[lane] = total[lane] if total[lane] > zero else one


@inner
def move(state, moves, here):
    """Take a step; write the length of u - v of each lane that has not come to rest.

    The mean u is the mean of `here` over its total.
    """
    sums, step, total, squared = here.means[0], here.step, here.total, here.squared
    moved = here.moved
    for lane in range(LANES):
        squared[lane], total[lane] = 0.0, state.dtype.type(1.0) / total[lane]
    for j in range(moves.shape[0]):
        for lane in range(LANES):
            away = moves[j] * (total[lane] * sums[j, lane] - state[j, lane])
            squared[lane] += away * away
            state[j, lane] += step[lane] * away
    for lane in range(LANES):
        if step[lane] > 0.0:
            moved[lane] = np.sqrt(squared[lane])


@allocating
def rest_with_holes(rows, memories, dynamics, tolerance, out, shift):
    """`rest`, where what is seen of a row with holes is clamped."""
    squared, pulls = np.empty((2, memories.centers.shape[0]), rows.dtype)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        state = out[i]
        state[:] = rows[i]
        clamp(rows[i], memories, state, moves, hidden, squared, pulls, mean)
        shift[i] = np.inf
        for _ in range(dynamics.n_steps):
            mean_of(state, memories, squared, pulls, mean)
            moved = rows.dtype.type(0.0)
            for j in range(rows.shape[1]):
                difference = moves[j] * (mean[j] - state[j])
                moved += difference * difference
                state[j] += dynamics.step_size * difference
            shift[i] = np.sqrt(moved)
            if shift[i] <= tolerance:
                break
