"""The reconstruction loss sum_n w_n |m * (x_n - v_n(T))|^2 and its gradient.

The mathematics is in `cpu/reconstruction.py`. The states themselves are stored here, in
memory of the block; `gram_dynamics` does the same with fewer numbers.
"""

import numpy as np

from ...kernels import refuse_other_energies
from ..cuda import gram_dynamics
from ._jit import cuda, kernel, part
from ._launch import launch
from .gram_dynamics import damping_of, unit_of
from .reduce import to_logits, to_posteriors
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    add_products,
    add_sums,
    lane_of,
    own,
    product,
    squares,
    squares_of_seen,
    sum_of_lane,
    tile_at,
    tiles_of,
    weight_of_lane,
)


@part
def size_of_step(t, j, missing, dynamics):
    """The size of step t in coordinate j; 0 if it is fixed."""
    if t == 0:
        size = dynamics.first_step_size * dynamics.moves[j]
        return dynamics.moves.dtype.type(1) if missing else size
    return dynamics.step_size if missing else dynamics.step_size * dynamics.moves[j]


@part
def is_missing(x, j, lane, dynamics):
    """Whether coordinate j of a row is missing."""
    return dynamics.missing and x[j, lane] != x[j, lane]


@part
def run(x, memories, dynamics, states, means, posteriors, shared):
    """Compute the path of a tile.

    After the states come the values that the first step sees, NaN where it sees none.
    """
    lane, of_x = cuda.threadIdx.x, lane_of(x)
    zero, nan = x.dtype.type(0), x.dtype.type(np.nan)
    n_features, n_clusters = x.shape[0], memories.log_weights.shape[0]
    looked_at = states[dynamics.n_steps + 1]
    for j in own(n_features):
        value = zero if is_missing(x, j, of_x, dynamics) else x[j, of_x]
        states[0, j, lane] = value
        is_seen = dynamics.seen[j] > zero and not is_missing(x, j, of_x, dynamics)
        looked_at[j, lane] = value if is_seen else nan
    for t in range(dynamics.n_steps):
        if t == 0:
            squares_of_seen(memories.centers, looked_at, posteriors[t], shared)
        else:
            squares(memories.centers, states[t], posteriors[t], shared)
        to_logits(posteriors[t], zero, memories, posteriors[t])
        to_posteriors(posteriors[t], n_clusters, shared)
        product(memories.centers.T, posteriors[t], means[t], shared)
        for j in own(n_features):
            size = size_of_step(t, j, is_missing(x, j, of_x, dynamics), dynamics)
            before = states[t, j, lane]
            states[t + 1, j, lane] = before + size * (means[t, j, lane] - before)


@part
def judge(x, dynamics, states, g):
    """Write v(T) - x into g, 0 where the two are not compared.

    Returns this thread's sum of squares.
    """
    lane, of_x, squared = cuda.threadIdx.x, lane_of(x), x.dtype.type(0)
    for j in own(x.shape[0]):
        judged = dynamics.moves[j]
        if is_missing(x, j, of_x, dynamics):
            judged = x.dtype.type(0)
        away = judged * (states[dynamics.n_steps, j, lane] - states[0, j, lane])
        g[j, lane] = away
        squared += away * away
    return squared


