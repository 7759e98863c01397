"""The reconstruction loss sum_n w_n |m * (x_n - v_n(T))|^2 and its gradient.

The gradient is the adjoint of the T steps, written by hand: with g the gradient with
respect to v(t+1), and the posterior p, its mean u and the state v of step t,

    h = step * m * g
    r_k = 2 beta p_k (center_k - u) . h
    d center_k += p_k h + r_k (v - center_k)
    d log_weight_k += r_k / (2 beta)
    g <- g - h + sum_k r_k center_k

where the sum of the r_k is 0. Only the coordinates the step sees enter v - center_k.
Missing values (NaN) are not seen by the first step, which replaces them by what the
memories expect, and they do not count in the loss.

Between two memories the loss of a row is a jump rather than a slope: g grows with every
step back, to thousands of times its length, and one row in a hundred thousand can
dominate the sum over all rows. So g is limited: where it is longer, over the
coordinates that move, than `growth` times its length at v(T), r is multiplied by the
ratio of the two lengths. Without such rows the result is the exact gradient.

The states themselves are stored here; `gram_dynamics` does the same with fewer numbers.
"""

from typing import NamedTuple

import numpy as np

from ...kernels import refuse_other_energies
from ..cpu import gram_dynamics
from ._jit import kernel, part
from .gram_dynamics import damp, to_limits, weighted_square
from .reduce import to_exponentials, to_logits
from .tiles import (
    LANES,
    add_products,
    add_weighted,
    aligned_zeros,
    load,
    load_lanes,
    padded_matrix,
    product,
    squares,
    squares_of_seen,
)


class Plan(NamedTuple):
    """How the coordinates of each lane move: one tile for all rows, or one for each."""

    starts: np.ndarray  # (n_tiles, n_features, LANES) the rows, 0 if missing
    looked_at: np.ndarray  # (n_tiles, n_features, LANES) NaN if unseen by step 1
    first: np.ndarray  # (1 or n_tiles, n_features, LANES) size of the first step
    later: np.ndarray  # and of the others
    seen: np.ndarray  # 1 if the first step sees the coordinate
    judged: np.ndarray  # 1 where the last state is compared to the row
    sees_all: bool  # whether the first step sees all coordinates
    growth: np.floating  # an adjoint that grows by more than this factor is damped

    @classmethod
    def of(cls, rows, dynamics):
        """The plan for a block of rows."""
        tiles = load(rows)
        features = np.stack([dynamics.moves, dynamics.seen], axis=1)
        columns = padded_matrix(features).T[:2, None, :, None]
        moves, seen = np.ascontiguousarray(columns)
        missing = np.isnan(tiles) if dynamics.missing else np.zeros((1, 1, LANES), bool)
        zero, one, nan = (tiles.dtype.type(number) for number in (0, 1, np.nan))
        seen = np.where(missing, zero, seen)
        sees_all = bool(dynamics.seen.all()) and not dynamics.missing
        return cls(
            starts=np.where(missing, zero, tiles),
            looked_at=tiles if sees_all else np.where(seen > 0, tiles, nan),
            first=np.where(missing, one, dynamics.first_step_size * moves),
            later=np.where(missing, dynamics.step_size, dynamics.step_size * moves),
            seen=seen,
            judged=np.where(missing, zero, moves),
            sees_all=sees_all,
            growth=dynamics.growth,
        )


class Path(NamedTuple):
    """The path of a tile of rows, and room for its adjoint: all (1, ..., LANES)."""

    states: np.ndarray  # (n_steps + 1, 1, n_features, LANES)
    means: np.ndarray  # (n_steps, 1, n_features, LANES) the mean u of each step
    posteriors: np.ndarray  # (n_steps, 1, n_clusters, LANES)
    g: np.ndarray  # n_features
    h: np.ndarray  # n_features
    back: np.ndarray  # n_features
    along: np.ndarray  # n_clusters
    of_lanes: np.ndarray  # (2, LANES) two numbers per lane
    ones: np.ndarray  # (1, LANES) float64, like the next two fields
    squares: np.ndarray  # (LANES,) |v(T) - x|^2, then the limit of |g|^2
    squared: np.ndarray  # (LANES,) |g|^2
    zeros: np.ndarray  # (max(n_features, n_clusters),)

    @classmethod
    def empty(cls, centers, n_steps):
        """Room for a path; centers are padded."""
        of_state = 1, centers.shape[1], LANES
        of_memories = 1, centers.shape[0], LANES

        def zeros(*shape):
            return aligned_zeros(shape, centers.dtype)

        return cls(
            states=zeros(n_steps + 1, *of_state),
            means=zeros(n_steps, *of_state),
            posteriors=zeros(n_steps, *of_memories),
            g=zeros(*of_state),
            h=zeros(*of_state),
            back=zeros(*of_state),
            along=zeros(*of_memories),
            of_lanes=zeros(2, LANES),
            ones=np.ones((1, LANES)),
            squares=np.ones(LANES),
            squared=np.ones(LANES),
            zeros=np.zeros(max(centers.shape), centers.dtype),
        )


