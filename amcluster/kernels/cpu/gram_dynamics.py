"""The dynamics by inner products (a Gram matrix): T steps cost about as much as one.

The state never leaves the span of the row x and the memories: over the coordinates
that move it is ``v(t) = c_t x + sum_k alpha_tk center_k``. Given the inner products of
the row with the memories, and the Gram matrix G of the memories, a step is one product
with G, whatever the number of features::

    a_k = log w_k - beta (|center_k|^2 - 2 (c_t x . center_k + (G alpha_t)_k))
    alpha <- (1 - step) alpha + step softmax(a),    c <- (1 - step) c

If some coordinates do not move, their inner products are added. In data space a step
costs two passes over all features of all memories, so this is faster unless there are
many more memories than features.
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
    """Whether the dynamics by inner products are used: the only place that decides.

    The answer does not depend on the rows, so it is the same for all blocks.
    """
    n_clusters, n_features = memories.centers.shape
    few = dynamics.n_steps > 1 and 2 * n_clusters <= 3 * n_features
    return few and not dynamics.missing and expands(memories)


class Network(NamedTuple):
    """Memories in the form that these dynamics use, padded.

    In names, m are the coordinates that move and f those that are fixed.
    """

    n_clusters: int
    log_weights: np.ndarray  # (K,)
    beta: np.floating
    centers_m: np.ndarray  # (K, D) the centers, 0 where the state does not move
    centers_f: np.ndarray  # (K, D) the centers, 0 where it does
    between: np.ndarray  # (K, K) G: inner products over the coordinates that move
    norms: np.ndarray  # (K,) |center|^2
    first_norms: np.ndarray  # (K,) the same over the coordinates the first step sees
    moves: np.ndarray  # (D, 1) 1 where the state moves
    steps: np.ndarray  # (T,) step sizes
    growth: np.floating  # an adjoint that grows by more than this factor is damped
    sees: bool  # whether the first step sees any coordinate that moves
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
            n_clusters=len(memories.log_weights),
            log_weights=memories.log_weights,
            beta=memories.reference_beta,
            centers_m=centers_m,
            centers_f=centers - centers_m,
            between=inner_products(centers_m, centers_m),
            norms=np.square(centers).sum(axis=1),
            first_norms=(np.square(centers) * seen).sum(axis=1),
            moves=moves[:, None],
            steps=steps,
            growth=dynamics.growth,
            sees=bool((seen * moves).any()),
            all_moves=bool(dynamics.moves.all()),
            zeros=np.zeros(max(centers.shape), centers.dtype),
        )


def inner_products(left, right):
    """left @ right.T, for padded matrices."""
    out = np.empty((len(right), len(left)), left.dtype)
    store(times(left, load(right)), out)
    return np.ascontiguousarray(out.T)


class Path(NamedTuple):
    """The path of a tile of rows, as coefficients of the memories.

    S steps are kept; step t is stored at index t modulo S.
    """

    of_m: np.ndarray  # (1, K, LANES) x . center over the coordinates that move
    of_f: np.ndarray  # (1, K, LANES) and over those that do not
    alphas: np.ndarray  # (S + 1, 1, K, LANES), at index t modulo S + 1
    posteriors: np.ndarray  # (S, 1, K, LANES)
    rests: np.ndarray  # (T + 1,) c_t
    of_lanes: np.ndarray  # (3, LANES) room for three numbers per lane

    @classmethod
    def empty(cls, network, n_steps):
        """Room for a path of which `n_steps` steps are kept."""
        dtype, shape = network.steps.dtype, (1, len(network.between), LANES)
        rests = np.append(dtype.type(1), np.cumprod(1 - network.steps))
        return cls(
            of_m=aligned_zeros(shape, dtype),
            of_f=aligned_zeros(shape, dtype),
            alphas=aligned_zeros((n_steps + 1, *shape), dtype),
            posteriors=aligned_zeros((n_steps, *shape), dtype),
            rests=rests.astype(dtype),
            of_lanes=aligned_zeros((3, LANES), dtype),
        )


@part
def run(tiles, network, path):
    """Compute the path of a tile."""
    n_clusters, one = network.n_clusters, tiles.dtype.type(1.0)
    of_m, of_f, alphas, posteriors = path.of_m, path.of_f, path.alphas, path.posteriors
    n_kept, zero = alphas.shape[0], tiles.dtype.type(0.0)
    largest, total = path.of_lanes[0], path.of_lanes[1]
    product(network.centers_m, network.zeros, tiles, of_m)
    if not network.all_moves:
        product(network.centers_f, network.zeros, tiles, of_f)
    for t in range(network.steps.shape[0]):
        rest, norms, step = path.rests[t], network.norms, network.steps[t]
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
def change(tiles, network, transposed, path, out):
    """Write v(T) - x over the coordinates that move, 0 elsewhere."""
    alpha = path.alphas[network.steps.shape[0] % path.alphas.shape[0]]
    product(transposed, network.zeros, alpha, out)
    less = path.rests[-1] - tiles.dtype.type(1.0)
    for j in range(tiles.shape[1]):
        factor, values, rows = less * network.moves[j, 0], out[0, j], tiles[0, j]
        for lane in range(LANES):
            values[lane] += factor * rows[lane]


@lanewise
def weighted_square(values, w, of_lane):
    """The weighted sum of squares of all values; of_lane gets those of each lane."""
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
    """Turn |v(T) - x|^2 into the largest |g|^2 that is not damped."""
    for lane in range(LANES):
        longest = growth * (w[lane] + w[lane])
        squares[lane] *= longest * longest


@part
def damp(squared, limit, damping):
    """Write the factors, at most 1, that bring lengths back to their limits."""
    for lane in range(LANES):
        ratio = math.sqrt(limit[lane] / squared[lane])
        damping[lane] = ratio if squared[lane] > limit[lane] else 1.0


def retrieve(rows, memories, dynamics, out):
    """`dynamics.retrieve` by inner products."""
    follow(rows, np.ones(len(rows)), *_outset(memories, dynamics, 1), out)


def loss(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_loss` by inner products."""
    return (follow(rows, weights, *_outset(memories, dynamics, 1), rows[:0]),)


