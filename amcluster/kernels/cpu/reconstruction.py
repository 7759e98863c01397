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

from ._jit import kernel
from .lanes import (
    LANES,
    add_products,
    add_weighted,
    load,
    load_weights,
    padded,
    padded_matrix,
    product,
    squares,
    tile_of,
)
from .memory_space import gradient_through, loss_of, loss_through, pays
from .posterior import to_logits, to_posteriors


class Path(NamedTuple):
    """What the adjoint needs of the way of a tile of rows."""

    states: np.ndarray  # (n_steps + 1, n_features, LANES)
    means: np.ndarray  # (n_steps, n_features, LANES) where each step was drawn to
    posteriors: np.ndarray  # (n_steps, n_clusters, LANES)


class Plan(NamedTuple):
    """What each coordinate of each row of a tile does: all (n_features, LANES)."""

    rows: np.ndarray  # the rows, 0 in their holes
    first: np.ndarray  # size of the first step
    later: np.ndarray  # and of the others
    seen: np.ndarray  # 1 where the first step looks
    judged: np.ndarray  # 1 where the last state is compared to the row


@kernel
def empty_plan(rows):
    """Room for a plan."""
    n_features = rows.shape[1]
    return Plan(
        tile_of(n_features, rows),
        tile_of(n_features, rows),
        tile_of(n_features, rows),
        tile_of(n_features, rows),
        tile_of(n_features, rows),
    )


@kernel
def make_plan(rows, start, dynamics, plan):
    """Write what the coordinates of a tile do."""
    one, zero = rows.dtype.type(1.0), rows.dtype.type(0.0)
    load(rows, start, plan.rows)
    for j in range(rows.shape[1]):
        plan.first[j] = dynamics.first_step_size * dynamics.moves[j]
        plan.later[j] = dynamics.step_size * dynamics.moves[j]
        plan.seen[j] = dynamics.seen[j]
        plan.judged[j] = dynamics.moves[j]
        if dynamics.holes:
            for lane in range(LANES):
                if plan.rows[j, lane] != plan.rows[j, lane]:
                    plan.rows[j, lane] = zero
                    plan.first[j, lane] = one
                    plan.later[j, lane] = dynamics.step_size
                    plan.seen[j, lane] = zero
                    plan.judged[j, lane] = zero


@kernel
def empty_path(rows, memories, dynamics):
    """Room for a path, used again for every tile of a block."""
    n_clusters, n_features = memories.centers.shape
    n_steps, n = dynamics.n_steps, padded(n_features)
    return Path(
        np.zeros((n_steps + 1, n, LANES), rows.dtype),
        np.zeros((n_steps, n, LANES), rows.dtype),
        np.zeros((n_steps, padded(n_clusters), LANES), rows.dtype),
    )


@kernel
def seen_squares_of(plan, centers, out):
    """Squared distances over what the first step sees."""
    out[:] = out.dtype.type(0.0)
    for k in range(centers.shape[0]):
        for j in range(centers.shape[1]):
            for lane in range(LANES):
                difference = plan.rows[j, lane] - centers[k, j]
                out[k, lane] += plan.seen[j, lane] * (difference * difference)


@kernel
def run_forward(plan, memories, centers, transposed, path):
    """Fill the path of a tile."""
    states, means, posteriors = path
    n_features, evidence = plan.rows.shape[0], np.empty(LANES, plan.rows.dtype)
    states[0] = plan.rows
    for t in range(means.shape[0]):
        if t == 0:
            seen_squares_of(plan, centers, posteriors[0])
        else:
            squares(states[t], centers, posteriors[t])
        to_logits(posteriors[t], memories, posteriors[t])
        to_posteriors(posteriors[t], memories.centers.shape[0], evidence)
        product(transposed, posteriors[t], means[t])
        steps = plan.first if t == 0 else plan.later
        for j in range(n_features):
            for lane in range(LANES):
                away = means[t, j, lane] - states[t, j, lane]
                states[t + 1, j, lane] = states[t, j, lane] + steps[j, lane] * away


@kernel
def judge(plan, path, out):
    """Write v(T) - x, where it is judged."""
    for j in range(plan.rows.shape[0]):
        for lane in range(LANES):
            away = path.states[-1, j, lane] - plan.rows[j, lane]
            out[j, lane] = plan.judged[j, lane] * away


