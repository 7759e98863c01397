"""Rows with missing values, with a learned metric A.

Hidden coordinates h, those that are NaN, are replaced by what a memory expects of them,
given the others: for the difference d of row and center, with any values for d_h, and
g = A d, the minimum of d^T A d over d_h is

    d^T A d - g_h^T inv(A_hh) g_h    at    d_h - inv(A_hh) g_h

and the marginal density has sqrt(det A / det A_hh) in its normaliser, det A = 1. Linear
systems are only of the size of the hidden part.
"""

import math

import numpy as np

from ._jit import allocating, kernel
from .energies import weight
from .missing import fill_zeros
from .reduce import logit, softmax

# A memory with a smaller posterior changes no sum by more than its rounding error.
NEGLIGIBLE = 1e-17


@kernel
def hidden_root(matrix, hidden, n_hidden, root):
    """Write the Cholesky root of the block matrix[hidden, hidden].

    Returns the log determinant of the block.
    """
    log_determinant = 0.0
    for a in range(n_hidden):
        for b in range(a + 1):
            total = matrix[hidden[a], hidden[b]]
            for c in range(b):
                total -= root[a, c] * root[b, c]
            if a == b:
                root[a, a] = math.sqrt(total)
                log_determinant += 2.0 * math.log(root[a, a])
            else:
                root[a, b] = total / root[b, b]
    return log_determinant


@kernel
def solve_root(root, n_hidden, values):
    """Solve root x = values, in place."""
    for a in range(n_hidden):
        for b in range(a):
            values[a] -= root[a, b] * values[b]
        values[a] /= root[a, a]


@kernel
def solve_transposed(root, n_hidden, values, first=0):
    """Solve root.T x = values, in place, down to the entry `first`."""
    for a in range(n_hidden - 1, first - 1, -1):
        for b in range(a + 1, n_hidden):
            values[a] -= root[b, a] * values[b]
        values[a] /= root[a, a]


@kernel
def expected_hidden(row, memories, metric, scratch, squared, toward):
    """Squared distances of a row from the memories, minimised over hidden coordinates.

    Writes them (K,) and toward (K, D), which `solve_transposed` turns into the hidden
    coordinates that each memory expects. The filled row and the root of A_hh are left
    in `scratch`. Returns the number of hidden coordinates and log det A_hh.
    """
    filled, seen, hidden, image, projected, root = scratch
    n_clusters, n_features = memories.centers.shape
    n_hidden = fill_zeros(row, filled, seen, hidden)
    log_determinant = hidden_root(metric.matrix, hidden, n_hidden, root)
    for a in range(n_hidden):
        image[a] = 0.0
        for j in range(n_features):
            image[a] += metric.matrix[hidden[a], j] * filled[j]
    projected[:] = 0.0
    for j in range(n_features):
        for c in range(n_features):
            projected[c] += filled[j] * metric.root[j, c]
    for k in range(n_clusters):
        total = 0.0
        for c in range(n_features):
            difference = projected[c] - metric.projected[k, c]
            total += difference * difference
        values = toward[k]
        for a in range(n_hidden):
            values[a] = metric.images[k, hidden[a]] - image[a]
        solve_root(root, n_hidden, values)
        for a in range(n_hidden):
            total -= values[a] * values[a]
        # The difference of two infinities means a distance beyond the dtype's range.
        squared[k] = max(total, 0.0) if total == total else np.inf
    return n_hidden, log_determinant


@allocating
def scratch_for(n_features):
    """Room for one row."""
    return (
        np.empty(n_features),
        np.empty(n_features),
        np.empty(n_features, np.int64),
        np.empty(n_features),
        np.empty(n_features),
        np.empty((n_features, n_features)),
    )


@allocating
def metric_logits(rows, memories, metric, out, log_determinants):
    """As `seen_logits`, in a metric; also writes log det A_hh (n_rows,)."""
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    squared, toward = np.empty(n_clusters), np.empty((n_clusters, n_features))
    for i in range(rows.shape[0]):
        n_hidden, log_determinants[i] = expected_hidden(
            rows[i], memories, metric, scratch, squared, toward
        )
        for k in range(n_clusters):
            out[i, k] = logit(k, squared[k], float(n_hidden), memories)


