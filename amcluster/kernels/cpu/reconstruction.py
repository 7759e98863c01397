"""The reconstruction loss sum_n w_n |m * (x_n - v_n(T))|^2 and its gradient.

The gradient goes back through the T steps by hand (the adjoint): with g the gradient
with respect to v(t+1), and the posterior p, its mean u and the state v of step t,

    h = step * m * g
    r_k = 2 beta p_k (center_k - u) . h
    d center_k += p_k h + r_k (v - center_k)
    d log_weight_k += r_k / (2 beta)
    g <- g - h + sum_k r_k center_k

where the sum of the r_k is 0. Only the coordinates the step sees enter v - center_k.
The holes of a row, NaN, are not seen by the first step, which puts the state where the
memories expect it, and are not judged.

Here the states themselves are kept; `memory_space` does the same with fewer numbers.
"""

from typing import NamedTuple

import numpy as np

from . import memory_space
from .lanes import (
    add_products,
    load,
    load_lanes,
    padded_matrix,
    room,
    squared_distances,
    squares_of_seen,
    times,
    weighted_sums,
)
from .memory_space import weighted_square
from .posterior import to_logits, to_posteriors


class Plan(NamedTuple):
    """What each coordinate does: (n_features, 1), or (n_tiles, n_features, LANES)."""

    rows: np.ndarray  # in tiles, 0 in their holes
    first: np.ndarray  # size of the first step
    later: np.ndarray  # and of the others
    seen: np.ndarray  # 1 where the first step looks
    judged: np.ndarray  # 1 where the last state is compared to the row

    @classmethod
    def of(cls, rows, dynamics):
        """The plan for a block of rows."""
        tiles = load(rows)
        moves, seen = padded_matrix(np.stack([dynamics.moves, dynamics.seen]))[:2]
        moves, seen = moves[:, None], seen[:, None]
        first, later = dynamics.first_step_size * moves, dynamics.step_size * moves
        if not dynamics.holes:
            return cls(tiles, first, later, seen, moves)
        hole = np.isnan(tiles)
        zero, one = tiles.dtype.type(0), tiles.dtype.type(1)
        return cls(
            np.where(hole, zero, tiles),
            np.where(hole, one, first),
            np.where(hole, dynamics.step_size, later),
            np.where(hole, zero, seen),
            np.where(hole, zero, moves),
        )


class Path(NamedTuple):
    """The way of a block of rows: what the adjoint needs of it."""

    states: list  # (n_tiles, n_features, LANES) for each step, and at the end
    means: list  # where each step was drawn to
    posteriors: list  # (n_tiles, n_clusters, LANES)


def run(plan, memories, n_steps, centers, transposed):
    """The path of a block."""
    path = Path([plan.rows], [], [])
    evidence = np.empty_like(plan.rows[:, 0])
    for t in range(n_steps):
        state, steps = path.states[t], plan.later
        if t == 0:
            squared, steps = seen_squares(plan, centers), plan.first
        else:
            squared = squared_distances(state, centers)
        to_logits(squared, memories, squared)
        to_posteriors(squared, len(memories.log_weights), evidence)
        path.posteriors.append(squared)
        path.means.append(times(transposed, squared))
        path.states.append(state + steps * (path.means[t] - state))
    return path


def seen_squares(plan, centers):
    """Squared distances over what the first step sees."""
    seen = np.broadcast_to(plan.seen, plan.rows.shape)
    n_features = plan.seen.shape[-2]
    if seen[:, :n_features].all():
        return squared_distances(plan.rows, centers)
    out = room(plan.rows, len(centers))
    nan = plan.rows.dtype.type(np.nan)
    squares_of_seen(np.where(seen > 0, plan.rows, nan), centers, out)
    return out


class Slopes(NamedTuple):
    """Sums over rows of what the gradient is made of."""

    centers: np.ndarray  # (K, D) sum of p h^T + r v^T
    seen: np.ndarray  # (K, D) sum of r at the first step, over what it sees
    later: np.ndarray  # (K,) sum of r at the others
    log_weights: np.ndarray  # (K,)


def run_back(plan, w, memories, centers, transposed, path):
    """Carry g back from v(T) to v(0); return the weighted sums of the way."""
    n_clusters, ones = len(memories.log_weights), np.ones(w.shape)
    slopes = Slopes(
        *(np.zeros(centers.shape), np.zeros(centers.shape)),
        *(np.zeros(n_clusters), np.zeros(n_clusters)),
    )
    g = 2 * w[:, None] * plan.judged * (path.states[-1] - plan.rows)
    for t in range(len(path.means) - 1, -1, -1):
        h = (plan.later if t else plan.first) * g
        mean = (path.means[t] * h).sum(axis=1, keepdims=True)
        along = path.posteriors[t] * (times(centers, h) - mean)
        slopes.log_weights[:] += weighted_sums(along, ones, n_clusters)
        along *= 2 * memories.beta
        add_products(path.posteriors[t], h, slopes.centers)
        if t:
            add_products(along, path.states[t], slopes.centers)
            slopes.later[:] += weighted_sums(along, ones, n_clusters)
            g += times(transposed, along) - h
        else:
            seen = np.broadcast_to(plan.seen, g.shape)
            add_products(along, seen * plan.rows, slopes.centers)
            add_products(along, np.ascontiguousarray(seen), slopes.seen)
    return slopes


def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    if memory_space.pays(memories, dynamics):
        return memory_space.loss(rows, weights, memories, dynamics)
    plan, centers = Plan.of(rows, dynamics), padded_matrix(memories.centers)
    transposed = np.ascontiguousarray(centers.T)
    path = run(plan, memories, dynamics.n_steps, centers, transposed)
    w = load_lanes(weights, len(plan.rows))
    return (weighted_square(plan.judged * (path.states[-1] - plan.rows), w),)


def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    if memory_space.pays(memories, dynamics):
        return memory_space.gradient(rows, weights, memories, dynamics)
    plan, centers = Plan.of(rows, dynamics), padded_matrix(memories.centers)
    transposed = np.ascontiguousarray(centers.T)
    path = run(plan, memories, dynamics.n_steps, centers, transposed)
    w = load_lanes(weights, len(plan.rows))
    loss = weighted_square(plan.judged * (path.states[-1] - plan.rows), w)
    w = w.astype(rows.dtype)
    slopes = run_back(plan, w, memories, centers, transposed, path)
    n_clusters, n_features = memories.centers.shape
    r = slopes.seen[:n_clusters] + slopes.later[:, None]
    d_centers = slopes.centers[:n_clusters] - r * centers[:n_clusters]
    return loss, d_centers[:, :n_features].copy(), slopes.log_weights
