"""The dynamics by inner products, as in `cpu/gram_dynamics.py`.

The mathematics is there, and the rule when this way is faster.
"""

import math
from typing import NamedTuple

import numpy as np

from ..cpu.gram_dynamics import pays
from ._jit import cuda, kernel, part
from ._launch import launch
from .expectation import project
from .reduce import to_posteriors
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    add_products,
    add_sums,
    lane_of,
    own,
    product,
    store,
    sum_of_lane,
    tile_at,
    tiles_of,
    weight_of_lane,
)

__all__ = ["gradient", "loss", "pays", "retrieve"]


class Network(NamedTuple):
    """Memories in the form that these dynamics use."""

    log_weights: np.ndarray  # (K,)
    beta: np.floating
    centers: np.ndarray  # (1 or 2, K, D) 0 where the state is fixed, 0 where it moves
    between: np.ndarray  # (K, K) G: inner products over the coordinates that move
    norms: np.ndarray  # (2, K) |center|^2 over those seen by the first step, over all
    moves: np.ndarray  # (D,) 1 where the state moves
    steps: np.ndarray  # (T,) step sizes
    rests: np.ndarray  # (T + 1,) c_t
    growth: np.floating  # an adjoint that grows by more than this factor is damped
    sees: bool  # whether the first step sees any coordinate that moves

    @classmethod
    def of(cls, memories, dynamics):
        """The network of these memories."""
        centers, moves, seen = memories.centers, dynamics.moves, dynamics.seen
        steps = np.full(dynamics.n_steps, dynamics.step_size, centers.dtype)
        steps[0] = dynamics.first_step_size
        moving, squared = centers * moves, np.square(centers)
        fixed = () if moves.all() else (centers - moving,)
        between = np.empty((len(centers), len(centers)), centers.dtype)
        project(moving, memories, np.ascontiguousarray(moving.T), between)
        return cls(
            log_weights=memories.log_weights,
            beta=memories.reference_beta,
            centers=np.stack([moving, *fixed]),
            between=between,
            norms=np.stack([(squared * seen).sum(axis=1), squared.sum(axis=1)]),
            moves=moves,
            steps=steps,
            rests=np.append(1, np.cumprod(1 - steps)).astype(centers.dtype),
            growth=dynamics.growth,
            sees=bool((seen * moves).any()),
        )


def room_of(network):
    """Shapes of x . center, alpha and posteriors of all steps, and v(T) - x."""
    n_parts, n_clusters, n_features = network.centers.shape
    n_steps = len(network.steps)
    of_steps = (n_steps + 1, n_clusters), (n_steps, n_clusters)
    return [(n_parts, n_clusters), *of_steps, (n_features,)]


@part
def run(x, network, of_x, alphas, posteriors, shared):
    """Compute the path of a tile."""
    lane, zero = cuda.threadIdx.x, shared.dtype.type(0)
    n_parts, n_clusters = network.centers.shape[0], network.centers.shape[1]
    for of_part in range(n_parts):
        product(network.centers[of_part], x, of_x[of_part], shared)
    for k in own(n_clusters):
        alphas[0, k, lane] = zero
    for t in range(network.steps.shape[0]):
        step, norms = network.steps[t], network.norms[min(t, 1)]
        rest = network.rests[t] if t > 0 or network.sees else zero
        p = posteriors[t]
        product(network.between, alphas[t], p, shared)
        for k in own(n_clusters):
            inner = p[k, lane] + rest * of_x[0, k, lane]
            if n_parts > 1:
                inner += of_x[1, k, lane]
            squared = norms[k] - (inner + inner)
            p[k, lane] = network.log_weights[k] - network.beta * squared
        to_posteriors(p, n_clusters, shared)
        for k in own(n_clusters):
            before = alphas[t, k, lane]
            alphas[t + 1, k, lane] = before + step * (p[k, lane] - before)


@part
def change(x, network, alphas, out, shared):
    """Write v(T) - x, 0 where the state is fixed; return this thread's squares."""
    lane, of_x, n_steps = cuda.threadIdx.x, lane_of(x), network.steps.shape[0]
    product(network.centers[0].T, alphas[n_steps], out, shared)
    less, squared = network.rests[n_steps] - x.dtype.type(1), x.dtype.type(0)
    for j in own(x.shape[0]):
        away = out[j, lane] + less * network.moves[j] * x[j, of_x]
        out[j, lane] = away
        squared += away * away
    return squared


@kernel
def write_ends(rows, network, of_x, alphas, posteriors, ends, out):
    """`retrieve`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane = cuda.blockIdx.x, cuda.threadIdx.x
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        run(x, network, of_x[block], alphas[block], posteriors[block], shared)
        change(x, network, alphas[block], ends[block], shared)
        for j in own(x.shape[0]):
            ends[block, j, lane] += x[j, lane_of(x)]
        store(ends[block], start, out)


@kernel
def sum_loss(rows, weights, network, of_x, alphas, posteriors, ends, losses):
    """`loss`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block = cuda.blockIdx.x
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        run(x, network, of_x[block], alphas[block], posteriors[block], shared)
        squared = change(x, network, alphas[block], ends[block], shared)
        losses[block, cuda.threadIdx.y, cuda.threadIdx.x] += w * squared


@part
def unit_of(w, squared, growth, shared):
    """1 over the largest length of an adjoint that is not damped.

    `squared` is this thread's part of |v(T) - x|^2.
    """
    longest = growth * (w + w) * math.sqrt(sum_of_lane(squared, shared))
    zero, one = shared.dtype.type(0), shared.dtype.type(1)
    return one / longest if longest > zero else zero


