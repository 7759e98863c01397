"""The state on its way: v <- v + step_size * (u - v), u the posterior mean."""

import numpy as np

from . import memory_space
from ._jit import kernel
from .lanes import load, padded_matrix, squared_distances, store, times
from .missing import fill_zeros, seen_squares
from .posterior import posterior_at, softmax, to_logits, to_posteriors


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


@kernel
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
    if memory_space.pays(memories, dynamics):
        memory_space.retrieve(rows, memories, dynamics, out)
        return
    shift = np.empty(rows.shape[0], rows.dtype)
    rest(rows, memories, dynamics, rows.dtype.type(-1), out, shift)


def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row rests once u - v is no longer than `tolerance`; its last length goes into
    shift (n_rows,).
    """
    if dynamics.holes:
        rest_with_holes(rows, memories, dynamics, tolerance, out, shift)
        return
    state, centers = load(rows), padded_matrix(memories.centers)
    transposed, step = np.ascontiguousarray(centers.T), dynamics.step_size
    moves = padded_matrix(dynamics.moves[:, None])[:, :1]
    moved = np.full(state[:, 0].shape, np.inf, state.dtype)
    evidence, moving = np.empty_like(moved), np.ones_like(moved, dtype=bool)
    for _ in range(dynamics.n_steps):
        p = squared_distances(state, centers)
        to_logits(p, memories, p)
        to_posteriors(p, len(memories.log_weights), evidence)
        away = (times(transposed, p) - state) * (moves * moving[:, None])
        np.copyto(moved, np.sqrt(np.square(away).sum(axis=1)), where=moving)
        state += step * away
        moving &= moved > tolerance
        if not moving.any():
            break
    store(state, out)
    shift[:] = moved.ravel()[: len(shift)]


@kernel
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