@allocating
def metric_complete(rows, memories, metric, out):
    """Write the rows into `out`, with missing values replaced by their expectation."""
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    _, _, hidden, mean, _, root = scratch
    p, squared = np.empty(n_clusters), np.empty(n_clusters)
    toward = np.empty((n_clusters, n_features))
    for i in range(rows.shape[0]):
        out[i] = rows[i]
        n_hidden, _ = expected_hidden(
            rows[i], memories, metric, scratch, squared, toward
        )
        for k in range(n_clusters):
            p[k] = logit(k, squared[k], float(n_hidden), memories)
        softmax(p)
        mean[:n_hidden] = 0.0
        for k in range(n_clusters):
            if p[k] < NEGLIGIBLE:
                continue
            solve_transposed(root, n_hidden, toward[k])
            for a in range(n_hidden):
                mean[a] += p[k] * toward[k, a]
        for a in range(n_hidden):
            out[i, hidden[a]] = mean[a]


@allocating
def metric_expectation(rows, weights, memories, metric, pulled):
    """As `expectation`, in a metric and for rows completed as each memory expects.

    Also returns the sum of u x x^T, with the covariance of the hidden coordinates, and
    the weighted sum of log det A_hh.
    """
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    filled, _, hidden, mean, _, root = scratch
    p, squared = np.empty(n_clusters), np.empty(n_clusters)
    toward = np.empty((n_clusters, n_features))
    evidence, squares, determinants = 0.0, 0.0, 0.0
    counts, totals = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, n_features))
    of_seen = np.zeros((n_features, n_features))
    of_both, of_hidden = np.zeros_like(of_seen), np.zeros_like(of_seen)
    for i in range(rows.shape[0]):
        n_hidden, log_determinant = expected_hidden(
            rows[i], memories, metric, scratch, squared, toward
        )
        determinants += weights[i] * log_determinant
        for k in range(n_clusters):
            p[k] = logit(k, squared[k], float(n_hidden), memories)
        evidence += weights[i] * softmax(p)
        scale = weights[i] * mean_variance(p, memories)
        add_hidden_covariance(root, hidden, n_hidden, scale, of_hidden)
        pulled[i] = 0.0
        mean[:n_hidden] = 0.0
        for k in range(n_clusters):
            scaled, missing = memories.beta[k] * squared[k], float(n_hidden)
            seen = memories.dimension - missing
            u = weights[i] * p[k] * weight(memories.energy, scaled, seen, missing)
            counts[k] += weights[i] * p[k]
            totals[k] += u
            squares += u * squared[k]
            pulled[i] += u
            if p[k] < NEGLIGIBLE:
                continue
            solve_transposed(root, n_hidden, toward[k])
            for j in range(n_features):
                sums[k, j] += u * filled[j]
            for a in range(n_hidden):
                part = u * toward[k, a]
                sums[k, hidden[a]] += part
                mean[a] += part
                for b in range(n_hidden):
                    of_hidden[hidden[a], hidden[b]] += part * toward[k, b]
        add_moments(filled, hidden, n_hidden, pulled[i], mean, of_seen, of_both)
    of_both += np.tril(of_seen, -1)
    moment = np.diag(np.diag(of_seen)) + of_both + of_both.T + of_hidden
    return evidence, counts, totals, sums, squares, moment, determinants


@kernel
def mean_variance(p, memories):
    """The mean of 1 / (2 beta) under the posterior p."""
    total = 0.0
    for k in range(p.shape[0]):
        total += p[k] / (memories.beta[k] + memories.beta[k])
    return total


@kernel
def add_moments(filled, hidden, n_hidden, weight, mean, of_seen, of_both):
    """Add the outer products of the seen part, and of the hidden mean with it.

    The first is symmetric, so only its lower triangle is added.
    """
    for j in range(filled.shape[0]):
        scaled = weight * filled[j]
        if scaled != 0.0:
            for c in range(j + 1):
                of_seen[j, c] += scaled * filled[c]
    for a in range(n_hidden):
        for c in range(filled.shape[0]):
            of_both[hidden[a], c] += mean[a] * filled[c]


@allocating
def add_hidden_covariance(root, hidden, n_hidden, scale, moment):
    """Add scale * inv(A_hh), from the root of A_hh."""
    column = np.empty(n_hidden)
    for b in range(n_hidden):
        # Column b of the inverse of the root, 0 above b, and from it that of A_hh.
        column[b] = 1.0 / root[b, b]
        for a in range(b + 1, n_hidden):
            column[a] = 0.0
            for c in range(b, a):
                column[a] -= root[a, c] * column[c]
            column[a] /= root[a, a]
        solve_transposed(root, n_hidden, column, b)
        for a in range(b, n_hidden):
            part = scale * column[a]
            moment[hidden[a], hidden[b]] += part
            if a > b:
                moment[hidden[b], hidden[a]] += part
