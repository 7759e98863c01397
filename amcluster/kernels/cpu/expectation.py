"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    Desk,
    add_products,
    add_weighted,
    load,
    padded_matrix,
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
    desk = Desk.with_tiles(rows, memories.centers)
    evidence, counts, pulls, sums, radii = expect(rows, weights, memories, desk, pulled)
    return evidence, counts, pulls, sums[:n_clusters, :n_features], radii.sum()


@kernel
def expect(rows, weights, memories, desk, pulled):
    """`expectation`, with the sums of u x for padded centers, and radii (K,)."""
    n_clusters, total = memories.log_weights.shape[0], 0.0
    p, u = desk.logits, np.zeros_like(desk.squared)
    counts, pulls = np.zeros(n_clusters), np.zeros(n_clusters)
    radii = np.zeros(n_clusters)
    sums, evidence = np.zeros(desk.centers.shape), np.empty((1, LANES), rows.dtype)
    w, of_row, ones = np.empty((1, LANES)), np.empty((1, LANES)), np.ones((1, LANES))
    for start in range(0, rows.shape[0], LANES):
        take(rows, weights, start, desk.tile, w)
        squares(desk.tile, desk.centers, desk.squared)
        to_logits(desk.squared, memories, p)
        to_posteriors(p, n_clusters, evidence)
        pull_rows(desk.squared, p, w, memories, u, of_row)
        add_weighted(p, w, counts)
        add_weighted(u, ones, pulls)
        add_weighted(desk.squared, ones, radii)
        add_products(u, desk.tile, sums)
        for lane in range(min(LANES, rows.shape[0] - start)):
            total += w[0, lane] * evidence[0, lane]
            pulled[start + lane] = of_row[0, lane]
    return total, counts, pulls, sums, radii


@kernel
def pull_rows(squared, p, w, memories, u, of_row):
    """Write u, and its sums in each lane; multiply the squared distances by u."""
    for tile in range(p.shape[0]):
        weights, totals = w[tile], of_row[tile]
        for lane in range(LANES):
            totals[lane] = 0.0
        for k in range(memories.log_weights.shape[0]):
            squares, posteriors, pulls = squared[tile, k], p[tile, k], u[tile, k]
            for lane in range(LANES):
                g = pull(squares[lane], memories)
                pulls[lane] = weights[lane] * posteriors[lane] * g
                totals[lane] += pulls[lane]
                squares[lane] *= pulls[lane]


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`: no row depends on the others."""
    store(times(padded_matrix(matrix.T), load(rows)), out)
