"""Dynamics of states, v <- v + step_size * pull * (u - v): see `cpu/dynamics.py`."""

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
    """Multiply by the IRLS weights; return their sum."""
    lane, total = cuda.threadIdx.x, squared.dtype.type(0)
    n_clusters, n_seen = memories.log_weights.shape[0], memories.dimension - n_hidden
    for k in own(n_clusters):
        scaled = memories.beta[k] * squared[k, lane]
        p[k, lane] *= weight(memories.energy, scaled, n_seen, n_hidden)
        total += p[k, lane]
    return sum_of_lane(total, shared)


@part
def tilt(memories, p, shared):
    """Multiply by shares of the largest beta; return the sum of what is left."""
    lane, total, largest = cuda.threadIdx.x, p.dtype.type(0), memories.beta[0]
    n_clusters = memories.log_weights.shape[0]
    for k in range(n_clusters):
        largest = max(largest, memories.beta[k])
    for k in own(n_clusters):
        p[k, lane] *= memories.beta[k] / largest
        total += p[k, lane]
    return sum_of_lane(total, shared)


@part
def mean_at(squared, n_hidden, memories, alike, p, state, mean, shared):
    """Write the mean u, given squared distances; return the pull.

    The mean is the state, and the pull 0, if all weights are 0.
    """
    to_logits(squared, n_hidden, memories, p)
    to_posteriors(p, memories.log_weights.shape[0], shared)
    pull = total = squared.dtype.type(1)
    if weighs(memories.energy):
        total = weigh(squared, n_hidden, memories, p, shared)
    if not alike:
        before = total
        total = tilt(memories, p, shared)
        pull = total / before if before > squared.dtype.type(0) else before
    if (weighs(memories.energy) or not alike) and total > squared.dtype.type(0):
        lane = cuda.threadIdx.x
        for k in own(memories.log_weights.shape[0]):
            p[k, lane] /= total
    product(memories.centers.T, p, mean, shared)
    if total == squared.dtype.type(0):
        lane = cuda.threadIdx.x
        for j in own(mean.shape[0]):
            mean[j, lane] = state[j, lane]
    return pull


@part
def mean_of(state, memories, alike, squared, p, mean, shared):
    """Write the mean u of a state; return the pull."""
    squares(memories.centers, state, squared, shared)
    none = state.dtype.type(0)
    return mean_at(squared, none, memories, alike, p, state, mean, shared)


@part
def stride(pull, radius, length):
    """The part of u - v, which has this length, that a step of size 1 goes."""
    return max(pull, radius / length) if length > radius else type(pull)(1)


@kernel
def write_starts(rows, memories, alike, room, of_memories, out):
    """Rows with missing values replaced by their expectation, given the others."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    state = room[cuda.blockIdx.x]
    squared, p = of_memories[cuda.blockIdx.x, 0], of_memories[cuda.blockIdx.x, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        lane, of_x = cuda.threadIdx.x, lane_of(x)
        squares_of_seen(memories.centers, x, squared, shared)
        n_hidden = n_missing(x, shared)
        mean_at(squared, n_hidden, memories, alike, p, state, state, shared)
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
def turn_away(x, complete, dynamics, mean, state):
    """Turn the mean u into u - v, 0 where a coordinate does not move.

    In a row with missing values only these move. Returns this thread's part of
    |u - v|^2.
    """
    squared, lane, of_x = state.dtype.type(0), cuda.threadIdx.x, lane_of(x)
    for j in own(state.shape[0]):
        moves = dynamics.moves[j]
        if dynamics.missing:
            is_seen = not complete and x[j, of_x] == x[j, of_x]
            moves = state.dtype.type(0) if is_seen else state.dtype.type(1)
        away = moves * (mean[j, lane] - state[j, lane])
        squared += away * away
        mean[j, lane] = away
    return squared


@part
def move(away, size, state):
    """Take a step of this size."""
    lane = cuda.threadIdx.x
    for j in own(state.shape[0]):
        state[j, lane] += size * away[j, lane]


@kernel
def write_rest(
    rows,
    starts,
    memories,
    dynamics,
    tolerance,
    radius,
    alike,
    room,
    of_memories,
    out,
    shift,
):
    """The states at rest, and their last lengths of u - v."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, zero = cuda.blockIdx.x, cuda.threadIdx.x, rows.dtype.type(0)
    state, mean = room[block, 0], room[block, 1]
    squared, p = of_memories[block, 0], of_memories[block, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        complete = dynamics.missing and n_missing(x, shared) == zero
        fill(starts, start, state)
        is_first = cuda.threadIdx.y == 0 and start + lane < shift.shape[0]
        if is_first:
            shift[start + lane] = rows.dtype.type(np.inf)
        left = dynamics.n_steps
        while cuda.syncthreads_or(np.int32(left)):
            pull = mean_of(state, memories, alike, squared, p, mean, shared)
            length = turn_away(x, complete, dynamics, mean, state)
            length = math.sqrt(sum_of_lane(length, shared))
            if left > 0:
                size = dynamics.step_size * stride(pull, radius, length)
                move(mean, size, state)
                if is_first:
                    shift[start + lane] = length
                left = left - 1 if length > tolerance else 0
        store(state, start, out)


@kernel
def write_trajectory(rows, starts, memories, dynamics, alike, room, of_memories, out):
    """The states of each row, from its start on."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, zero = cuda.blockIdx.x, rows.dtype.type(0)
    state, mean = room[block, 0], room[block, 1]
    squared, p = of_memories[block, 0], of_memories[block, 1]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        complete = dynamics.missing and n_missing(x, shared) == zero
        fill(starts, start, state)
        store(state, start, out[:, 0])
        for t in range(dynamics.n_steps):
            pull = mean_of(state, memories, alike, squared, p, mean, shared)
            turn_away(x, complete, dynamics, mean, state)
            move(mean, dynamics.step_size * pull, state)
            store(state, start, out[:, t + 1])


def starts_of(rows, memories, dynamics, there):
    """The rows; with missing values replaced they are written into `there`."""
    if not dynamics.missing:
        return rows
    n_clusters, n_features = memories.centers.shape
    launch(
        write_starts,
        rows,
        memories,
        memories.alike,
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
        memories.alike,
        room=[(2, n_features), (2, n_clusters)],
        out=[there],
    )
    bring_back(there, out)


def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    if gram_dynamics.pays(memories, dynamics):
        gram_dynamics.retrieve(rows, memories, dynamics, out)
        return
    shift, zero = np.empty(rows.shape[0], rows.dtype), rows.dtype.type(0)
    _rest(rows, memories, dynamics, rows.dtype.type(-1), zero, out, shift)


def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row is at rest once the length of u - v is at most `tolerance`; the last length is
    written into shift (n_rows,).
    """
    radius = memories.beta.dtype.type(memories.beta.max() ** -0.5)
    _rest(rows, memories, dynamics, tolerance, radius, out, shift)


def _rest(rows, memories, dynamics, tolerance, radius, out, shift):
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
        radius,
        memories.alike,
        room=[(2, n_features), (2, n_clusters)],
        out=[there, shift],
    )
    bring_back(there, out)
