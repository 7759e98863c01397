"""The dynamics in the space of memories: T steps for the price of one.

The state never leaves the span of the row x and the memories: over the coordinates that
move it is ``v(t) = c_t x + sum_k alpha_tk center_k``. With the inner products of the row
with the memories, and those G of the memories with each other, a step is one product
with G, whatever the number of features::

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
    add_weighted,
    load,
    load_weights,
    padded,
    padded_matrix,
    product,
    store,
    tile_of,
)
from .posterior import to_posteriors

# Inner products cancel where differences would not. What that may cost, in nats.
LOGIT_ERROR = 1e-3


@kernel
def pays(memories, dynamics):
    """Whether to go through the space of memories: the one place where it is said.

    It does not depend on the rows, so that it is the same for all blocks.
    """
    n_clusters, n_features = memories.centers.shape
    few = dynamics.n_steps > 1 and 2 * n_clusters <= 3 * n_features
    if not few or dynamics.holes or memories.likelihood != GAUSSIAN:
        return False
    largest = 0.0
    for k in range(n_clusters):
        largest = max(largest, np.square(memories.centers[k]).sum())
    eps = np.finfo(memories.centers.dtype).eps
    return largest * memories.beta * eps < LOGIT_ERROR


class Products(NamedTuple):
    """What the dynamics need of the memories; m: what moves, f: what does not."""

    moving: np.ndarray  # (K, D) the centers, 0 where the state does not move
    fixed: np.ndarray  # (K, D) the centers, 0 where it does
    transposed: np.ndarray  # (D, K) of the moving part
    between: np.ndarray  # (K, K) G: inner products of the moving parts
    norms: np.ndarray  # (K,) |center|^2
    first_norms: np.ndarray  # (K,) over what the first step sees


@kernel
def products_of(memories, dynamics):
    """The products, padded."""
    centers = padded_matrix(memories.centers)
    n_features = memories.centers.shape[1]
    moving, fixed = np.zeros_like(centers), np.zeros_like(centers)
    for j in range(n_features):
        moving[:, j] = dynamics.moves[j] * centers[:, j]
        fixed[:, j] = centers[:, j] - moving[:, j]
    squares, first = np.square(centers), np.zeros_like(centers)
    for j in range(n_features):
        first[:, j] = dynamics.seen[j] * squares[:, j]
    return Products(
        *(moving, fixed, moving.T.copy(), matrix_product(moving, moving)),
        *(squares.sum(axis=1), first.sum(axis=1)),
    )


@kernel
def matrix_product(left, right):
    """left @ right.T of padded matrices: the rows of `right` travel as lanes."""
    out = np.empty((right.shape[0], left.shape[0]), left.dtype)
    tile, products = tile_of(right.shape[1], right), tile_of(left.shape[0], right)
    for start in range(0, right.shape[0], LANES):
        load(right, start, tile)
        product(left, tile, products)
        store(products, start, out)
    return out.T.copy()


class Way(NamedTuple):
    """The way of a tile of rows, as coefficients of the memories."""

    of_moving: np.ndarray  # (K, LANES) x . center over what moves
    of_fixed: np.ndarray  # (K, LANES) and over what does not
    alphas: np.ndarray  # (T + 1, K, LANES)
    posteriors: np.ndarray  # (T, K, LANES)
    rests: np.ndarray  # (T + 1,) c_t


@kernel
def empty_way(rows, memories, dynamics):
    """Room for a way."""
    n_steps, n = dynamics.n_steps, padded(memories.centers.shape[0])
    return Way(
        tile_of(n, rows),
        tile_of(n, rows),
        np.zeros((n_steps + 1, n, LANES), rows.dtype),
        np.zeros((n_steps, n, LANES), rows.dtype),
        np.ones(n_steps + 1, rows.dtype),
    )


@kernel
def first_sees_moving(dynamics):
    """Whether the first step sees what moves: unless it is hidden."""
    return (dynamics.seen * dynamics.moves).sum() > 0


@kernel
def run(tile, memories, dynamics, products, way):
    """Fill the way of a tile."""
    n_clusters = memories.centers.shape[0]
    of_moving, of_fixed, alphas, posteriors, rests = way
    one, evidence = tile.dtype.type(1.0), np.empty(LANES, tile.dtype)
    product(products.moving, tile, of_moving)
    if dynamics.moves.sum() < dynamics.moves.shape[0]:
        product(products.fixed, tile, of_fixed)
    for t in range(dynamics.n_steps):
        norms, step, rest = products.norms, dynamics.step_size, rests[t]
        if t == 0:
            norms, step = products.first_norms, dynamics.first_step_size
            posteriors[0] = tile.dtype.type(0.0)
            if not first_sees_moving(dynamics):
                rest = tile.dtype.type(0.0)
        else:
            product(products.between, alphas[t], posteriors[t])
        logits = posteriors[t]
        for k in range(n_clusters):
            for lane in range(LANES):
                inner = logits[k, lane] + of_fixed[k, lane] + rest * of_moving[k, lane]
                squared = norms[k] - (inner + inner)
                logits[k, lane] = memories.log_weights[k] - memories.beta * squared
        to_posteriors(logits, n_clusters, evidence)
        for k in range(n_clusters):
            for lane in range(LANES):
                change = logits[k, lane] - alphas[t, k, lane]
                alphas[t + 1, k, lane] = alphas[t, k, lane] + step * change
        rests[t + 1] = rests[t] * (one - step)


@kernel
def residuals(tile, dynamics, products, way, out):
    """Write v(T) - x over what moves, 0 elsewhere."""
    less = way.rests[-1] - tile.dtype.type(1.0)
    product(products.transposed, way.alphas[-1], out)
    for j in range(dynamics.moves.shape[0]):
        factor = less * dynamics.moves[j]
        for lane in range(LANES):
            out[j, lane] += factor * tile[j, lane]


@kernel
def retrieve_through(rows, memories, dynamics, out):
    """`dynamics.retrieve` through the space of memories."""
    n_features = rows.shape[1]
    products, way = products_of(memories, dynamics), empty_way(rows, memories, dynamics)
    tile, change = tile_of(n_features, rows), tile_of(n_features, rows)
    for start in range(0, rows.shape[0], LANES):
        load(rows, start, tile)
        run(tile, memories, dynamics, products, way)
        residuals(tile, dynamics, products, way, change)
        for j in range(n_features):
            for lane in range(LANES):
                change[j, lane] += tile[j, lane]
        store(change, start, out)


@kernel
def loss_of(change, w):
    """The weighted sum of the squares of residuals."""
    total = 0.0
    for j in range(change.shape[0]):
        for lane in range(LANES):
            total += w[lane] * (change[j, lane] * change[j, lane])
    return total


@kernel
def loss_through(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_loss` through the space of memories."""
    n_features = rows.shape[1]
    products, way = products_of(memories, dynamics), empty_way(rows, memories, dynamics)
    tile, change = tile_of(n_features, rows), tile_of(n_features, rows)
    w, loss = np.empty(LANES), 0.0
    for start in range(0, rows.shape[0], LANES):
        load(rows, start, tile)
        load_weights(weights, start, w)
        run(tile, memories, dynamics, products, way)
        residuals(tile, dynamics, products, way, change)
        loss += loss_of(change, w)
    return (loss,)


