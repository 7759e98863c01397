"""The dynamics of a state: v <- v + step_size * pull * (u - v).

Here u is the mean of the memories, each weighted by its posterior times the IRLS weight
of its energy at that distance, times its share of the largest beta. The pull is the
mean of these shares under the other weights: 1 if all memories have one beta. A state
does not move if all weights are 0, as happens outside the support of all memories.

A state on its way to rest takes longer steps where the pull is weak, up to the radius
of the sharpest memory and never beyond u: the energy still falls, and no memory on the
way is missed.
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
def mean_at(state, squared, n_hidden, memories, shares, mean):
    """Write the mean u, given squared distances; return the pull.

    `shares` is room for the weights of the memories.
    """
    largest = memories.beta[0]
    for k in range(shares.shape[0]):
        shares[k] = logit(k, squared[k], n_hidden, memories)
        largest = max(largest, memories.beta[k])
    softmax(shares)
    total, n_seen = squared.dtype.type(0.0), memories.dimension - n_hidden
    alike = squared.dtype.type(0.0)
    for k in range(shares.shape[0]):
        if weighs(memories.energy):
            scaled = memories.beta[k] * squared[k]
            shares[k] *= weight(memories.energy, scaled, n_seen, n_hidden)
        alike += shares[k]
        shares[k] *= memories.beta[k] / largest
        total += shares[k]
    for j in range(mean.shape[0]):
        mean[j] = state[j] if total == 0.0 else squared.dtype.type(0.0)
    if total > 0.0:
        for k in range(shares.shape[0]):
            for j in range(mean.shape[0]):
                mean[j] += shares[k] / total * memories.centers[k, j]
    return total / alike if total > 0.0 else total


@kernel
def stride(step_size, pull, radius, length):
    """The size of a step towards u, at a distance `length`, as the module says.

    With a radius of 0 no step is longer than the pull says.
    """
    if length > radius:
        return step_size * max(pull, radius / length)
    return step_size


@kernel
def mean_of(state, memories, squared, shares, mean):
    """Write the mean u of a state; return the pull."""
    for k in range(squared.shape[0]):
        squared[k] = squared_distance(state, memories.centers[k])
    return mean_at(state, squared, state.dtype.type(0.0), memories, shares, mean)


@kernel
def clamp(row, memories, state, moves, hidden, squared, shares, mean):
    """Start at a row, with missing values replaced by what the memories expect.

    Writes the state, and 1 into `moves` for the coordinates that move: the missing
    ones, or all if none is missing.
    """
    n_hidden = fill_zeros(row, state, moves, hidden)
    if n_hidden == 0:
        return
    seen_squares(state, moves, memories.centers, squared)
    mean_at(state, squared, row.dtype.type(n_hidden), memories, shares, mean)
    for j in range(row.shape[0]):
        moves[j] = row.dtype.type(1.0) - moves[j]
        if moves[j] > 0:
            state[j] = mean[j]


@allocating
def trajectory(rows, memories, dynamics, out):
    """Write the states v(0) = x, ..., v(T) into out (n_rows, T + 1, n_features)."""
    squared = np.empty(memories.centers.shape[0], rows.dtype)
    shares = np.empty_like(squared)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        out[i, 0] = rows[i]
        if dynamics.missing:
            clamp(rows[i], memories, out[i, 0], moves, hidden, squared, shares, mean)
        for t in range(dynamics.n_steps):
            state = out[i, t]
            pull = mean_of(state, memories, squared, shares, mean)
            for j in range(rows.shape[1]):
                step = dynamics.step_size * pull * moves[j]
                out[i, t + 1, j] = state[j] + step * (mean[j] - state[j])


def retrieve(rows, memories, dynamics, out):
    """Write the last state v(T) into out (n_rows, n_features)."""
    shift = np.empty(rows.shape[0], rows.dtype)
    never = rows.dtype.type(-1), rows.dtype.type(0)
    if gram_dynamics.pays(memories, dynamics):
        gram_dynamics.retrieve(rows, memories, dynamics, out)
    elif dynamics.missing:
        rest_with_missing(rows, memories, dynamics, *never, out, shift)
    else:
        _settle(rows, memories, dynamics, *never, expands(memories), out, shift)


def rest(rows, memories, dynamics, tolerance, out, shift):
    """Write the states when they rest, or after T steps, into out (n_rows, n_features).

    A row is at rest once the length of u - v is at most `tolerance`; the last length is
    written into shift (n_rows,). Distances are computed from differences, as the
    rounding error of inner products can exceed a small tolerance.
    """
    radius = radius_of(memories)
    if dynamics.missing:
        rest_with_missing(rows, memories, dynamics, tolerance, radius, out, shift)
    else:
        _settle(rows, memories, dynamics, tolerance, radius, False, out, shift)


def radius_of(memories):
    """The length of the longest step towards rest where the pull is weak."""
    return memories.beta.dtype.type(memories.beta.max() ** -0.5)


def _settle(rows, memories, dynamics, tolerance, radius, by_products, out, shift):
    """Call `settle` with the room and the form of the memories that it needs."""
    centers = padded_matrix(memories.centers)
    matrix, start = centers, np.zeros(len(centers), centers.dtype)
    if by_products:
        matrix, start = expanded(memories)
    transposed = np.ascontiguousarray(centers.T)
    network = by_products, memories.alike, matrix, start, transposed
    here = Room.empty(centers)
    settle(rows, memories, network, dynamics, tolerance, radius, here, out, shift)


class Room(NamedTuple):
    """Room for a tile of states and for intermediate results."""

    state: np.ndarray  # (1, D, LANES)
    means: np.ndarray  # (1, D, LANES) the mean u, times `total`
    shares: np.ndarray  # (1, K, LANES) the weights of the memories in u, times `total`
    distances: np.ndarray  # (1, K, LANES) squared
    step: np.ndarray  # (LANES,) the step size, 0 once a lane is at rest
    moved: np.ndarray  # (LANES,) the length of the last u - v
    largest: np.ndarray  # (LANES,) logit
    total: np.ndarray  # (LANES,) sum of the shares
    squared: np.ndarray  # (LANES,) |u - v|^2
    pull: np.ndarray  # (LANES,)
    stride: np.ndarray  # (LANES,) the size of this step
    zeros: np.ndarray  # (D,)

    @classmethod
    def empty(cls, centers):
        """Room for states among these centers, which are padded."""
        n_clusters, n_features = centers.shape
        state, means = aligned_zeros((2, 1, n_features, LANES), centers.dtype)
        shares, distances = aligned_zeros((2, 1, n_clusters, LANES), centers.dtype)
        lanes = aligned_zeros((7, LANES), centers.dtype)
        zeros = np.zeros(n_features, centers.dtype)
        return cls(state, means, shares, distances, *lanes, zeros)


@kernel
def settle(rows, memories, network, dynamics, tolerance, radius, here, out, shift):
    """Write the states at rest, and the last lengths of u - v."""
    by_products, alike, matrix, start, transposed = network
    state, p, step, moved = here.state, here.shares, here.step, here.moved
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
            if not alike:
                tilt(memories.beta, p[0], here.total, here.pull)
            product(transposed, here.zeros, p, here.means)
            stride_of = step
            if not alike:
                lengthen(state[0], dynamics.moves, radius, here)
                stride_of = here.stride
            move(state[0], dynamics.moves, stride_of, here)
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
    """Multiply by the IRLS weights; a lane in which all become 0 stops moving."""
    zero, one = p.dtype.type(0.0), p.dtype.type(1.0)
    for lane in range(LANES):
        total[lane] = zero
    for k in range(memories.log_weights.shape[0]):
        for lane in range(LANES):
            scaled = memories.beta[k] * distances[k, lane]
            p[k, lane] *= weight(memories.energy, scaled, memories.dimension, zero)
            total[lane] += p[k, lane]
    for lane in range(LANES):
        step[lane] = step[lane] if total[lane] > zero else zero
        moved[lane] = moved[lane] if total[lane] > zero else zero
        total[lane] = total[lane] if total[lane] > zero else one


@inner_lanewise
def tilt(beta, p, total, pull):
    """Multiply by shares of the largest beta, and write the pull of each lane."""
    zero, one, largest = p.dtype.type(0.0), p.dtype.type(1.0), beta[0]
    for k in range(beta.shape[0]):
        largest = max(largest, beta[k])
    for lane in range(LANES):
        pull[lane], total[lane] = total[lane], zero
    for k in range(beta.shape[0]):
        share = beta[k] / largest
        for lane in range(LANES):
            p[k, lane] *= share
            total[lane] += p[k, lane]
    for lane in range(LANES):
        pull[lane] = total[lane] / pull[lane]
        total[lane] = total[lane] if total[lane] > zero else one


@inner
def lengthen(state, moves, radius, here):
    """Write the size of the step of each lane, with the pull and the way to go."""
    sums, total, squared = here.means[0], here.total, here.squared
    for lane in range(LANES):
        squared[lane] = 0.0
    for j in range(moves.shape[0]):
        for lane in range(LANES):
            away = moves[j] * (sums[j, lane] / total[lane] - state[j, lane])
            squared[lane] += away * away
    for lane in range(LANES):
        length = np.sqrt(squared[lane])
        here.stride[lane] = stride(here.step[lane], here.pull[lane], radius, length)


@inner
def move(state, moves, stride, here):
    """Take a step; write the length of u - v of each lane that is not at rest.

    The mean u is ``here.means / here.total``.
    """
    sums, step, total, squared = here.means[0], here.step, here.total, here.squared
    moved = here.moved
    for lane in range(LANES):
        squared[lane], total[lane] = 0.0, state.dtype.type(1.0) / total[lane]
    for j in range(moves.shape[0]):
        for lane in range(LANES):
            away = moves[j] * (total[lane] * sums[j, lane] - state[j, lane])
            squared[lane] += away * away
            state[j, lane] += stride[lane] * away
    for lane in range(LANES):
        if step[lane] > 0.0:
            moved[lane] = np.sqrt(squared[lane])


@allocating
def rest_with_missing(rows, memories, dynamics, tolerance, radius, out, shift):
    """`rest` for rows with missing values, of which the seen coordinates are fixed."""
    squared = np.empty(memories.centers.shape[0], rows.dtype)
    shares = np.empty_like(squared)
    mean, moves = np.empty(rows.shape[1], rows.dtype), dynamics.moves.copy()
    hidden = np.empty(rows.shape[1], np.int64)
    for i in range(rows.shape[0]):
        state = out[i]
        state[:] = rows[i]
        clamp(rows[i], memories, state, moves, hidden, squared, shares, mean)
        shift[i] = np.inf
        for _ in range(dynamics.n_steps):
            pull = mean_of(state, memories, squared, shares, mean)
            moved = rows.dtype.type(0.0)
            for j in range(rows.shape[1]):
                mean[j] = moves[j] * (mean[j] - state[j])
                moved += mean[j] * mean[j]
            shift[i] = np.sqrt(moved)
            step = stride(dynamics.step_size, pull, radius, shift[i])
            for j in range(rows.shape[1]):
                state[j] += step * mean[j]
            if shift[i] <= tolerance:
                break
