"""The dynamics in the space of memories: T steps for the price of one.

The state never leaves the span of the row x and the memories: over the coordinates
that move it is ``v(t) = c_t x + sum_k alpha_tk center_k``. With the inner products of
the row with the memories, and those G of the memories with each other, a step is one
product with G, whatever the number of features::

    a_k = log w_k - beta (|center_k|^2 - 2 (c_t x . center_k + (G alpha_t)_k))
    alpha <- (1 - step) alpha + step softmax(a),    c <- (1 - step) c

The part of x that does not move, where there is one, adds its own inner products. In
data space a step costs two passes over all features of all memories, so that this pays
where the memories are not many more than the features.
"""

from typing import NamedTuple

import numpy as np

from .. import GAUSSIAN
from ._jit import kernel
from .lanes import (
    LANES,
    add_products,
    load,
    load_lanes,
    padded_matrix,
    room,
    store,
    times,
    weighted_sums,
)
from .posterior import to_posteriors

# Inner products cancel where differences would not. What that may cost, in nats.
LOGIT_ERROR = 1e-3


def pays(memories, dynamics):
    """Whether to go through the space of memories: the one place where it is said.

    It does not depend on the rows, so that it is the same for all blocks.
    """
    n_clusters, n_features = memories.centers.shape
    few = dynamics.n_steps > 1 and 2 * n_clusters <= 3 * n_features
    if not few or dynamics.holes or memories.likelihood != GAUSSIAN:
        return False
    largest = np.square(memories.centers).sum(axis=1).max()
    eps = np.finfo(memories.centers.dtype).eps
    return largest * memories.beta * eps < LOGIT_ERROR


class Network(NamedTuple):
    """What the dynamics need of the memories, padded; m: what moves, f: what does not.
    """

    n_clusters: int
    log_weights: np.ndarray  # (K,)
    beta: np.floating
    centers_m: np.ndarray  # (K, D) the centers, 0 where the state does not move
    centers_f: np.ndarray  # (K, D) the centers, 0 where it does
    between: np.ndarray  # (K, K) G: inner products over what moves
    norms: np.ndarray  # (K,) |center|^2
    first_norms: np.ndarray  # (K,) over what the first step sees
    moves: np.ndarray  # (D, 1) 1 where the state moves
    steps: list  # of each step, its size
    sees: bool  # whether the first step sees what moves
    all_moves: bool

    @classmethod
    def of(cls, memories, dynamics):
        """The network of these memories."""
        centers = padded_matrix(memories.centers)
        moves, seen = padded_matrix(np.stack([dynamics.moves, dynamics.seen]))[:2]
        steps = [dynamics.step_size] * dynamics.n_steps
        steps[0] = dynamics.first_step_size
        centers_m = centers * moves
        return cls(
            *(len(memories.log_weights), memories.log_weights, memories.beta),
            *(centers_m, centers - centers_m, inner_products(centers_m, centers_m)),
            *(np.square(centers).sum(axis=1), np.square(centers) @ seen),
            *(moves[:, None], steps, bool((seen * moves).any())),
            bool(dynamics.moves.all()),
        )


def inner_products(left, right):
    """left @ right.T, for padded matrices."""
    out = np.empty((len(right), len(left)), left.dtype)
    store(times(left, load(right)), out)
    return np.ascontiguousarray(out.T)


class Way(NamedTuple):
    """The way of a block of rows, as coefficients of the memories."""

    of_m: np.ndarray  # (n_tiles, K, LANES) x . center over what moves
    alphas: np.ndarray  # (T + 1, n_tiles, K, LANES)
    posteriors: np.ndarray  # (T, n_tiles, K, LANES)
    rests: np.ndarray  # (T + 1,) c_t


def run(tiles, network):
    """The way of a block."""
    n_steps, dtype = len(network.steps), tiles.dtype
    of_m = times(network.centers_m, tiles)
    of_f = np.zeros_like(of_m)
    if not network.all_moves:
        of_f = times(network.centers_f, tiles)
    alphas = np.zeros((n_steps + 1, *of_m.shape), dtype)
    posteriors = np.empty((n_steps, *of_m.shape), dtype)
    evidence, rests = np.empty_like(tiles[:, 0]), np.ones(n_steps + 1, dtype)
    for t, step in enumerate(network.steps):
        if t == 0:
            rest, norms = dtype.type(network.sees), network.first_norms
            posteriors[0] = 0
        else:
            rest, norms = rests[t], network.norms
            posteriors[t] = times(network.between, alphas[t])
        settings = rest, norms, network.log_weights, network.beta
        inner_to_logits(posteriors[t], of_m, of_f, *settings)
        to_posteriors(posteriors[t], network.n_clusters, evidence)
        advance(alphas[t], posteriors[t], step, alphas[t + 1])
        rests[t + 1] = rests[t] * (1 - step)
    return Way(of_m, alphas, posteriors, rests)


@kernel
def inner_to_logits(values, of_m, of_f, rest, norms, log_weights, beta):
    """Turn G alpha into logits."""
    for tile in range(values.shape[0]):
        for k in range(log_weights.shape[0]):
            logits, moving, fixed = values[tile, k], of_m[tile, k], of_f[tile, k]
            for lane in range(LANES):
                inner = logits[lane] + fixed[lane] + rest * moving[lane]
                squared = norms[k] - (inner + inner)
                logits[lane] = log_weights[k] - beta * squared


