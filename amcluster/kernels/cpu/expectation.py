"""The E-step: the sums over rows that the closed-form M-step needs."""

from typing import NamedTuple

import numpy as np

from ._jit import kernel, lanewise, part
from .energies import weight
from .reduce import to_logits, to_posteriors
from .tiles import (
    LANES,
    add_products,
    aligned_zeros,
    load,
    padded_matrix,
    room,
    squares,
    store,
    take,
    times,
)

# Up to this many rows are projected one by one instead of as lanes.
FEW = 16


class Room(NamedTuple):
    """Room for a tile of rows and for intermediate results."""

    tile: np.ndarray  # (1, D, LANES)
    squared: np.ndarray  # (1, K, LANES)
    p: np.ndarray  # (1, K, LANES)
    evidence: np.ndarray  # (1, LANES)
    total: np.ndarray  # (1, LANES)
    w: np.ndarray  # (1, LANES) float64
    of_row: np.ndarray  # (1, LANES) float64

    @classmethod
    def empty(cls, centers, n_clusters):
        """Room for rows that are compared with these centers, which are padded."""
        tile = aligned_zeros((1, centers.shape[1], LANES), centers.dtype)
        squared, p = room(tile, n_clusters), room(tile, n_clusters)
        of_dtype = aligned_zeros((2, 1, LANES), centers.dtype)
        return cls(tile, squared, p, *of_dtype, *aligned_zeros((2, 1, LANES), float))


class Sums(NamedTuple):
    """Sums over rows, in float64."""

    counts: np.ndarray  # (K,) of w p
    weights: np.ndarray  # (K,) of u
    of_x: np.ndarray  # (K, D) of u x, padded


def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of u = w p g, with the IRLS weight g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    centers = padded_matrix(memories.centers)
    here = Room.empty(centers, n_clusters)
    sums = Sums(
        counts=aligned_zeros((n_clusters,), float),
        weights=aligned_zeros((n_clusters,), float),
        of_x=aligned_zeros(centers.shape, float),
    )
    evidence, scatter = expect(rows, weights, memories, centers, here, sums, pulled)
    of_x = sums.of_x[:n_clusters, :n_features]
    return evidence, sums.counts, sums.weights, of_x, scatter


@kernel
def expect(rows, weights, memories, centers, here, sums, pulled):
    """Add to the sums; return the sums of w log evidence and of u |x - center|^2."""
    n_clusters = memories.log_weights.shape[0]
    tile, squared, p, evidence, summed, w, of_row = here
    total, total_squares = 0.0, 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile, w)
        squares(tile, centers, squared)
        for k in range(n_clusters):
            for lane in range(LANES):
                p[0, k, lane] = squared[0, k, lane]
        to_logits(p, memories)
        to_posteriors(p, n_clusters, evidence, summed[0])
        for lane in range(LANES):
            total += w[0, lane] * evidence[0, lane]
        total_squares += weigh_lanes(squared[0], p[0], w[0], memories, sums, of_row[0])
        add_products(p, tile, sums.of_x)
        for lane in range(min(rows.shape[0] - start, LANES)):
            pulled[start + lane] = of_row[0, lane]
    return total, total_squares


@part
def weigh_lanes(squared, p, w, memories, sums, of_row):
    """Turn posteriors into u and add to its sums; return the sum of u |x - center|^2.

    Writes the sum of u over the memories into of_row.
    """
    total_squares, none = 0.0, squared.dtype.type(0.0)
    for lane in range(LANES):
        of_row[lane] = 0.0
    for k in range(sums.counts.shape[0]):
        squares, posteriors = squared[k], p[k]
        count, total, square = 0.0, 0.0, 0.0
        for lane in range(LANES):
            share = w[lane] * posteriors[lane]
            scaled = memories.beta[k] * squares[lane]
            u = share * weight(memories.energy, scaled, memories.dimension, none)
            posteriors[lane] = u
            of_row[lane] += u
            count += share
            total += u
            square += u * squares[lane]
        sums.counts[k] += count
        sums.weights[k] += total
        total_squares += square
    return total_squares


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`; the result of a row is the same in any block."""
    if len(rows) <= FEW:
        project_few(rows, matrix, out)
    else:
        store(times(padded_matrix(matrix.T), load(rows)), out)


@lanewise
def project_few(rows, matrix, out):
    """As `product`, to the bit, for so few rows that most lanes would be empty.

    Columns of the matrix take the place of lanes. Each sum runs over the features in
    the same order, with one rounding per feature.
    """
    for i in range(rows.shape[0]):
        row, sums = rows[i], out[i]
        for k in range(sums.shape[0]):
            sums[k] = 0.0
        for j in range(row.shape[0]):
            x, numbers = row[j], matrix[j]
            for k in range(sums.shape[0]):
                sums[k] += x * numbers[k]