@part
def run_back(
    x,
    w,
    unit,
    memories,
    dynamics,
    states,
    means,
    posteriors,
    back,
    along,
    sums,
    shared,
):
    """Carry g back from v(T) to v(0), adding to the sums at each step."""
    lane, of_x = cuda.threadIdx.x, lane_of(x)
    n_features, n_clusters = x.shape[0], memories.log_weights.shape[0]
    zero, scale = x.dtype.type(0), memories.beta[0] + memories.beta[0]
    g, h, turned = back[0], back[1], back[2]
    centers, seen, r = sums
    for j in own(n_features):
        g[j, lane] *= w + w
    for t in range(dynamics.n_steps - 1, -1, -1):
        mean, squared = zero, zero
        for j in own(n_features):
            size = size_of_step(t, j, is_missing(x, j, of_x, dynamics), dynamics)
            length = unit * g[j, lane] if size > zero else zero
            moved = size * g[j, lane]
            h[j, lane] = moved
            g[j, lane] -= moved
            mean += means[t, j, lane] * moved
            squared += length * length
        mean = sum_of_lane(mean, shared)
        damping = damping_of(squared, shared)
        product(memories.centers, h, along, shared)
        for k in own(n_clusters):
            slope = posteriors[t, k, lane] * (along[k, lane] - mean) * damping
            along[k, lane] = scale * slope
        add_products(posteriors[t], h, centers, shared)
        add_sums(along, r[min(t, 1)], shared)
        if t == 0:
            for j in own(n_features):
                looks = states[dynamics.n_steps + 1, j, lane] == states[0, j, lane]
                h[j, lane] = x.dtype.type(1) if looks else zero
                states[0, j, lane] *= h[j, lane]
            add_products(along, h, seen, shared)
        add_products(along, states[t], centers, shared)
        if t > 0:
            product(memories.centers.T, along, turned, shared)
            for j in own(n_features):
                g[j, lane] += turned[j, lane]


@kernel
def sum_loss(rows, weights, memories, dynamics, states, means, posteriors, g, losses):
    """`reconstruction_loss`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block = cuda.blockIdx.x
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        run(
            x,
            memories,
            dynamics,
            states[block],
            means[block],
            posteriors[block],
            shared,
        )
        squared = judge(x, dynamics, states[block], g[block])
        losses[block, cuda.threadIdx.y, cuda.threadIdx.x] += w * squared


@kernel
def sum_gradient(
    rows,
    weights,
    memories,
    dynamics,
    states,
    means,
    posteriors,
    back,
    along,
    losses,
    centers,
    seen,
    r,
):
    """`reconstruction_gradient`: loss, and sums of p h^T + r v^T, r seen^T and r."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block = cuda.blockIdx.x
    sums = centers[block], seen[block], r[block]
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        run(
            x,
            memories,
            dynamics,
            states[block],
            means[block],
            posteriors[block],
            shared,
        )
        squared = judge(x, dynamics, states[block], back[block, 0])
        losses[block, cuda.threadIdx.y, cuda.threadIdx.x] += w * squared
        unit = unit_of(w, squared, dynamics.growth, shared)
        run_back(
            x,
            w,
            unit,
            memories,
            dynamics,
            states[block],
            means[block],
            posteriors[block],
            back[block],
            along[block],
            sums,
            shared,
        )


def room_of(memories, dynamics):
    """Shapes of the states, the means u and the posteriors of all steps."""
    (n_clusters, n_features), n_steps = memories.centers.shape, dynamics.n_steps
    return [(n_steps + 2, n_features), (n_steps, n_features), (n_steps, n_clusters)]


def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    refuse_other_energies(memories)
    if gram_dynamics.pays(memories, dynamics):
        return gram_dynamics.loss(rows, weights, memories, dynamics)
    (losses,) = launch(
        sum_loss,
        rows,
        weights,
        memories,
        dynamics,
        room=[*room_of(memories, dynamics), memories.centers.shape[1:]],
        sums=[(PARTS, LANES)],
    )
    return (float(losses.sum()),)


def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    refuse_other_energies(memories)
    if gram_dynamics.pays(memories, dynamics):
        return gram_dynamics.gradient(rows, weights, memories, dynamics)
    shape = n_clusters, n_features = memories.centers.shape
    losses, centers, seen, r = launch(
        sum_gradient,
        rows,
        weights,
        memories,
        dynamics,
        room=[*room_of(memories, dynamics), (3, n_features), (n_clusters,)],
        sums=[(PARTS, LANES), shape, shape, (2, n_clusters)],
    )
    d_centers = centers - (seen + r[1][:, None]) * memories.centers
    d_log_weights = r.sum(axis=0) / (2 * float(memories.reference_beta))
    return float(losses.sum()), d_centers, d_log_weights