class Slopes(NamedTuple):
    """Sums over rows from which the gradient is computed."""

    centers: np.ndarray  # (K, D) sum of p h^T + r v^T
    seen: np.ndarray  # (K, D) sum of r at the first step, over what it sees
    later: np.ndarray  # (n_clusters,) sum of r at the others
    log_weights: np.ndarray  # (n_clusters,)


@part
def run(plan, tile, memories, centers, transposed, path):
    """Compute the path of a tile."""
    states, means, posteriors = path.states, path.means, path.posteriors
    n_clusters, n_features = memories.centers.shape
    largest, total = path.of_lanes[0], path.of_lanes[1]
    this, plan_tile = slice(tile, tile + 1), min(tile, plan.first.shape[0] - 1)
    for j in range(n_features):
        for lane in range(LANES):
            states[0, 0, j, lane] = plan.starts[tile, j, lane]
    for t in range(means.shape[0]):
        steps = plan.later[plan_tile]
        if t == 0:
            steps = plan.first[plan_tile]
        if t == 0 and not plan.sees_all:
            squares_of_seen(plan.looked_at[this], centers, posteriors[0])
        else:
            squares(states[t], centers, posteriors[t])
        to_logits(posteriors[t], memories)
        to_exponentials(posteriors[t, 0], n_clusters, largest, total)
        for lane in range(LANES):
            total[lane] = states.dtype.type(1.0) / total[lane]
        for k in range(n_clusters):
            for lane in range(LANES):
                posteriors[t, 0, k, lane] *= total[lane]
        product(transposed, path.zeros, posteriors[t], means[t])
        for j in range(n_features):
            before, toward, size = states[t, 0, j], means[t, 0, j], steps[j]
            after = states[t + 1, 0, j]
            for lane in range(LANES):
                away = toward[lane] - before[lane]
                after[lane] = before[lane] + size[lane] * away


@part
def judge(plan, tile, path):
    """Write v(T) - x into g, 0 where the two are not compared."""
    judged = plan.judged[min(tile, plan.judged.shape[0] - 1)]
    for j in range(judged.shape[0]):
        end, start, g = path.states[-1, 0, j], plan.starts[tile, j], path.g[0, j]
        for lane in range(LANES):
            g[lane] = judged[j, lane] * (end[lane] - start[lane])


@part
def run_back(plan, tile, w, memories, centers, transposed, path, slopes):
    """Carry g back from v(T) to v(0), adding to the weighted sums at each step."""
    h, along, posteriors = path.h, path.along, path.posteriors
    mean, damping, limit = path.of_lanes[0], path.of_lanes[1], path.squares
    plan_tile = min(tile, plan.first.shape[0] - 1)
    n_clusters, n_features = memories.centers.shape
    to_limits(limit, w, plan.growth)
    for j in range(n_features):
        for lane in range(LANES):
            path.g[0, j, lane] *= w[lane] + w[lane]
    for t in range(path.means.shape[0] - 1, -1, -1):
        steps = plan.first[plan_tile] if t == 0 else plan.later[plan_tile]
        subtract_step(steps, path.means[t, 0], n_features, path, mean)
        damp(path.squared, limit, damping)
        product(centers, path.zeros, h, along)
        for k in range(n_clusters):
            slope, p = along[0, k], posteriors[t, 0, k]
            for lane in range(LANES):
                slope[lane] = damping[lane] * p[lane] * (slope[lane] - mean[lane])
        add_weighted(along, path.ones, slopes.log_weights)
        for k in range(n_clusters):
            for lane in range(LANES):
                along[0, k, lane] *= memories.beta[k] + memories.beta[k]
        add_products(posteriors[t], h, slopes.centers)
        if t > 0:
            through_state(path.states[t], n_features, transposed, path, slopes)
        else:
            through_start(plan.seen[plan_tile], n_features, path, slopes)


