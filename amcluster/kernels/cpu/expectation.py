"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    add_products,
    load,
    padded_matrix,
    squared_distances,
    store,
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
    tiles, centers = load(rows), padded_matrix(memories.centers)
    squared, evidence = squared_distances(tiles, centers), np.empty_like(tiles[:, 0])
    p, sums = squared.copy(), np.zeros(centers.shape)
    to_logits(p, memories)
    to_posteriors(p, n_clusters, evidence)
    totals = pull_rows(squared, p, evidence, weights, memories, pulled)
    add_products(p, tiles, sums)
    return *totals[:3], sums[:n_clusters, :n_features], totals[3]


# Sums are allocated where they are added up, so that those of two threads do not lie
# in the same line of the cache.
@kernel
def pull_rows(squared, p, evidence, weights, memories, pulled):
    """Turn the posteriors into u, and write its sums over memories.

    Returns the sums of w times the evidence, of w p, of u, and of u times the squared
    distances.
    """
    n_clusters = memories.log_weights.shape[0]
    counts, pulls = np.zeros(n_clusters), np.zeros(n_clusters)
    w, of_row = np.empty(LANES), np.empty(LANES)
    total, total_squares = 0.0, 0.0
    for tile in range(p.shape[0]):
        start = tile * LANES
        n_rows = min(LANES, weights.shape[0] - start)
        for lane in range(LANES):
            w[lane] = weights[start + lane] if lane < n_rows else 0.0
            of_row[lane] = 0.0
            total += w[lane] * evidence[tile, lane]
        for k in range(n_clusters):
            squares, posteriors = squared[tile, k], p[tile, k]
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
        for lane in range(n_rows):
            pulled[start + lane] = of_row[lane]
    return total, counts, pulls, total_squares


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`: no row depends on the others."""
    store(times(padded_matrix(matrix.T), load(rows)), out)