def _outset(memories, dynamics, n_kept):
    """The network, its memories as columns, and room for a tile and for its path."""
    network = Network.of(memories, dynamics)
    transposed = np.ascontiguousarray(network.centers_m.T)
    tile = aligned_zeros((2, 1, len(transposed), LANES), transposed.dtype)
    tile = Tile(*tile, *np.ones((2, 1, LANES)), *np.ones((3, LANES)))
    return network, transposed, tile, Path.empty(network, n_kept)


class Tile(NamedTuple):
    """Room for a tile of rows."""

    rows: np.ndarray  # (1, D, LANES)
    ends: np.ndarray  # (1, D, LANES)
    weights: np.ndarray  # (1, LANES) float64, like all fields below
    ones: np.ndarray  # (1, LANES)
    squares: np.ndarray  # (LANES,) |v(T) - x|^2, then the limit of |g|^2
    squared: np.ndarray  # (LANES,) |g|^2
    far: np.ndarray  # (LANES,) |x|^2 over the coordinates that move


@kernel
def follow(rows, weights, network, transposed, tile, path, out):
    """Write v(T) for as many rows as `out` has; return the sum of w |v(T) - x|^2."""
    loss = 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile.rows, tile.weights)
        run(tile.rows, network, path)
        change(tile.rows, network, transposed, path, tile.ends)
        loss += weighted_square(tile.ends, tile.weights, tile.squares)
        for j in range(tile.rows.shape[1]):
            for lane in range(LANES):
                tile.ends[0, j, lane] += tile.rows[0, j, lane]
        store(tile.ends, out[start : start + LANES])
    return loss


class Back(NamedTuple):
    """The adjoint of a tile: all (1, K, LANES)."""

    gamma: np.ndarray  # the gradient with respect to the state is e x + M^T gamma
    z: np.ndarray  # inner products of that gradient with the centers
    r: np.ndarray  # as in `reconstruction`
    p: np.ndarray  # coefficients of x in the gradient of the centers, where x moves
    q: np.ndarray  # and where it does not


class Slopes(NamedTuple):
    """Sums over rows from which the gradient is computed, in float64.

    Twice the gradient with respect to G is the sum over steps of ``step sigma gamma^T +
    r alpha^T``. As alpha is a sum of earlier sigma, and gamma a sum of later r and the
    last alpha, the second part is the transpose of the first, except for `ends`.
    """

    of_m: np.ndarray  # (K, D) sum of p x^T
    of_f: np.ndarray  # (K, D) sum of q x^T
    between: np.ndarray  # (K, K) sum of step sigma gamma^T over steps
    ends: np.ndarray  # (K, K) sum of 2 w alpha alpha^T, for the last alpha
    diagonal: np.ndarray  # (n_clusters,) to be subtracted from the diagonal
    total: np.ndarray  # (n_clusters,) sum of r


