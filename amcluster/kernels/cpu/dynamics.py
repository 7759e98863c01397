"""The state on its way: v <- v + step_size * (u - v), u the posterior mean."""

import numpy as np

from ._jit import kernel
from .lanes import LANES, load, padded_matrix, product, squares, store, tile_of
from .memory_space import pays, retrieve_through
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


@kernel
def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    if pays(memories, dynamics):
        retrieve_through(rows, memories, dynamics, out)
        return
    shift = np.empty(rows.shape[0], rows.dtype)
    rest(rows, memories, dynamics, rows.dtype.type(-1.0), out, shift)


@kernel
def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row rests once u - v is no longer than `tolerance`; its last length goes into
    shift (n_rows,).
    """
    if dynamics.holes:
        rest_with_holes(rows, memories, dynamics, tolerance, out, shift)
        return
    n_clusters, n_features = memories.centers.shape
    centers, state = padded_matrix(memories.centers), tile_of(n_features, rows)
    transposed = centers.T.copy()
    p, mean = tile_of(n_clusters, rows), tile_of(n_features, rows)
    moved, evidence = np.empty(LANES, rows.dtype), np.empty(LANES, rows.dtype)
    step = np.empty(LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        n_live = load(rows, start, state)
        step[:] = dynamics.step_size
        moved[:] = np.inf
        for _ in range(dynamics.n_steps):
            squares(state, centers, p)
            to_logits(p, memories, p)
            to_posteriors(p, n_clusters, evidence)
            product(transposed, p, mean)
            length_of_moves(mean, state, dynamics.moves, step, moved)
            for j in range(n_features):
                for lane in range(LANES):
                    state[j, lane] += step[lane] * mean[j, lane]
            if stop_at_rest(moved, tolerance, step) == LANES:
                break
        store(state, start, out)
        shift[start : start + n_live] = moved[:n_live]


@kernel
def length_of_moves(mean, state, moves, step, moved):
    """Turn u into u - v over what moves; write its length where a lane still steps."""
    zero = mean.dtype.type(0.0)
    squared = np.zeros(LANES, mean.dtype)
    for j in range(moves.shape[0]):
        for lane in range(LANES):
            mean[j, lane] = moves[j] * (mean[j, lane] - state[j, lane])
            squared[lane] += mean[j, lane] * mean[j, lane]
    for lane in range(LANES):
        if step[lane] > zero:
            moved[lane] = np.sqrt(squared[lane])


@kernel
def stop_at_rest(moved, tolerance, step):
    """Set the steps of lanes that rest to 0; return how many do."""
    n_resting = 0
    for lane in range(LANES):
        if moved[lane] <= tolerance:
            step[lane] = 0.0
            n_resting += 1
    return n_resting


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