class Slopes(NamedTuple):
    """Sums over rows of what the gradient is made of."""

    of_moving: np.ndarray  # (K, D) sum of p x^T over what moves
    of_fixed: np.ndarray  # (K, D) sum of q x^T over what does not
    between: np.ndarray  # (K, K) B: the gradient with respect to G, twice
    of_norms: np.ndarray  # (K,) sum of r over steps that see what moves
    total: np.ndarray  # (K,) sum of r over all steps


@kernel
def run_back(w, memories, dynamics, products, way, back, slopes):
    """Carry the gradient back along the way: the adjoint of `run`.

    The gradient with respect to the state is ``e x + sum_k gamma_k center_k``. Writes p
    and q, what each row adds to the gradient with respect to the centers.
    """
    n_clusters, n_steps = memories.centers.shape[0], dynamics.n_steps
    p, q, gamma, r, z = back
    _, of_fixed, alphas, posteriors, rests = way
    one, zero = p.dtype.type(1.0), p.dtype.type(0.0)
    e, mean = np.empty(LANES, p.dtype), np.empty(LANES, p.dtype)
    twice = memories.beta + memories.beta
    for lane in range(LANES):
        e[lane] = (w[lane] + w[lane]) * (rests[n_steps] - one)
    for k in range(n_clusters):
        for lane in range(LANES):
            gamma[k, lane] = (w[lane] + w[lane]) * alphas[n_steps, k, lane]
    p[:] = zero
    q[:] = zero
    for t in range(n_steps - 1, -1, -1):
        sigma, step = posteriors[t], dynamics.step_size
        sees = t > 0 or first_sees_moving(dynamics)
        if t == 0:
            step = dynamics.first_step_size
        product(products.between, gamma, z)
        mean[:] = zero
        for k in range(n_clusters):
            for lane in range(LANES):
                z[k, lane] += e[lane] * way.of_moving[k, lane]
                mean[lane] += sigma[k, lane] * z[k, lane]
        for k in range(n_clusters):
            rest = rests[t] if sees else zero
            for lane in range(LANES):
                slope = sigma[k, lane] * (z[k, lane] - mean[lane])
                r[k, lane] = twice * step * slope
                q[k, lane] += r[k, lane]
                sigma[k, lane] *= step
                p[k, lane] += e[lane] * sigma[k, lane] + rest * r[k, lane]
        add_products(sigma, gamma, slopes.between)
        if sees:
            add_weighted(r, np.ones(LANES), n_clusters, slopes.of_norms)
            if t > 0:
                add_products(r, alphas[t], slopes.between)
        left = one - step
        for lane in range(LANES):
            e[lane] *= left
        for k in range(n_clusters):
            for lane in range(LANES):
                gamma[k, lane] = left * gamma[k, lane] + r[k, lane]


