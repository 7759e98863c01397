"""The E-step: what the closed-form M-step needs of the rows."""

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

# Rows that are so few are projected one by one, not as lanes.
FEW = 16


class Room(NamedTuple):
    """Room for a tile of rows and for what is made of it."""

    tile: np.ndarray  # (1, D, LANES)
    squared: np.ndarray  # (1, K, LANES)
    p: np.ndarray  # (1, K, LANES)
    evidence: np.ndarray  # (1, LANES)
    total: np.ndarray  # (1, LANES)
    w: np.ndarray  # (1, LANES) in float64
    of_row: np.ndarray  # (1, LANES) in float64


class Sums(NamedTuple):
    """Sums over rows, in float64."""

    counts: np.ndarray  # (K,) of w p
    pulls: np.ndarray  # (K,) of u
    of_x: np.ndarray  # (K, D) of u x, padded


def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of the pulled weight u = w p g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    centers = padded_matrix(memories.centers)
    tile = aligned_zeros((1, centers.shape[1], LANES), rows.dtype)
    here = Room(
        *(tile, room(tile, n_clusters), room(tile, n_clusters)),
        *aligned_zeros((2, 1, LANES), rows.dtype),
        *aligned_zeros((2, 1, LANES), float),
    )
    shapes = (n_clusters,), (n_clusters,), centers.shape
    sums = Sums(*(aligned_zeros(shape, float) for shape in shapes))
    evidence, scatter = expect(rows, weights, memories, centers, here, sums, pulled)
    of_x = sums.of_x[:n_clusters, :n_features]
    return evidence, sums.counts, sums.pulls, of_x, scatter


@kernel
def expect(rows, weights, memories, centers, here, sums, pulled):
    """Add to the sums; return those of w times the evidence and u |x - center|^2."""
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
        total_squares += pull_lanes(squared[0], p[0], w[0], memories, sums, of_row[0])
        add_products(p, tile, sums.of_x)
        for lane in range(min(rows.shape[0] - start, LANES)):
            pulled[start + lane] = of_row[0, lane]
    return total, total_squares


@part
def pull_lanes(squared, p, w, memories, sums, of_row):
    """Turn posteriors into u; add to its sums; return that of u |x - center|^2."""
    total_squares, none = 0.0, squared.dtype.type(0.0)
    for lane in range(LANES):
        of_row[lane] = 0.0
    for k in range(sums.counts.shape[0]):
        squares, posteriors = squared[k], p[k]
        count, pulled_by, square = 0.0, 0.0, 0.0
        for lane in range(LANES):
            share = w[lane] * posteriors[lane]
            scaled = memories.beta * squares[lane]
            u = share * weight(memories.energy, scaled, memories.dimension, none)
            posteriors[lane] = u
            of_row[lane] += u
            count += share
            pulled_by += u
            square += u * squares[lane]
        sums.counts[k] += count
        sums.pulls[k] += pulled_by
        total_squares += square
    return total_squares


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`: no row depends on the others."""
    if len(rows) <= FEW:
        project_few(rows, matrix, out)
    else:
        store(times(padded_matrix(matrix.T), load(rows)), out)


@lanewise
def project_few(rows, matrix, out):
    """As `product`, to the bit, for rows that would leave most lanes of a tile empty.

    Columns of the matrix are the lanes here. Each sum goes over the features in the
    same order, with one rounding a feature.
    """
    for i in range(rows.shape[0]):
        row, sums = rows[i], out[i]
        for k in range(sums.shape[0]):
            sums[k] = 0.0
        for j in range(row.shape[0]):
            x, numbers = row[j], matrix[j]
            for k in range(sums.shape[0]):
                sums[k] += x * numbers[k]
