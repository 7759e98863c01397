"""The state on its way: v <- v + step_size * (u - v), u the posterior mean."""

from typing import NamedTuple

import numpy as np

from . import memory_space
from ._jit import allocating, inner, kernel
from .expansion import expanded, expands
from .lanes import (
    LANES,
    aligned_zeros,
    fill_tile,
    padded_matrix,
    product,
    squares,
    store,
)
from .missing import fill_zeros, seen_squares
from .posterior import (
    posterior_at,
    softmax,
    to_exponentials,
    to_logits,
)


@kernel
def posterior_mean(probabilities, centers, out):
    """Write sum_k p_k center_k into `out`."""
    out[:] = out.dtype.type(0.0)
    for k in range(centers.shape[0]):
        for j in range(centers.shape[1]):
            out[j] += probabilities[k] * centers[k, j]


@kernel
def clamp(row, memories, state, moves, hidden, probabilities, mean):
    """Start a row with holes: what is seen stays, what is not is where it is expected.

    Writes the state and what moves of it; of a row without holes everything does.
    """
    n_hidden = fill_zeros(row, state, moves, hidden)
    if n_hidden == 0:
        return
    seen_squares(state, moves, memories.centers, probabilities)
    for k in range(probabilities.shape[0]):
        squared = probabilities[k]
        probabilities[k] = memories.log_weights[k] - memories.beta * squared
    softmax(probabilities)
    posterior_mean(probabilities, memories.centers, mean)
    for j in range(row.shape[0]):
        moves[j] = row.dtype.type(1.0) - moves[j]
        if moves[j] > 0:
            state[j] = mean[j]


@allocating
def trajectory(rows, memories, dynamics, out):
    """Write the states v(0) = x, ..., v(T) into out (n_rows, T + 1, n_features)."""
    probabilities = np.empty(memories.centers.shape[0], rows.dtype)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        out[i, 0] = rows[i]
        if dynamics.holes:
            clamp(rows[i], memories, out[i, 0], moves, hidden, probabilities, mean)
        for t in range(dynamics.n_steps):
            state = out[i, t]
            posterior_at(state, memories, probabilities)
            posterior_mean(probabilities, memories.centers, mean)
            for j in range(rows.shape[1]):
                step = dynamics.step_size * moves[j]
                out[i, t + 1, j] = state[j] + step * (mean[j] - state[j])


def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    shift, never = np.empty(rows.shape[0], rows.dtype), rows.dtype.type(-1)
    if memory_space.pays(memories, dynamics):
        memory_space.retrieve(rows, memories, dynamics, out)
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
        aligned_zeros((1, n_clusters, LANES), centers.dtype),
        *aligned_zeros((5, LANES), centers.dtype),
        np.zeros(n_features, centers.dtype),
    )
    settle(rows, memories, network, dynamics, tolerance, here, out, shift)


class Room(NamedTuple):
    """Room for a tile of states and for what is known of them."""

    state: np.ndarray  # (1, D, LANES)
    means: np.ndarray  # (1, D, LANES)
    posteriors: np.ndarray  # (1, K, LANES)
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
    state, p, step, moved = here.state, here.posteriors, here.step, here.moved
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
                to_logits(p, memories)
            to_exponentials(p[0], n_clusters, here.largest, here.total)
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
    probabilities = np.empty(memories.centers.shape[0], rows.dtype)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        state = out[i]
        state[:] = rows[i]
        clamp(rows[i], memories, state, moves, hidden, probabilities, mean)
        shift[i] = np.inf
        for _ in range(dynamics.n_steps):
            posterior_at(state, memories, probabilities)
            posterior_mean(probabilities, memories.centers, mean)
            squared = rows.dtype.type(0.0)
            for j in range(rows.shape[1]):
                difference = moves[j] * (mean[j] - state[j])
                squared += difference * difference
                state[j] += dynamics.step_size * difference
            shift[i] = np.sqrt(squared)
            if shift[i] <= tolerance:
                break
