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

import math
from typing import NamedTuple

import numpy as np

from ._jit import kernel, lanewise, part
from .expansion import expands
from .reduce import to_exponentials
from .tiles import (
    LANES,
    add_products,
    add_weighted,
    aligned_zeros,
    load,
    padded_matrix,
    product,
    store,
    take,
    times,
)


def pays(memories, dynamics):
    """Whether to go through the space of memories: the one place where it is said.

    It does not depend on the rows, so that it is the same for all blocks.
    """
    n_clusters, n_features = memories.centers.shape
    few = dynamics.n_steps > 1 and 2 * n_clusters <= 3 * n_features
    return few and not dynamics.holes and expands(memories)


class Network(NamedTuple):
    """What the dynamics need of memories, padded; m: what moves, f: what does not."""

    n_clusters: int
    log_weights: np.ndarray  # (K,)
    beta: np.floating
    centers_m: np.ndarray  # (K, D) the centers, 0 where the state does not move
    centers_f: np.ndarray  # (K, D) the centers, 0 where it does
    between: np.ndarray  # (K, K) G: inner products over what moves
    norms: np.ndarray  # (K,) |center|^2
    first_norms: np.ndarray  # (K,) over what the first step sees
    moves: np.ndarray  # (D, 1) 1 where the state moves
    steps: np.ndarray  # (T,) their sizes
    growth: np.floating  # of an adjoint, beyond which it is damped
    sees: bool  # whether the first step sees what moves
    all_moves: bool
    zeros: np.ndarray  # (max(K, D),)

    @classmethod
    def of(cls, memories, dynamics):
        """The network of these memories."""
        centers = padded_matrix(memories.centers)
        moves, seen = padded_matrix(np.stack([dynamics.moves, dynamics.seen]))[:2]
        steps = np.full(dynamics.n_steps, dynamics.step_size)
        steps[0] = dynamics.first_step_size
        centers_m = centers * moves
        return cls(
            *(len(memories.log_weights), memories.log_weights, memories.beta),
            *(centers_m, centers - centers_m, inner_products(centers_m, centers_m)),
            *(np.square(centers).sum(axis=1), (np.square(centers) * seen).sum(axis=1)),
            *(moves[:, None], steps, dynamics.growth, bool((seen * moves).any())),
            *(bool(dynamics.moves.all()), np.zeros(max(centers.shape), centers.dtype)),
        )


def inner_products(left, right):
    """left @ right.T, for padded matrices."""
    out = np.empty((len(right), len(left)), left.dtype)
    store(times(left, load(right)), out)
    return np.ascontiguousarray(out.T)


class Way(NamedTuple):
    """The way of a tile of rows, as coefficients of the memories.

    Of S steps that are kept, step t is found under t modulo S.
    """

    of_m: np.ndarray  # (1, K, LANES) x . center over what moves
    of_f: np.ndarray  # (1, K, LANES) and over what does not
    alphas: np.ndarray  # (S + 1, 1, K, LANES), under t modulo S + 1
    posteriors: np.ndarray  # (S, 1, K, LANES)
    rests: np.ndarray  # (T + 1,) c_t
    of_lanes: np.ndarray  # (3, LANES) room for three numbers a lane

    @classmethod
    def empty(cls, network, n_steps):
        """Room for a way, of which so many steps are kept."""
        dtype, shape = network.steps.dtype, (1, len(network.between), LANES)
        return cls(
            *(aligned_zeros(shape, dtype), aligned_zeros(shape, dtype)),
            aligned_zeros((n_steps + 1, *shape), dtype),
            aligned_zeros((n_steps, *shape), dtype),
            np.append(dtype.type(1), np.cumprod(1 - network.steps)).astype(dtype),
            aligned_zeros((3, LANES), dtype),
        )


@part
def run(tiles, network, way):
    """Fill the way of a tile."""
    n_clusters, one = network.n_clusters, tiles.dtype.type(1.0)
    of_m, of_f, alphas, posteriors = way.of_m, way.of_f, way.alphas, way.posteriors
    n_kept, zero = alphas.shape[0], tiles.dtype.type(0.0)
    largest, total = way.of_lanes[0], way.of_lanes[1]
    product(network.centers_m, network.zeros, tiles, of_m)
    if not network.all_moves:
        product(network.centers_f, network.zeros, tiles, of_f)
    for t in range(network.steps.shape[0]):
        rest, norms, step = way.rests[t], network.norms, network.steps[t]
        if t == 0:
            norms = network.first_norms
            rest = rest if network.sees else zero
        before, p = alphas[t % n_kept], posteriors[t % posteriors.shape[0]]
        after = alphas[(t + 1) % n_kept]
        if t > 0:
            product(network.between, network.zeros, before, p)
        for k in range(n_clusters):
            logits, moving, fixed = p[0, k], of_m[0, k], of_f[0, k]
            if t == 0:
                for lane in range(LANES):
                    logits[lane] = before[0, k, lane] = zero
            for lane in range(LANES):
                inner = logits[lane] + fixed[lane] + rest * moving[lane]
                squared = norms[k] - (inner + inner)
                logits[lane] = network.log_weights[k] - network.beta * squared
        to_exponentials(p[0], n_clusters, largest, total)
        for lane in range(LANES):
            total[lane] = one / total[lane]
        for k in range(n_clusters):
            for lane in range(LANES):
                share = p[0, k, lane] * total[lane]
                p[0, k, lane], alpha = share, before[0, k, lane]
                after[0, k, lane] = alpha + step * (share - alpha)