def gradient(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_gradient` by inner products."""
    outset = _outset(memories, dynamics, dynamics.n_steps)
    network, _, _, path = outset
    shape, square = network.centers_m.shape, network.between.shape
    shapes = Slopes(
        of_m=shape,
        of_f=shape,
        between=square,
        ends=square,
        diagonal=(network.n_clusters,),
        total=(network.n_clusters,),
    )
    slopes = Slopes._make(aligned_zeros(shape, float) for shape in shapes)
    of_m = path.of_m
    back = Back._make(aligned_zeros(of_m.shape, of_m.dtype) for _ in Back._fields)
    loss = there_and_back(rows, weights, *outset, back, slopes)
    return loss, *gradients(slopes, memories, network)


@kernel
def there_and_back(rows, weights, network, transposed, tile, path, back, slopes):
    """Run all rows forward and backward, adding to the slopes; return the loss."""
    loss = 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile.rows, tile.weights)
        run(tile.rows, network, path)
        change(tile.rows, network, transposed, path, tile.ends)
        loss += weighted_square(tile.ends, tile.weights, tile.squares)
        go_back(tile, network, path, back, slopes)
        add_products(back.p, tile.rows, slopes.of_m)
        add_weighted(back.q, tile.ones, slopes.total)
        if not network.all_moves:
            add_products(back.q, tile.rows, slopes.of_f)
    return loss


@part
def go_back(tile, network, path, back, slopes):
    """The adjoint of `run`, damped as in `reconstruction`."""
    e, mean, damping = path.of_lanes[0], path.of_lanes[1], path.of_lanes[2]
    last, one = network.steps.shape[0], e.dtype.type(1.0)
    start_back(tile, network, path, e, back)
    add_products(back.gamma, path.alphas[last], slopes.ends)
    for t in range(last - 1, -1, -1):
        step, sigma, sees = network.steps[t], path.posteriors[t], t > 0 or network.sees
        rest, left = path.rests[t] if sees else e.dtype.type(0.0), one - step
        product(network.between, network.zeros, back.gamma, back.z)
        to_inner_products(tile, network, step, sigma, path.of_m, e, mean, back)
        damp(tile.squared, tile.squares, damping)
        add_products(sigma, back.gamma, slopes.between)
        through_posterior(network, sigma, rest, left, e, mean, damping, back)
        if sees:
            add_weighted(back.r, tile.ones, slopes.diagonal)
        for lane in range(LANES):
            e[lane] *= left


@part
def start_back(tile, network, path, e, back):
    """Write the adjoint of v(T), its limit and |x|^2 over the coordinates that move."""
    w, far, last = tile.weights[0], tile.far, network.steps.shape[0]
    zero, one = e.dtype.type(0.0), e.dtype.type(1.0)
    to_limits(tile.squares, w, network.growth)
    for lane in range(LANES):
        far[lane] = 0.0
    for j in range(network.moves.shape[0]):
        x = tile.rows[0, j]
        for lane in range(LANES):
            far[lane] += network.moves[j, 0] * x[lane] * x[lane]
    for lane in range(LANES):
        e[lane] = (w[lane] + w[lane]) * (path.rests[last] - one)
    for k in range(network.n_clusters):
        for lane in range(LANES):
            alpha = path.alphas[last, 0, k, lane]
            back.gamma[0, k, lane] = (w[lane] + w[lane]) * alpha
            back.p[0, k, lane] = back.q[0, k, lane] = zero


@part
def to_inner_products(tile, network, step, sigma, of_m, e, mean, back):
    """Add the row's part to z; write its mean under sigma and |g|^2; scale sigma."""
    squared, far = tile.squared, tile.far
    for lane in range(LANES):
        mean[lane], squared[lane] = e.dtype.type(0.0), far[lane] * e[lane] * e[lane]
    for k in range(network.n_clusters):
        slope, inner, prob = back.z[0, k], of_m[0, k], sigma[0, k]
        weight = back.gamma[0, k]
        for lane in range(LANES):
            along = e[lane] * inner[lane]
            slope[lane] += along
            squared[lane] += np.float64(weight[lane]) * (slope[lane] + along)
            mean[lane] += prob[lane] * slope[lane]
            prob[lane] *= step


@part
def through_posterior(network, sigma, rest, left, e, mean, damping, back):
    """Write r, and carry gamma, p and q one step back; sigma is scaled by the step."""
    scale = network.beta + network.beta
    for k in range(network.n_clusters):
        slope, prob, turn = back.z[0, k], sigma[0, k], back.r[0, k]
        of_p, of_q, weight = back.p[0, k], back.q[0, k], back.gamma[0, k]
        for lane in range(LANES):
            factor = scale * damping[lane] * prob[lane]
            turn[lane] = factor * (slope[lane] - mean[lane])
            of_q[lane] += turn[lane]
            of_p[lane] += e[lane] * prob[lane] + rest * turn[lane]
            weight[lane] = left * weight[lane] + turn[lane]


def gradients(slopes, memories, network):
    """d centers (K, D) and d log_weights (K,)."""
    n_clusters, n_features = memories.centers.shape
    between = slopes.between + slopes.between.T - slopes.ends
    indices = np.arange(n_clusters)
    between[indices, indices] -= slopes.diagonal
    transposed = np.ascontiguousarray(network.centers_m.T)
    through = inner_products(between.astype(transposed.dtype), transposed)
    moves, r = network.moves.T, slopes.total[:, None]
    d_centers = (moves * slopes.of_m + through)[:n_clusters]
    d_centers += ((1 - moves) * slopes.of_f)[:n_clusters]
    d_centers -= r * network.centers_f[:n_clusters]
    d_log_weights = slopes.total / (2 * float(memories.reference_beta))
    return d_centers[:, :n_features].copy(), d_log_weights
