"""The E-step: what the closed-form M-step needs of the rows."""

import numpy as np

from ._jit import kernel
from .likelihoods import log_kernel, pull
from .posterior import softmax, squared_distance


@kernel
def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of the pulled weight u = w p g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    p = np.empty(n_clusters, rows.dtype)
    squared = np.empty(n_clusters, rows.dtype)
    evidence, squares = 0.0, 0.0
    counts, pulls = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, n_features))
    for i in range(rows.shape[0]):
        for k in range(n_clusters):
            squared[k] = squared_distance(rows[i], memories.centers[k])
            p[k] = memories.log_weights[k] + log_kernel(squared[k], memories)
        evidence += weights[i] * softmax(p)
        pulled[i] = 0.0
        for k in range(n_clusters):
            u = weights[i] * p[k] * pull(squared[k], memories)
            counts[k] += weights[i] * p[k]
            pulls[k] += u
            squares += u * squared[k]
            pulled[i] += u
            for j in range(n_features):
                sums[k, j] += u * rows[i, j]
    return evidence, counts, pulls, sums, squares


@kernel
def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`, row by row: no row depends on the others."""
    for i in range(rows.shape[0]):
        out[i] = out.dtype.type(0.0)
        for j in range(matrix.shape[0]):
            for c in range(matrix.shape[1]):
                out[i, c] += rows[i, j] * matrix[j, c]
