"""The reconstruction loss sum_n w_n |m * (x_n - v_n(T))|^2 and its gradient.

The gradient goes back through the T steps by hand (the adjoint): with g the gradient
with respect to v(t+1), and the posterior p, its mean u and the state v of step t,

    h = step * m * g
    r_k = 2 beta p_k (center_k - u) . h
    d center_k += p_k h + r_k (v - center_k)
    d log_weight_k += r_k / (2 beta)
    g <- g - h + sum_k r_k (center_k - v)

where the sum of the r_k is 0. Only the coordinates the step sees enter v - center_k.
The holes of a row, NaN, are not seen by the first step, which puts the state where the
memories expect it, and are not judged.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel
from .dynamics import posterior_mean
from .posterior import posterior_at, softmax


class Path(NamedTuple):
    """What the adjoint needs of the way of one row."""

    states: np.ndarray  # (n_steps + 1, n_features)
    means: np.ndarray  # (n_steps, n_features) where each step was drawn to
    posteriors: np.ndarray  # (n_steps, n_clusters)


class Plan(NamedTuple):
    """What each coordinate of a row does."""

    row: np.ndarray  # (n_features,) the row, 0 in its holes
    first: np.ndarray  # (n_features,) size of the first step
    later: np.ndarray  # (n_features,) and of the others
    seen: np.ndarray  # (n_features,) 1 where the first step looks
    judged: np.ndarray  # (n_features,) 1 where the last state is compared to the row


@kernel
def empty_plan(rows):
    """Room for a plan."""
    n_features = rows.shape[1]
    return Plan(
        np.empty(n_features, rows.dtype),
        np.empty(n_features, rows.dtype),
        np.empty(n_features, rows.dtype),
        np.empty(n_features, rows.dtype),
        np.empty(n_features, rows.dtype),
    )


@kernel
def make_plan(row, dynamics, plan):
    """Write what the coordinates of one row do."""
    one, zero = row.dtype.type(1.0), row.dtype.type(0.0)
    for j in range(row.shape[0]):
        plan.row[j] = row[j]
        plan.first[j] = dynamics.first_step_size * dynamics.moves[j]
        plan.later[j] = dynamics.step_size * dynamics.moves[j]
        plan.seen[j] = dynamics.seen[j]
        plan.judged[j] = dynamics.moves[j]
        if dynamics.holes and row[j] != row[j]:
            plan.row[j] = zero
            plan.first[j] = one
            plan.later[j] = dynamics.step_size
            plan.seen[j] = zero
            plan.judged[j] = zero


@kernel
def empty_path(rows, memories, dynamics):
    """Room for a path, used again for every row of a block."""
    n_clusters, n_features = memories.centers.shape
    return Path(
        np.empty((dynamics.n_steps + 1, n_features), rows.dtype),
        np.empty((dynamics.n_steps, n_features), rows.dtype),
        np.empty((dynamics.n_steps, n_clusters), rows.dtype),
    )


@kernel
def first_posterior(state, memories, seen, out):
    """Posterior of what the first step sees of the state."""
    for k in range(out.shape[0]):
        distance = state.dtype.type(0.0)
        for j in range(state.shape[0]):
            difference = state[j] - memories.centers[k, j]
            distance += seen[j] * difference * difference
        out[k] = memories.log_weights[k] - memories.beta * distance
    softmax(out)


@kernel
def run_forward(plan, memories, path):
    """Fill the path of one row; return its loss, |m * (x - v(T))|^2."""
    states, means, posteriors = path
    states[0] = plan.row
    for t in range(means.shape[0]):
        steps = plan.later
        if t == 0:
            steps = plan.first
            first_posterior(states[0], memories, plan.seen, posteriors[0])
        else:
            posterior_at(states[t], memories, posteriors[t])
        posterior_mean(posteriors[t], memories.centers, means[t])
        for j in range(steps.shape[0]):
            states[t + 1, j] = states[t, j] + steps[j] * (means[t, j] - states[t, j])
    loss = plan.row.dtype.type(0.0)
    for j in range(plan.row.shape[0]):
        error = plan.judged[j] * (states[-1, j] - plan.row[j])
        loss += error * error
    return loss


@kernel
def run_backward(plan, weight, memories, path, d_centers, d_log_weights):
    """Carry g back from v(T) to v(0), adding to the weighted gradients on the way."""
    states, means, posteriors = path
    centers, beta = memories.centers, memories.beta
    n_clusters, n_features = centers.shape
    g, h = np.empty_like(plan.row), np.empty_like(plan.row)
    for j in range(n_features):
        error = plan.judged[j] * (states[-1, j] - plan.row[j])
        g[j] = error + error
    for t in range(means.shape[0] - 1, -1, -1):
        steps = plan.first if t == 0 else plan.later
        for j in range(n_features):
            h[j] = steps[j] * g[j]
            g[j] -= h[j]
        for k in range(n_clusters):
            p = posteriors[t, k]
            along = g.dtype.type(0.0)
            for j in range(n_features):
                along += (centers[k, j] - means[t, j]) * h[j]
            d_log_weights[k] += weight * (p * along)
            r = (beta + beta) * p * along
            for j in range(n_features):
                away = r * (states[t, j] - centers[k, j])
                if t == 0:
                    away *= plan.seen[j]
                d_centers[k, j] += weight * (p * h[j] + away)
                g[j] -= away


@kernel
def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    path, plan = empty_path(rows, memories, dynamics), empty_plan(rows)
    loss = 0.0
    for i in range(rows.shape[0]):
        make_plan(rows[i], dynamics, plan)
        loss += weights[i] * run_forward(plan, memories, path)
    return (loss,)


@kernel
def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    path, plan = empty_path(rows, memories, dynamics), empty_plan(rows)
    loss = 0.0
    d_centers = np.zeros(memories.centers.shape)
    d_log_weights = np.zeros(memories.centers.shape[0])
    for i in range(rows.shape[0]):
        make_plan(rows[i], dynamics, plan)
        loss += weights[i] * run_forward(plan, memories, path)
        run_backward(plan, weights[i], memories, path, d_centers, d_log_weights)
    return loss, d_centers, d_log_weights
