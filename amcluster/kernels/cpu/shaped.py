"""The E-step for memories with shapes of their own: sums and outer products of rows."""

from typing import NamedTuple

import numpy as np

from ._jit import inner, inner_lanewise, kernel
from .energies import weight
from .pairwise import pairs_with, write_distances
from .reduce import to_logits, to_posteriors
from .tiles import LANES, add_products, add_to, aligned_zeros, plus_scaled

# A memory with a smaller posterior changes no sum by more than its rounding error.
NEGLIGIBLE = 1e-17
# If fewer lanes of a tile count, they are gathered, this many at a time: outer products
# are then only of those.
FEW, STEP = LANES // 2, 8


class Room(NamedTuple):
    """Room for intermediate results of a tile of rows."""

    p: np.ndarray  # (1, K, LANES)
    evidence: np.ndarray  # (1, LANES)
    total: np.ndarray  # (1, LANES)
    w: np.ndarray  # (LANES,) float64
    of_row: np.ndarray  # (LANES,) float64
    counting: np.ndarray  # (LANES,) lanes that count for a memory
    away: np.ndarray  # (D, LANES) x - center
    scaled: np.ndarray  # (D, LANES) u (x - center)


class Sums(NamedTuple):
    """Sums over rows, in float64."""

    counts: np.ndarray  # (K,) of w p
    weights: np.ndarray  # (K,) of u
    of_x: np.ndarray  # (K, D) of u x, padded
    squares: np.ndarray  # (K,) of u times the squared distance
    moments: np.ndarray  # (K, D, D) of u (x - center) (x - center)^T, padded


def shaped_expectation(rows, weights, memories, pulled):
    """As `expectation`, for memories with roots.

    The sum of u times the squared distance is of each memory (K,). Also returns the sum
    of u (x - center) (x - center)^T, (K, D, D).
    """
    n_clusters, n_features = memories.centers.shape
    pairs, dtype = pairs_with(memories), rows.dtype
    shape = pairs.centers.shape
    here = Room(
        aligned_zeros(pairs.values.shape, dtype),
        *aligned_zeros((2, 1, LANES), dtype),
        *aligned_zeros((2, LANES), float),
        np.zeros(LANES, np.int64),
        *aligned_zeros((2, shape[1], LANES), dtype),
    )
    sums = Sums(
        np.zeros(n_clusters),
        np.zeros(n_clusters),
        aligned_zeros(shape, float),
        np.zeros(n_clusters),
        aligned_zeros((n_clusters, shape[1], shape[1]), float),
    )
    evidence = expect_in_shapes(rows, weights, memories, pairs, here, sums, pulled)
    lower = np.tril(sums.moments[:, :n_features, :n_features])
    moments = lower + np.tril(lower, -1).transpose(0, 2, 1)
    of_x = sums.of_x[:n_clusters, :n_features]
    return evidence, sums.counts, sums.weights, of_x, sums.squares, moments


@kernel
def expect_in_shapes(rows, weights, memories, pairs, here, sums, pulled):
    """Add to the sums; return the sum of w log evidence."""
    n_clusters, total = memories.log_weights.shape[0], 0.0
    p, w, of_row = here.p, here.w, here.of_row
    for start in range(0, rows.shape[0], LANES):
        write_distances(rows, start, pairs)
        for lane in range(LANES):
            inside = start + lane < rows.shape[0]
            w[lane] = weights[start + lane] if inside else 0.0
            of_row[lane] = 0.0
        for k in range(n_clusters):
            for lane in range(LANES):
                p[0, k, lane] = pairs.values[0, k, lane]
        to_logits(p, memories)
        to_posteriors(p, n_clusters, here.evidence, here.total[0])
        for lane in range(LANES):
            total += w[lane] * here.evidence[0, lane]
        for k in range(n_clusters):
            n_counting = weigh(k, pairs.values[0, k], memories, here, sums)
            if n_counting > 0:
                add_moment(k, n_counting, pairs, here, sums.moments[k])
        add_products(p, pairs.tile, sums.of_x)
        for lane in range(min(rows.shape[0] - start, LANES)):
            pulled[start + lane] = of_row[lane]
    return total


@inner
def weigh(k, squares, memories, here, sums):
    """Turn posteriors of a memory into u and add to its sums.

    Writes the lanes that count for it; returns how many.
    """
    p, w, none = here.p[0, k], here.w, squares.dtype.type(0.0)
    count, total, square, n_counting = 0.0, 0.0, 0.0, 0
    for lane in range(LANES):
        if p[lane] >= NEGLIGIBLE and w[lane] > 0.0:
            here.counting[n_counting] = lane
            n_counting += 1
    for lane in range(LANES):
        share = w[lane] * p[lane]
        scaled = memories.beta[k] * squares[lane]
        u = share * weight(memories.energy, scaled, memories.dimension, none)
        p[lane] = u
        here.of_row[lane] += u
        count += share
        total += u
        square += u * squares[lane]
    sums.counts[k] += count
    sums.weights[k] += total
    sums.squares[k] += square
    return n_counting


@inner
def add_moment(k, n_counting, pairs, here, moment):
    """Add the sum of u (x - center) (x - center)^T over the lanes that count."""
    center, u = pairs.centers[k], here.p[0, k]
    if n_counting > FEW:
        differences(pairs.tile[0], center, u, here.away, here.scaled)
        n_counting = LANES
    else:
        n_counting = gather(pairs.tile[0], center, u, n_counting, here)
    add_outer(here.scaled, here.away, n_counting, moment)


@inner_lanewise
def differences(tile, center, u, away, scaled):
    """Write x - center, and u times it."""
    for j in range(center.shape[0]):
        for lane in range(LANES):
            difference = tile[j, lane] - center[j]
            away[j, lane] = difference
            scaled[j, lane] = u[lane] * difference


@inner_lanewise
def gather(tile, center, u, n_counting, here):
    """As `differences`, of the lanes that count, side by side.

    Fills up with zeros; returns how many lanes that makes.
    """
    n_filled = (n_counting + STEP - 1) // STEP * STEP
    zero = tile.dtype.type(0.0)
    for j in range(center.shape[0]):
        for i in range(n_counting):
            lane = here.counting[i]
            difference = tile[j, lane] - center[j]
            here.away[j, i] = difference
            here.scaled[j, i] = u[lane] * difference
        for i in range(n_counting, n_filled):
            here.away[j, i] = here.scaled[j, i] = zero
    return n_filled


@inner
def add_outer(left, right, n_lanes, out):
    """Add left @ right.T, summed over the first lanes, to the lower triangle of out."""
    zero = left.dtype.type(0.0)
    zeros = zero, zero, zero, zero
    for i in range(0, left.shape[0], 4):
        a0, a1, a2, a3 = left[i], left[i + 1], left[i + 2], left[i + 3]
        for j in range(0, i + 1, 4):
            x0, x1, x2, x3 = right[j], right[j + 1], right[j + 2], right[j + 3]
            s0 = s1 = s2 = s3 = zeros
            for lane in range(n_lanes):
                x = x0[lane], x1[lane], x2[lane], x3[lane]
                s0 = plus_scaled(s0, x, a0[lane])
                s1 = plus_scaled(s1, x, a1[lane])
                s2 = plus_scaled(s2, x, a2[lane])
                s3 = plus_scaled(s3, x, a3[lane])
            add_to(out[i], j, s0)
            add_to(out[i + 1], j, s1)
            add_to(out[i + 2], j, s2)
            add_to(out[i + 3], j, s3)