@part
def change(tiles, network, transposed, way, out):
    """Write v(T) - x over what moves, 0 elsewhere."""
    alpha = way.alphas[network.steps.shape[0] % way.alphas.shape[0]]
    product(transposed, network.zeros, alpha, out)
    less = way.rests[-1] - tiles.dtype.type(1.0)
    for j in range(tiles.shape[1]):
        factor, values, rows = less * network.moves[j, 0], out[0, j], tiles[0, j]
        for lane in range(LANES):
            values[lane] += factor * rows[lane]


@lanewise
def weighted_square(values, w, of_lane):
    """The weighted sum of the squares of all values, by way of those of each lane."""
    total = 0.0
    for tile in range(values.shape[0]):
        for lane in range(LANES):
            of_lane[lane] = 0.0
        for j in range(values.shape[1]):
            away = values[tile, j]
            for lane in range(LANES):
                of_lane[lane] += away[lane] * away[lane]
        for lane in range(LANES):
            total += w[tile, lane] * of_lane[lane]
    return total


@part
def to_limits(squares, w, growth):
    """Turn |v(T) - x|^2 into what |g|^2 may become."""
    for lane in range(LANES):
        longest = growth * (w[lane] + w[lane])
        squares[lane] *= longest * longest


@part
def damp(squared, limit, damping):
    """Write what brings lengths back to their limits: 1, or less than that."""
    for lane in range(LANES):
        ratio = math.sqrt(limit[lane] / squared[lane])
        damping[lane] = ratio if squared[lane] > limit[lane] else 1.0


def retrieve(rows, memories, dynamics, out):
    """`dynamics.retrieve` through the space of memories."""
    follow(rows, np.ones(len(rows)), *_outset(memories, dynamics, 1), out)