@kernel
def advance(alphas, posteriors, step, out):
    """Write the coefficients after a step."""
    for tile in range(alphas.shape[0]):
        for k in range(alphas.shape[1]):
            before, toward, after = alphas[tile, k], posteriors[tile, k], out[tile, k]
            for lane in range(LANES):
                after[lane] = before[lane] + step * (toward[lane] - before[lane])


def change(tiles, network, way):
    """v(T) - x over what moves, 0 elsewhere."""
    out = times(np.ascontiguousarray(network.centers_m.T), way.alphas[-1])
    out += ((way.rests[-1] - 1) * network.moves) * tiles
    return out


def retrieve(rows, memories, dynamics, out):
    """`dynamics.retrieve` through the space of memories."""
    tiles, network = load(rows), Network.of(memories, dynamics)
    states = change(tiles, network, run(tiles, network))
    states += tiles
    store(states, out)


def weighted_square(values, w):
    """The weighted sum of the squares of all values of each lane."""
    return np.einsum("tjl,tjl,tl->", values, values, w, dtype=np.float64)


def loss(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_loss` through the space of memories."""
    tiles, network = load(rows), Network.of(memories, dynamics)
    w = load_lanes(weights, len(tiles))
    return (weighted_square(change(tiles, network, run(tiles, network)), w),)


def gradient(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_gradient` through the space of memories."""
    tiles, network = load(rows), Network.of(memories, dynamics)
    w = load_lanes(weights, len(tiles))
    way = run(tiles, network)
    loss = weighted_square(change(tiles, network, way), w)
    p, q, between = run_back(w.astype(tiles.dtype), network, way)
    slopes = np.zeros(network.centers_m.shape)
    add_products(p, tiles, slopes)
    through = inner_products(
        between.astype(tiles.dtype), np.ascontiguousarray(network.centers_m.T)
    )
    d_centers = slopes * network.moves.T + through
    r = weighted_sums(q, np.ones(w.shape), network.n_clusters)
    if not network.all_moves:
        slopes = np.zeros(network.centers_f.shape)
        add_products(q, tiles, slopes)
        d_centers += slopes * (1 - network.moves.T)
        d_centers[: len(r)] -= r[:, None] * network.centers_f[: len(r)]
    n_clusters, n_features = memories.centers.shape
    twice = 2 * float(memories.beta)
    return loss, d_centers[:n_clusters, :n_features].copy(), r / twice


def run_back(w, network, way):
    """Carry the gradient back along the way: the adjoint of `run`.

    The gradient with respect to the state is ``e x + sum_k gamma_k center_k``. Returns
    p and q, the part of x that moves and that does not in the gradient with respect to
    the centers, and the gradient with respect to G, twice.
    """
    p, q, r = np.zeros_like(way.of_m), np.zeros_like(way.of_m), np.zeros_like(way.of_m)
    ones, n_clusters = np.ones(w.shape), network.n_clusters
    between, diagonal = np.zeros(network.between.shape), np.zeros(n_clusters)
    e, gamma = 2 * w * (way.rests[-1] - 1), 2 * w[:, None] * way.alphas[-1]
    for t in range(len(network.steps) - 1, -1, -1):
        step, sigma = network.steps[t], way.posteriors[t]
        sees = t > 0 or network.sees
        rest = way.rests[t] if sees else p.dtype.type(0)
        z = times(network.between, gamma)
        settings = n_clusters, step, rest, network.beta
        add_products(sigma, step * gamma, between)
        go_back(z, sigma, way.of_m, e, *settings, gamma, p, q, r)
        if sees:
            diagonal += weighted_sums(r, ones, n_clusters)
        if t > 0:
            add_products(r, way.alphas[t], between)
        e = e * (1 - step)
    between[np.arange(n_clusters), np.arange(n_clusters)] -= diagonal
    return p, q, between


@kernel
def go_back(z, sigma, of_m, e, n_clusters, step, rest, beta, gamma, p, q, r):
    """One step back: writes r, adds to p and q, and replaces gamma."""
    mean = np.empty(LANES, z.dtype)
    left = z.dtype.type(1.0) - step
    scale = (beta + beta) * step
    for tile in range(z.shape[0]):
        along = e[tile]
        for lane in range(LANES):
            mean[lane] = 0.0
        for k in range(n_clusters):
            slope, inner, prob = z[tile, k], of_m[tile, k], sigma[tile, k]
            for lane in range(LANES):
                slope[lane] += along[lane] * inner[lane]
                mean[lane] += prob[lane] * slope[lane]
        for k in range(n_clusters):
            slope, prob, turn = z[tile, k], sigma[tile, k], r[tile, k]
            of_p, of_q, weight = p[tile, k], q[tile, k], gamma[tile, k]
            for lane in range(LANES):
                turn[lane] = scale * prob[lane] * (slope[lane] - mean[lane])
                of_q[lane] += turn[lane]
                of_p[lane] += step * along[lane] * prob[lane] + rest * turn[lane]
                weight[lane] = left * weight[lane] + turn[lane]