@part
def damping_of(squared, shared):
    """The factor, at most 1, that limits an adjoint to a length of 1.

    `squared` is this thread's part of its squared length, in multiples of the unit.
    """
    squared, one = sum_of_lane(squared, shared), shared.dtype.type(1)
    return one / math.sqrt(squared) if squared > one else one


@part
def go_back(x, w, unit, network, of_x, alphas, posteriors, back, sums, shared):
    """The adjoint of `run`; `back` has gamma, z, and the coefficients p and q of x."""
    lane, zero = cuda.threadIdx.x, shared.dtype.type(0)
    n_clusters, last = network.between.shape[0], network.steps.shape[0]
    gamma, z, of_m, of_f = back[0], back[1], back[2], back[3]
    between, ends, diagonal = sums
    e, far = (w + w) * (network.rests[last] - shared.dtype.type(1)), zero
    for j in own(x.shape[0]):
        far += network.moves[j] * x[j, lane_of(x)] * x[j, lane_of(x)]
    for k in own(n_clusters):
        gamma[k, lane] = (w + w) * alphas[last, k, lane]
        of_m[k, lane] = zero
        of_f[k, lane] = zero
    add_products(gamma, alphas[last], ends, shared)
    for t in range(last - 1, -1, -1):
        product(network.between, gamma, z, shared)
        # Numbers that live during a product take registers, of which it needs most.
        step, sigma, sees = network.steps[t], posteriors[t], t > 0 or network.sees
        rest, left = network.rests[t] if sees else zero, shared.dtype.type(1) - step
        scale, mean = network.beta + network.beta, zero
        squared = (unit * e) * (unit * e) * far
        for k in own(n_clusters):
            inner = e * of_x[0, k, lane]
            z[k, lane] += inner
            squared += unit * gamma[k, lane] * (unit * (z[k, lane] + inner))
            mean += sigma[k, lane] * z[k, lane]
            sigma[k, lane] *= step
        mean = sum_of_lane(mean, shared)
        damping = damping_of(squared, shared)
        add_products(sigma, gamma, between, shared)
        for k in own(n_clusters):
            r = scale * sigma[k, lane] * (z[k, lane] - mean) * damping
            of_f[k, lane] += r
            of_m[k, lane] += e * sigma[k, lane] + rest * r
            gamma[k, lane] = left * gamma[k, lane] + r
            z[k, lane] = r
        if sees:
            add_sums(z, diagonal, shared)
        e *= left


@kernel
def sum_gradient(
    rows,
    weights,
    network,
    of_x,
    alphas,
    posteriors,
    end,
    back,
    losses,
    centers,
    between,
    ends,
    diagonal,
    totals,
):
    """The loss and the sums that `gradients` needs, as in `cpu/gram_dynamics.py`.

    Twice the gradient with respect to G is the sum over steps of ``step sigma gamma^T +
    r alpha^T``. As alpha is a sum of earlier sigma, and gamma a sum of later r and the
    last alpha, the second part is the transpose of the first, except for `ends` and
    `diagonal`.
    """
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block = cuda.blockIdx.x
    sums = between[block], ends[block], diagonal[block]
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        run(x, network, of_x[block], alphas[block], posteriors[block], shared)
        squared = change(x, network, alphas[block], end[block], shared)
        losses[block, cuda.threadIdx.y, cuda.threadIdx.x] += w * squared
        unit = unit_of(w, squared, network.growth, shared)
        go_back(
            x,
            w,
            unit,
            network,
            of_x[block],
            alphas[block],
            posteriors[block],
            back[block],
            sums,
            shared,
        )
        for number in range(network.centers.shape[0]):
            add_products(back[block, 2 + number], x, centers[block, number], shared)
        add_sums(back[block, 3], totals[block], shared)


def retrieve(rows, memories, dynamics, out):
    """`dynamics.retrieve` by inner products."""
    network = Network.of(memories, dynamics)
    launch(write_ends, rows, network, room=room_of(network), out=[out])


def loss(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_loss` by inner products."""
    network = Network.of(memories, dynamics)
    (losses,) = launch(
        sum_loss,
        rows,
        weights,
        network,
        room=room_of(network),
        sums=[(PARTS, LANES)],
    )
    return (float(losses.sum()),)


def gradient(rows, weights, memories, dynamics):
    """`reconstruction.reconstruction_gradient` by inner products."""
    network, n_clusters = Network.of(memories, dynamics), len(memories.centers)
    square = n_clusters, n_clusters
    losses, *sums = launch(
        sum_gradient,
        rows,
        weights,
        network,
        room=[*room_of(network), (4, n_clusters)],
        sums=[
            (PARTS, LANES),
            network.centers.shape,
            square,
            square,
            (n_clusters,),
            (n_clusters,),
        ],
    )
    return float(losses.sum()), *gradients(sums, memories, network)


def gradients(sums, memories, network):
    """d centers (K, D) and d log_weights (K,)."""
    of_x, between, ends, diagonal, totals = sums
    moving, *fixed = network.centers
    between = between + between.T - ends - np.diag(diagonal)
    through = np.empty_like(moving)
    project(between.astype(moving.dtype), memories, moving, through)
    d_centers = network.moves * of_x[0] + through
    if fixed:
        d_centers += (1 - network.moves) * of_x[1] - totals[:, None] * fixed[0]
    return d_centers, totals / (2 * float(memories.reference_beta))
