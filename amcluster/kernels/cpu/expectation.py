"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    add_products,
    add_weighted,
    load,
    load_weights,
    padded_matrix,
    squares,
    tile_of,
)
from .likelihoods import pull
from .posterior import to_logits, to_posteriors


@kernel
def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of the pulled weight u = w p g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    centers, tile = padded_matrix(memories.centers), tile_of(n_features, rows)
    squared, p = tile_of(n_clusters, rows), tile_of(n_clusters, rows)
    evidence, u = np.empty((1, LANES), rows.dtype), tile_of(n_clusters, rows)
    w, ones, of_row = np.empty(LANES), np.ones(LANES), np.empty(LANES)
    total, counts, pulls = np.zeros(1), np.zeros(n_clusters), np.zeros(n_clusters)
    sums, scatter = np.zeros(centers.shape), np.zeros(n_clusters)
    for start in range(0, rows.shape[0], LANES):
        n_live = load(rows, start, tile)
        load_weights(weights, start, w)
        squares(tile, centers, squared)
        to_logits(squared, memories, p)
        to_posteriors(p, n_clusters, evidence[0])
        of_row[:] = 0.0
        for k in range(n_clusters):
            for lane in range(LANES):
                g = pull(squared[k, lane], memories)
                u[k, lane] = w[lane] * p[k, lane] * g
                of_row[lane] += u[k, lane]
                squared[k, lane] *= u[k, lane]
        add_weighted(evidence, w, 1, total)
        add_weighted(p, w, n_clusters, counts)
        add_weighted(u, ones, n_clusters, pulls)
        add_weighted(squared, ones, n_clusters, scatter)
        add_products(u, tile, sums)
        pulled[start : start + n_live] = of_row[:n_live]
    sums = sums[:n_clusters, :n_features].copy()
    return total[0], counts, pulls, sums, scatter.sum()


@kernel
def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`, row by row: no row depends on the others."""
    for i in range(rows.shape[0]):
        out[i] = out.dtype.type(0.0)
        for j in range(matrix.shape[0]):
            for c in range(matrix.shape[1]):
                out[i, c] += rows[i, j] * matrix[j, c]