class Slopes(NamedTuple):
    """Sums over rows of what the gradient is made of."""

    centers: np.ndarray  # (K, D) sum of p h^T + r v^T
    seen: np.ndarray  # (K, D) sum of r at the first step, over what it sees
    later: np.ndarray  # (K,) sum of r at the others
    log_weights: np.ndarray  # (K,)


@kernel
def run_backward(plan, w, memories, centers, transposed, path, g, slopes):
    """Carry g back from v(T) to v(0), adding to the weighted sums on the way."""
    states, means, posteriors = path
    n_clusters, ones = memories.centers.shape[0], np.ones(LANES)
    h, along = np.zeros_like(g), np.zeros_like(posteriors[0])
    back, mean = np.zeros_like(g), np.empty(LANES, g.dtype)
    for j in range(g.shape[0]):
        for lane in range(LANES):
            g[j, lane] *= w[lane] + w[lane]
    for t in range(means.shape[0] - 1, -1, -1):
        steps = plan.first if t == 0 else plan.later
        mean[:] = g.dtype.type(0.0)
        for j in range(g.shape[0]):
            for lane in range(LANES):
                h[j, lane] = steps[j, lane] * g[j, lane]
                g[j, lane] -= h[j, lane]
                mean[lane] += means[t, j, lane] * h[j, lane]
        product(centers, h, along)
        for k in range(n_clusters):
            for lane in range(LANES):
                along[k, lane] = posteriors[t, k, lane] * (along[k, lane] - mean[lane])
        add_weighted(along, ones, n_clusters, slopes.log_weights)
        for k in range(n_clusters):
            for lane in range(LANES):
                along[k, lane] *= memories.beta + memories.beta
        add_products(posteriors[t], h, slopes.centers)
        if t > 0:
            add_products(along, states[t], slopes.centers)
            add_weighted(along, ones, n_clusters, slopes.later)
            product(transposed, along, back)
            for j in range(g.shape[0]):
                for lane in range(LANES):
                    g[j, lane] += back[j, lane]
        else:
            for j in range(g.shape[0]):
                for lane in range(LANES):
                    back[j, lane] = plan.seen[j, lane] * states[0, j, lane]
            add_products(along, back, slopes.centers)
            add_products(along, plan.seen, slopes.seen)


@kernel
def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    if pays(memories, dynamics):
        return loss_through(rows, weights, memories, dynamics)
    path, plan = empty_path(rows, memories, dynamics), empty_plan(rows)
    centers = padded_matrix(memories.centers)
    transposed = centers.T.copy()
    change, w, loss = tile_of(rows.shape[1], rows), np.empty(LANES), 0.0
    for start in range(0, rows.shape[0], LANES):
        make_plan(rows, start, dynamics, plan)
        load_weights(weights, start, w)
        run_forward(plan, memories, centers, transposed, path)
        judge(plan, path, change)
        loss += loss_of(change, w)
    return (loss,)


@kernel
def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    if pays(memories, dynamics):
        return gradient_through(rows, weights, memories, dynamics)
    n_clusters, n_features = memories.centers.shape
    path, plan = empty_path(rows, memories, dynamics), empty_plan(rows)
    centers = padded_matrix(memories.centers)
    transposed = centers.T.copy()
    change, w, loss = tile_of(n_features, rows), np.empty(LANES), 0.0
    slopes = Slopes(
        *(np.zeros(centers.shape), np.zeros(centers.shape)),
        *(np.zeros(n_clusters), np.zeros(n_clusters)),
    )
    for start in range(0, rows.shape[0], LANES):
        make_plan(rows, start, dynamics, plan)
        load_weights(weights, start, w)
        run_forward(plan, memories, centers, transposed, path)
        judge(plan, path, change)
        loss += loss_of(change, w)
        run_backward(plan, w, memories, centers, transposed, path, change, slopes)
    d_centers = np.empty((n_clusters, n_features))
    for k in range(n_clusters):
        for j in range(n_features):
            r = slopes.seen[k, j] + slopes.later[k]
            d_centers[k, j] = slopes.centers[k, j] - r * memories.centers[k, j]
    return loss, d_centers, slopes.log_weights
