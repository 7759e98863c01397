"""The reconstruction loss sum_n w_n |m * (x_n - v_n(T))|^2 and its gradient.

The gradient goes back through the T steps by hand (the adjoint): with g the gradient
with respect to v(t+1), and the posterior p, its mean u and the state v of step t,

    h = step * m * g
    r_k = 2 beta p_k (center_k - u) . h
    d center_k += p_k h + r_k (v - center_k)
    d log_weight_k += r_k / (2 beta)
    g <- g - h + sum_k r_k (center_k - v)

where the sum of the r_k is 0. Only the coordinates the step sees enter v - center_k.
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
def run_forward(row, memories, dynamics, path):
    """Fill the path of one row; return its loss, |m * (x - v(T))|^2."""
    states, means, posteriors = path
    states[0] = row
    for t in range(dynamics.n_steps):
        step = dynamics.step_size
        if t == 0:
            step = dynamics.first_step_size
            first_posterior(states[0], memories, dynamics.seen, posteriors[0])
        else:
            posterior_at(states[t], memories, posteriors[t])
        posterior_mean(posteriors[t], memories.centers, means[t])
        for j in range(row.shape[0]):
            pull = step * dynamics.moves[j] * (means[t, j] - states[t, j])
            states[t + 1, j] = states[t, j] + pull
    loss = row.dtype.type(0.0)
    for j in range(row.shape[0]):
        error = dynamics.moves[j] * (states[-1, j] - row[j])
        loss += error * error
    return loss


@kernel
def run_backward(row, weight, memories, dynamics, path, d_centers, d_log_weights):
    """Carry g back from v(T) to v(0), adding to the weighted gradients on the way."""
    states, means, posteriors = path
    centers, beta = memories.centers, memories.beta
    n_clusters, n_features = centers.shape
    g, h = np.empty_like(row), np.empty_like(row)
    for j in range(n_features):
        error = dynamics.moves[j] * (states[-1, j] - row[j])
        g[j] = error + error
    for t in range(dynamics.n_steps - 1, -1, -1):
        step = dynamics.first_step_size if t == 0 else dynamics.step_size
        for j in range(n_features):
            h[j] = step * dynamics.moves[j] * g[j]
            g[j] -= h[j]
        for k in range(n_clusters):
            p = posteriors[t, k]
            along = row.dtype.type(0.0)
            for j in range(n_features):
                along += (centers[k, j] - means[t, j]) * h[j]
            d_log_weights[k] += weight * (p * along)
            r = (beta + beta) * p * along
            for j in range(n_features):
                away = r * (states[t, j] - centers[k, j])
                if t == 0:
                    away *= dynamics.seen[j]
                d_centers[k, j] += weight * (p * h[j] + away)
                g[j] -= away


@kernel
def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    path = empty_path(rows, memories, dynamics)
    loss = 0.0
    for i in range(rows.shape[0]):
        loss += weights[i] * run_forward(rows[i], memories, dynamics, path)
    return (loss,)


@kernel
def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    path = empty_path(rows, memories, dynamics)
    loss = 0.0
    d_centers = np.zeros(memories.centers.shape)
    d_log_weights = np.zeros(memories.centers.shape[0])
    for i in range(rows.shape[0]):
        loss += weights[i] * run_forward(rows[i], memories, dynamics, path)
        run_backward(
            *(rows[i], weights[i], memories, dynamics, path, d_centers, d_log_weights)
        )
    return loss, d_centers, d_log_weights
