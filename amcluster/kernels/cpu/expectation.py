"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel
from .lanes import (
    LANES,
    add_products,
    load,
    load_lanes,
    padded_matrix,
    room,
    squared_distances,
    store,
    times,
    weighted_sums,
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
    w, ones = load_lanes(weights, len(tiles)), np.ones((len(tiles), LANES))
    squared = squared_distances(tiles, centers)
    p, u = room(tiles, n_clusters), room(tiles, n_clusters)
    evidence, of_row = np.empty_like(tiles[:, 0]), np.zeros_like(w)
    to_logits(squared, memories, p)
    to_posteriors(p, n_clusters, evidence)
    u[:, n_clusters:] = 0
    pull_rows(squared, p, w, memories, u, of_row)
    pulled[:] = of_row.ravel()[: len(pulled)]
    sums = np.zeros(centers.shape)
    add_products(u, tiles, sums)
    return (
        (w * evidence).sum(),
        weighted_sums(p, w, n_clusters),
        weighted_sums(u, ones, n_clusters),
        sums[:n_clusters, :n_features],
        weighted_sums(squared, ones, n_clusters).sum(),
    )


@kernel
def pull_rows(squared, p, w, memories, u, of_row):
    """Write u, and its sums in each lane; multiply the squared distances by u."""
    for tile in range(p.shape[0]):
        weights, totals = w[tile], of_row[tile]
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
