"""The dynamics of a state: v <- v + step_size * (u - v), as in `cpu/dynamics.py`."""

import math

import numpy as np

from ..cuda import gram_dynamics
from ._jit import cuda, kernel, part
from ._launch import bring_back, launch, on_device, place_for
from .energies import weighs, weight
from .reduce import to_logits, to_posteriors
from .tiles import (
    SHARED,
    fill,
    lane_of,
    own,
    product,
    squares,
    squares_of_seen,
    store,
    sum_of_lane,
    tile_at,
    tiles_of,
)


@part
def weigh(squared, n_hidden, memories, p, shared):
    """Multiply by the IRLS weights, and normalise unless all become 0."""
    lane, total = cuda.threadIdx.x, squared.dtype.type(0)
    n_clusters, n_seen = memories.log_weights.shape[0], memories.dimension - n_hidden
    for k in own(n_clusters):
        scaled = memories.beta * squared[k, lane]
        p[k, lane] *= weight(memories.energy, scaled, n_seen, n_hidden)
        total += p[k, lane]
    total = sum_of_lane(total, shared)
    if total > squared.dtype.type(0):
        for k in own(n_clusters):
            p[k, lane] /= total
    return total


@part
def mean_at(squared, n_hidden, memories, p, state, mean, shared):
    """Write the mean u, given squared distances; the state if all weights are 0."""
    to_logits(squared, n_hidden, memories, p)
    to_posteriors(p, memories.log_weights.shape[0], shared)
    total = squared.dtype.type(1)
    if weighs(memories.energy):
        total = weigh(squared, n_hidden, memories, p, shared)
    product(memories.centers.T, p, mean, shared)
    if total == squared.dtype.type(0):
        lane = cuda.threadIdx.x
        for j in own(mean.shape[0]):
            mean[j, lane] = state[j, lane]


@part
def mean_of(state, memories, squared, p, mean, shared):
    """Write the mean u of a state."""
    squares(memories.centers, state, squared, shared)
    mean_at(squared, state.dtype.type(0), memories, p, state, mean, shared)


@kernel
def write_starts(rows, memories, room, of_memories, out):
    """Rows with missing values replaced by their expectation, given the others."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    state = room[cuda.blockIdx.x]
    squared, p = of_memories[cuda.blockIdx.x, 0], of_memories[cuda.blockIdx.x, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        lane, of_x = cuda.threadIdx.x, lane_of(x)
        squares_of_seen(memories.centers, x, squared, shared)
        n_hidden = n_missing(x, shared)
        mean_at(squared, n_hidden, memories, p, state, state, shared)
        for j in own(state.shape[0]):
            if x[j, of_x] == x[j, of_x]:
                state[j, lane] = x[j, of_x]
        store(state, start, out)


@part
def n_missing(x, shared):
    """The number of missing values in this thread's lane."""
    total, lane = shared.dtype.type(0), lane_of(x)
    for j in own(x.shape[0]):
        if x[j, lane] != x[j, lane]:
            total += shared.dtype.type(1)
    return sum_of_lane(total, shared)


@part
def move(x, complete, dynamics, mean, step, state):
    """Take a step; return this thread's part of |u - v|^2 over moving coordinates.

    In a row with missing values only these move.
    """
    squared, lane, of_x = state.dtype.type(0), cuda.threadIdx.x, lane_of(x)
    for j in own(state.shape[0]):
        moves = dynamics.moves[j]
        if dynamics.holes:
            is_seen = not complete and x[j, of_x] == x[j, of_x]
            moves = state.dtype.type(0) if is_seen else state.dtype.type(1)
        away = moves * (mean[j, lane] - state[j, lane])
        squared += away * away
        state[j, lane] += step * away
    return squared


@kernel
def write_rest(
    rows, starts, memories, dynamics, tolerance, room, of_memories, out, shift
):
    """The states at rest, and their last lengths of u - v."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, zero = cuda.blockIdx.x, cuda.threadIdx.x, rows.dtype.type(0)
    state, mean = room[block, 0], room[block, 1]
    squared, p = of_memories[block, 0], of_memories[block, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        complete = dynamics.holes and n_missing(x, shared) == zero
        fill(starts, start, state)
        step, moved, t = dynamics.step_size, rows.dtype.type(np.inf), 0
        moving = np.int32(dynamics.n_steps)
        while moving:
            mean_of(state, memories, squared, p, mean, shared)
            length = move(x, complete, dynamics, mean, step, state)
            length = sum_of_lane(length, shared)
            if step > zero:
                moved = math.sqrt(length)
            if moved <= tolerance:
                step = zero
            t += 1
            goes_on = step > zero and t < dynamics.n_steps
            moving = cuda.syncthreads_or(np.int32(goes_on))
        store(state, start, out)
        if cuda.threadIdx.y == 0 and start + lane < shift.shape[0]:
            shift[start + lane] = moved


@kernel
def write_trajectory(rows, starts, memories, dynamics, room, of_memories, out):
    """The states of each row, from its start on."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, zero = cuda.blockIdx.x, rows.dtype.type(0)
    state, mean = room[block, 0], room[block, 1]
    squared, p = of_memories[block, 0], of_memories[block, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        complete = dynamics.holes and n_missing(x, shared) == zero
        fill(starts, start, state)
        store(state, start, out[:, 0])
        for t in range(dynamics.n_steps):
            mean_of(state, memories, squared, p, mean, shared)
            move(x, complete, dynamics, mean, dynamics.step_size, state)
            store(state, start, out[:, t + 1])


def starts_of(rows, memories, dynamics, there):
    """The rows; with missing values replaced they are written into `there`."""
    if not dynamics.holes:
        return rows
    n_clusters, n_features = memories.centers.shape
    launch(
        write_starts,
        rows,
        memories,
        room=[(n_features,), (2, n_clusters)],
        out=[there],
    )
    return there


def trajectory(rows, memories, dynamics, out):
    """Write the states v(0) = x, ..., v(T) into out (n_rows, T + 1, n_features)."""
    n_clusters, n_features = memories.centers.shape
    rows, there = on_device(rows), place_for(out)
    starts = starts_of(rows, memories, dynamics, there[:, 0])
    launch(
        write_trajectory,
        rows,
        starts,
        memories,
        dynamics,
        room=[(2, n_features), (2, n_clusters)],
        out=[there],
    )
    bring_back(there, out)


def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    if gram_dynamics.pays(memories, dynamics):
        gram_dynamics.retrieve(rows, memories, dynamics, out)
        return
    shift = np.empty(rows.shape[0], rows.dtype)
    rest(rows, memories, dynamics, rows.dtype.type(-1), out, shift)


def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row is at rest once the length of u - v is at most `tolerance`; the last length is
    written into shift (n_rows,).
    """
    n_clusters, n_features = memories.centers.shape
    rows, there = on_device(rows), place_for(out)
    starts = starts_of(rows, memories, dynamics, there)
    launch(
        write_rest,
        rows,
        starts,
        memories,
        dynamics,
        tolerance,
        room=[(2, n_features), (2, n_clusters)],
        out=[there, shift],
    )
    bring_back(there, out)