@kernel
def gradient_through(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_gradient` through the space of memories."""
    n_clusters, n_features = memories.centers.shape
    products, way = products_of(memories, dynamics), empty_way(rows, memories, dynamics)
    tile, change = tile_of(n_features, rows), tile_of(n_features, rows)
    shape, n = products.moving.shape, products.moving.shape[0]
    back = (
        *(tile_of(n, rows), tile_of(n, rows), tile_of(n, rows)),
        *(tile_of(n, rows), tile_of(n, rows)),
    )
    slopes = Slopes(
        *(np.zeros(shape), np.zeros(shape), np.zeros((n, n))),
        *(np.zeros(n), np.zeros(n)),
    )
    has_fixed = dynamics.moves.sum() < n_features
    w, ones, loss = np.empty(LANES), np.ones(LANES), 0.0
    for start in range(0, rows.shape[0], LANES):
        load(rows, start, tile)
        load_weights(weights, start, w)
        run(tile, memories, dynamics, products, way)
        residuals(tile, dynamics, products, way, change)
        loss += loss_of(change, w)
        run_back(w, memories, dynamics, products, way, back, slopes)
        add_products(back[0], tile, slopes.of_moving)
        add_weighted(back[1], ones, n_clusters, slopes.total)
        if has_fixed:
            add_products(back[1], tile, slopes.of_fixed)
    return loss, *gradients(slopes, memories, dynamics, products)


@kernel
def gradients(slopes, memories, dynamics, products):
    """d centers (K, D) and d log_weights (K,)."""
    n_clusters, n_features = memories.centers.shape
    between = slopes.between
    for k in range(n_clusters):
        between[k, k] -= slopes.of_norms[k]
    through = matrix_product(between.astype(products.moving.dtype), products.transposed)
    d_centers = np.zeros((n_clusters, n_features))
    d_log_weights = slopes.total[:n_clusters] / (memories.beta + memories.beta)
    for k in range(n_clusters):
        for j in range(n_features):
            if dynamics.moves[j] > 0:
                d_centers[k, j] = slopes.of_moving[k, j] + through[k, j]
            else:
                d_centers[k, j] = slopes.of_fixed[k, j]
                d_centers[k, j] -= slopes.total[k] * memories.centers[k, j]
    return d_centers, d_log_weights