def loss(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_loss` through the space of memories."""
    return (follow(rows, weights, *_outset(memories, dynamics, 1), rows[:0]),)


def _outset(memories, dynamics, n_kept):
    """The network, its memories as columns, and room for a tile and for its way."""
    network = Network.of(memories, dynamics)
    transposed = np.ascontiguousarray(network.centers_m.T)
    tile = aligned_zeros((2, 1, len(transposed), LANES), transposed.dtype)
    tile = Tile(*tile, *np.ones((2, 1, LANES)), *np.ones((3, LANES)))
    return network, transposed, tile, Way.empty(network, n_kept)


class Tile(NamedTuple):
    """Room for a tile of rows."""

    rows: np.ndarray  # (1, D, LANES)
    ends: np.ndarray  # (1, D, LANES)
    weights: np.ndarray  # (1, LANES) in float64, as those below
    ones: np.ndarray  # (1, LANES)
    squares: np.ndarray  # (LANES,) |v(T) - x|^2, then the limit of |g|^2
    squared: np.ndarray  # (LANES,) |g|^2
    far: np.ndarray  # (LANES,) |x|^2 over what moves


@kernel
def follow(rows, weights, network, transposed, tile, way, out):
    """Write v(T) of as many rows as `out` has; return the sum of w |v(T) - x|^2."""
    loss = 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile.rows, tile.weights)
        run(tile.rows, network, way)
        change(tile.rows, network, transposed, way, tile.ends)
        loss += weighted_square(tile.ends, tile.weights, tile.squares)
        for j in range(tile.rows.shape[1]):
            for lane in range(LANES):
                tile.ends[0, j, lane] += tile.rows[0, j, lane]
        store(tile.ends, out[start : start + LANES])
    return loss


class Back(NamedTuple):
    """The way back of a tile: all (1, K, LANES)."""

    gamma: np.ndarray  # the gradient with respect to the state is e x + M^T gamma
    z: np.ndarray  # and its inner products with the centers
    r: np.ndarray
    p: np.ndarray  # part of x, where it moves, in the gradient of the centers
    q: np.ndarray  # and where it does not


class Slopes(NamedTuple):
    """Sums over rows of what the gradient is made of, in float64.

    The gradient with respect to G, twice, is the sum over steps of ``step sigma
    gamma^T + r alpha^T``. As alpha is a sum of earlier sigma, and gamma one of later r
    and the last alpha, the second part is the transposed of the first but for `ends`.
    """

    of_m: np.ndarray  # (K, D) sum of p x^T
    of_f: np.ndarray  # (K, D) sum of q x^T
    between: np.ndarray  # (K, K) sum of step sigma gamma^T over steps
    ends: np.ndarray  # (K, K) sum of 2 w alpha alpha^T, of the last alpha
    diagonal: np.ndarray  # (n_clusters,) what its diagonal has less
    total: np.ndarray  # (n_clusters,) sum of r


def gradient(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_gradient` through the space of memories."""
    outset = _outset(memories, dynamics, dynamics.n_steps)
    network, _, _, way = outset
    shape, n = network.centers_m.shape, network.n_clusters
    slopes = Slopes(
        *(aligned_zeros(shape, float) for _ in range(2)),
        *(aligned_zeros(network.between.shape, float) for _ in range(2)),
        *(aligned_zeros((n,), float) for _ in range(2)),
    )
    back = Back(*(aligned_zeros(way.of_m.shape, way.of_m.dtype) for _ in range(5)))
    loss = there_and_back(rows, weights, *outset, back, slopes)
    return loss, *gradients(slopes, memories, network)


@kernel
def there_and_back(rows, weights, network, transposed, tile, way, back, slopes):
    """Take all rows forward and back, adding to the slopes; return the loss."""
    loss = 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile.rows, tile.weights)
        run(tile.rows, network, way)
        change(tile.rows, network, transposed, way, tile.ends)
        loss += weighted_square(tile.ends, tile.weights, tile.squares)
        go_back(tile, network, way, back, slopes)
        add_products(back.p, tile.rows, slopes.of_m)
        add_weighted(back.q, tile.ones, slopes.total)
        if not network.all_moves:
            add_products(back.q, tile.rows, slopes.of_f)
    return loss


@part
def go_back(tile, network, way, back, slopes):
    """The adjoint of `run`, damped as in `reconstruction`."""
    (gamma, z, r, p, q), w, lanes = back, tile.weights[0], way.of_lanes
    n_clusters, last = network.n_clusters, network.steps.shape[0]
    zero, one = z.dtype.type(0.0), z.dtype.type(1.0)
    e, mean, damping = lanes[0], lanes[1], lanes[2]
    limit, squared, far = tile.squares, tile.squared, tile.far
    to_limits(limit, w, network.growth)
    for lane in range(LANES):
        far[lane] = 0.0
    for j in range(network.moves.shape[0]):
        x = tile.rows[0, j]
        for lane in range(LANES):
            far[lane] += network.moves[j, 0] * x[lane] * x[lane]
    for lane in range(LANES):
        e[lane] = (w[lane] + w[lane]) * (way.rests[last] - one)
    for k in range(n_clusters):
        for lane in range(LANES):
            gamma[0, k, lane] = (w[lane] + w[lane]) * way.alphas[last, 0, k, lane]
            p[0, k, lane] = q[0, k, lane] = zero
    add_products(gamma, way.alphas[last], slopes.ends)
    for t in range(last - 1, -1, -1):
        step, sigma, sees = network.steps[t], way.posteriors[t], t > 0 or network.sees
        rest, left = way.rests[t] if sees else zero, one - step
        scale = network.beta + network.beta
        product(network.between, network.zeros, gamma, z)
        for lane in range(LANES):
            mean[lane], squared[lane] = zero, far[lane] * e[lane] * e[lane]
        for k in range(n_clusters):
            slope, inner, prob = z[0, k], way.of_m[0, k], sigma[0, k]
            weight = gamma[0, k]
            for lane in range(LANES):
                along = e[lane] * inner[lane]
                slope[lane] += along
                squared[lane] += np.float64(weight[lane]) * (slope[lane] + along)
                mean[lane] += prob[lane] * slope[lane]
                prob[lane] *= step
        damp(squared, limit, damping)
        add_products(sigma, gamma, slopes.between)
        for k in range(n_clusters):
            slope, prob, turn = z[0, k], sigma[0, k], r[0, k]
            of_p, of_q, weight = p[0, k], q[0, k], gamma[0, k]
            for lane in range(LANES):
                pull = scale * damping[lane] * prob[lane]
                turn[lane] = pull * (slope[lane] - mean[lane])
                of_q[lane] += turn[lane]
                of_p[lane] += e[lane] * prob[lane] + rest * turn[lane]
                weight[lane] = left * weight[lane] + turn[lane]
        if sees:
            add_weighted(r, tile.ones, slopes.diagonal)
        for lane in range(LANES):
            e[lane] *= left


def gradients(slopes, memories, network):
    """d centers (K, D) and d log_weights (K,)."""
    n_clusters, n_features = memories.centers.shape
    between = slopes.between + slopes.between.T - slopes.ends
    numbers = np.arange(n_clusters)
    between[numbers, numbers] -= slopes.diagonal
    transposed = np.ascontiguousarray(network.centers_m.T)
    through = inner_products(between.astype(transposed.dtype), transposed)
    moves, r = network.moves.T, slopes.total[:, None]
    d_centers = (moves * slopes.of_m + through)[:n_clusters]
    d_centers += ((1 - moves) * slopes.of_f)[:n_clusters]
    d_centers -= r * network.centers_f[:n_clusters]
    d_log_weights = slopes.total / (2 * float(memories.beta))
    return d_centers[:, :n_features].copy(), d_log_weights