@part
def subtract_step(steps, means, n_features, path, mean):
    """Write h and its product with the mean u, subtract h from g, and write |g|^2."""
    squared, zero = path.squared, path.g.dtype.type(0.0)
    for lane in range(LANES):
        mean[lane] = squared[lane] = 0.0
    for j in range(n_features):
        left, moved, u, size = path.g[0, j], path.h[0, j], means[j], steps[j]
        for lane in range(LANES):
            length = left[lane] if size[lane] > zero else zero
            squared[lane] += np.float64(length) * length
            moved[lane] = size[lane] * left[lane]
            left[lane] -= moved[lane]
            mean[lane] += u[lane] * moved[lane]


@part
def through_state(states, n_features, transposed, path, slopes):
    """Add to the sums of a later step, and add sum_k r_k center_k to g."""
    along, back = path.along, path.back
    add_products(along, states, slopes.centers)
    add_weighted(along, path.ones, slopes.later)
    product(transposed, path.zeros, along, back)
    for j in range(n_features):
        for lane in range(LANES):
            path.g[0, j, lane] += back[0, j, lane]


@part
def through_start(seen, n_features, path, slopes):
    """Add to the sums of the first step, over the coordinates that it sees."""
    h, back = path.h, path.back
    for j in range(n_features):
        for lane in range(LANES):
            h[0, j, lane] = seen[j, lane]
            back[0, j, lane] = seen[j, lane] * path.states[0, 0, j, lane]
    add_products(path.along, back, slopes.centers)
    add_products(path.along, h, slopes.seen)


@kernel
def there(plan, w, memories, centers, transposed, path):
    """Run all tiles forward; return the loss."""
    loss = 0.0
    for tile in range(plan.starts.shape[0]):
        run(plan, tile, memories, centers, transposed, path)
        judge(plan, tile, path)
        loss += weighted_square(path.g, w[tile : tile + 1], path.squares)
    return loss


@kernel
def there_and_back(plan, w, memories, centers, transposed, path, slopes):
    """Run all tiles forward and backward, adding to the slopes; return the loss."""
    loss = 0.0
    for tile in range(plan.starts.shape[0]):
        run(plan, tile, memories, centers, transposed, path)
        judge(plan, tile, path)
        loss += weighted_square(path.g, w[tile : tile + 1], path.squares)
        run_back(plan, tile, w[tile], memories, centers, transposed, path, slopes)
    return loss


def reconstruction_loss(rows, weights, memories, dynamics):
    """Return the summed loss, in a tuple."""
    refuse_other_energies(memories)
    if gram_dynamics.pays(memories, dynamics):
        return gram_dynamics.loss(rows, weights, memories, dynamics)
    return (there(*_outset(rows, weights, memories, dynamics)),)


def reconstruction_gradient(rows, weights, memories, dynamics):
    """Return the summed loss, d centers (K, D) and d log_weights (K,)."""
    refuse_other_energies(memories)
    if gram_dynamics.pays(memories, dynamics):
        return gram_dynamics.gradient(rows, weights, memories, dynamics)
    outset = _outset(rows, weights, memories, dynamics)
    shape, n_clusters = padded_matrix(memories.centers).shape, len(memories.centers)
    slopes = Slopes(
        centers=aligned_zeros(shape, float),
        seen=aligned_zeros(shape, float),
        later=aligned_zeros((n_clusters,), float),
        log_weights=aligned_zeros((n_clusters,), float),
    )
    loss = there_and_back(*outset, slopes)
    n_features = memories.centers.shape[1]
    r = slopes.seen[:n_clusters, :n_features] + slopes.later[:, None]
    d_centers = slopes.centers[:n_clusters, :n_features] - r * memories.centers
    return loss, d_centers, slopes.log_weights


def _outset(rows, weights, memories, dynamics):
    """The arguments that `there` and `there_and_back` share."""
    plan, centers = Plan.of(rows, dynamics), padded_matrix(memories.centers)
    w, transposed = (
        load_lanes(weights, len(plan.starts)),
        np.ascontiguousarray(centers.T),
    )
    return plan, w, memories, centers, transposed, Path.empty(centers, dynamics.n_steps)
