"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel, part
from .lanes import (
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
from .likelihoods import pull
from .posterior import to_logits, to_posteriors


def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of the pulled weight u = w p g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    tile, centers = load(rows[:1]), padded_matrix(memories.centers)
    squared, p = room(tile, n_clusters), room(tile, n_clusters)
    sums = aligned_zeros(centers.shape, float)
    totals = expect(rows, weights, memories, centers, tile, squared, p, sums, pulled)
    return *totals[:3], sums[:n_clusters, :n_features], totals[3]


@kernel
def expect(rows, weights, memories, centers, tile, squared, p, sums, pulled):
    """Add to the sums of u x, and write those of u over memories.

    Returns the sums of w times the evidence, of w p, of u, and of u times the squared
    distances.
    """
    n_clusters = memories.log_weights.shape[0]
    counts, pulls = np.zeros(n_clusters), np.zeros(n_clusters)
    w, evidence = np.empty((1, LANES)), np.empty((1, LANES), rows.dtype)
    of_row, total, total_squares = np.empty(LANES), 0.0, 0.0
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, tile, w)
        squares(tile, centers, squared)
        for k in range(n_clusters):
            for lane in range(LANES):
                p[0, k, lane] = squared[0, k, lane]
        to_logits(p, memories)
        to_posteriors(p, n_clusters, evidence)
        for lane in range(LANES):
            total += w[0, lane] * evidence[0, lane]
        total_squares += pull_lanes(
            squared[0], p[0], w[0], memories, counts, pulls, of_row
        )
        add_products(p, tile, sums)
        for lane in range(LANES):
            if start + lane < rows.shape[0]:
                pulled[start + lane] = of_row[lane]
    return total, counts, pulls, total_squares


@part
def pull_lanes(squared, p, w, memories, counts, pulls, of_row):
    """Turn posteriors into u; add to its sums; return that of u |x - center|^2."""
    total_squares = 0.0
    for lane in range(LANES):
        of_row[lane] = 0.0
    for k in range(counts.shape[0]):
        squares, posteriors = squared[k], p[k]
        count, pulled_by, square = 0.0, 0.0, 0.0
        for lane in range(LANES):
            share = w[lane] * posteriors[lane]
            u = share * pull(squares[lane], memories)
            posteriors[lane] = u
            of_row[lane] += u
            count += share
            pulled_by += u
            square += u * squares[lane]
        counts[k] += count
        pulls[k] += pulled_by
        total_squares += square
    return total_squares


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`: no row depends on the others."""
    store(times(padded_matrix(matrix.T), load(rows)), out)
