"""Rows with holes: NaN is a coordinate that was not seen.

What is not seen is integrated out. Where the metric A is Euclidean, distances run over
the coordinates that are seen. Otherwise the hidden part of a row is put where a memory
expects it, given the rest: for the difference d of row and center, with any values in
the holes, and g = A d, the least of d^T A d over the hidden coordinates h is

    d^T A d - g_h^T inv(A_hh) g_h    at    d_h - inv(A_hh) g_h

and the marginal density has sqrt(det A / det A_hh) in its normaliser, det A = 1. Only
matrices of the size of the hidden part are ever solved.
"""

import math

import numpy as np

from ._jit import allocating, kernel, lanewise
from .energies import weight
from .reduce import logit, softmax, to_posteriors
from .tiles import (
    LANES,
    add_products,
    load,
    load_lanes,
    padded_matrix,
    room,
    squares_of_seen,
    store,
    weighted_sums,
)

# A posterior less than this adds nothing that rounding leaves of the others.
NEGLIGIBLE = 1e-17


@kernel
def fill_zeros(row, filled, seen, hidden):
    """Write the row with 0 in its holes and where it is seen; return how many are not.

    The numbers of the hidden coordinates go into the front of `hidden`.
    """
    n_hidden = 0
    for j in range(row.shape[0]):
        is_seen = row[j] == row[j]
        filled[j] = row[j] if is_seen else row.dtype.type(0.0)
        seen[j] = row.dtype.type(1.0) if is_seen else row.dtype.type(0.0)
        if not is_seen:
            hidden[n_hidden] = j
            n_hidden += 1
    return n_hidden


@kernel
def seen_squares(filled, seen, centers, squared):
    """Write the squared distances over the seen coordinates."""
    for k in range(centers.shape[0]):
        total = filled.dtype.type(0.0)
        for j in range(filled.shape[0]):
            difference = seen[j] * (filled[j] - centers[k, j])
            total += difference * difference
        squared[k] = total


def seen_logits(rows, memories, out):
    """Write the logits over the seen coordinates into out (n_rows, n_clusters)."""
    logits, *_ = _seen_logits(load(rows), memories)
    store(logits, out)


def _seen_logits(tiles, memories):
    """Logits, squared distances and how many coordinates are hidden, in tiles."""
    squared = room(tiles, len(memories.centers))
    squares_of_seen(tiles, padded_matrix(memories.centers), squared)
    logits, hidden = squared.copy(), np.zeros((len(tiles), LANES), tiles.dtype)
    count_hidden(tiles, hidden)
    to_seen_logits(logits, hidden, memories)
    return logits, squared, hidden


@lanewise
def count_hidden(tiles, hidden):
    """Add up how many coordinates of each row are not seen."""
    one, zero = tiles.dtype.type(1.0), tiles.dtype.type(0.0)
    for tile in range(tiles.shape[0]):
        for j in range(tiles.shape[1]):
            for lane in range(LANES):
                x = tiles[tile, j, lane]
                hidden[tile, lane] += zero if x == x else one


@lanewise
def to_seen_logits(values, hidden, memories):
    """Turn squared distances over the seen coordinates into logits, in place."""
    for tile in range(values.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            lanes = values[tile, k]
            for lane in range(LANES):
                lanes[lane] = logit(k, lanes[lane], hidden[tile, lane], memories)


@lanewise
def to_seen_pulls(p, w, squared, hidden, memories):
    """Turn posteriors into u = w p g, in place, and squared distances into u times."""
    for tile in range(p.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            posteriors, squares = p[tile, k], squared[tile, k]
            for lane in range(LANES):
                scaled, n_hidden = memories.beta * squares[lane], hidden[tile, lane]
                n_seen = memories.dimension - n_hidden
                g = weight(memories.energy, scaled, n_seen, n_hidden)
                posteriors[lane] *= w[tile, lane] * g
                squares[lane] *= posteriors[lane]


def seen_expectation(rows, weights, memories, pulled):
    """As `expectation`, over the seen coordinates; the sums of u are (K, D)."""
    n_clusters, n_features = memories.centers.shape
    tiles = load(rows)
    u, squared, hidden = _seen_logits(tiles, memories)
    w, evidence = load_lanes(weights, len(tiles)), np.empty_like(tiles[:, 0])
    to_posteriors(u, n_clusters, evidence, np.empty_like(evidence[0]))
    counts = weighted_sums(u, w, n_clusters)
    to_seen_pulls(u, w, squared, hidden, memories)
    pulled[:] = u[:, :n_clusters].sum(axis=1).ravel()[: len(pulled)]
    hole, ones = np.isnan(tiles), np.ones_like(w)
    shape = len(u[0]), len(tiles[0])
    sums, seen = np.zeros(shape), np.zeros(shape)
    add_products(u, np.where(hole, tiles.dtype.type(0), tiles), sums)
    add_products(u, (~hole).astype(tiles.dtype), seen)
    with np.errstate(invalid="ignore"):  # in each thread: an evidence may be -infinity
        total = (w * evidence).sum()
    return (
        total,
        counts,
        seen[:n_clusters, :n_features],
        sums[:n_clusters, :n_features],
        weighted_sums(squared, ones, n_clusters).sum(),
    )


@kernel
def hidden_root(matrix, hidden, n_hidden, root):
    """Write the triangular root of matrix[hidden, hidden]; return its log determinant.

    The determinant is that of the block, not of the root.
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
def expected_holes(row, memories, metric, scratch, squared, toward):
    """How far the memories are from a row, where they expect its hidden coordinates.

    Writes the least squared distances (K,) and toward (K, D): `solve_transposed` makes
    of toward[k] what memory k expects of the hidden coordinates, minus those of the
    row filled with 0. `scratch` keeps the row and the root of A_hh. Returns the number
    of hidden coordinates and log det A_hh.
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
        # The difference of two infinities is too far away for the dtype.
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
    """As `seen_logits`, in a metric; writes log det A_hh too (n_rows,)."""
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    squared, toward = np.empty(n_clusters), np.empty((n_clusters, n_features))
    for i in range(rows.shape[0]):
        n_hidden, log_determinants[i] = expected_holes(
            rows[i], memories, metric, scratch, squared, toward
        )
        for k in range(n_clusters):
            out[i, k] = logit(k, squared[k], float(n_hidden), memories)


@allocating
def metric_complete(rows, memories, metric, out):
    """Write the rows, with their holes filled by what is expected, into `out`."""
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    _, _, hidden, mean, _, root = scratch
    p, squared = np.empty(n_clusters), np.empty(n_clusters)
    toward = np.empty((n_clusters, n_features))
    for i in range(rows.shape[0]):
        out[i] = rows[i]
        n_hidden, _ = expected_holes(
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
    """As `expectation`, in a metric and for rows filled as each memory expects them.

    Returns further the sum of u x x^T, with the covariance of what is hidden, and the
    sum of the log det A_hh.
    """
    n_clusters, n_features = memories.centers.shape
    scratch = scratch_for(n_features)
    filled, _, hidden, mean, _, root = scratch
    p, squared = np.empty(n_clusters), np.empty(n_clusters)
    toward = np.empty((n_clusters, n_features))
    evidence, squares, determinants = 0.0, 0.0, 0.0
    counts, pulls = np.zeros(n_clusters), np.zeros(n_clusters)
    sums = np.zeros((n_clusters, n_features))
    of_seen = np.zeros((n_features, n_features))
    of_both, of_hidden = np.zeros_like(of_seen), np.zeros_like(of_seen)
    for i in range(rows.shape[0]):
        n_hidden, log_determinant = expected_holes(
            rows[i], memories, metric, scratch, squared, toward
        )
        determinants += weights[i] * log_determinant
        for k in range(n_clusters):
            p[k] = logit(k, squared[k], float(n_hidden), memories)
        evidence += weights[i] * softmax(p)
        add_hidden_covariance(root, hidden, n_hidden, weights[i], memories, of_hidden)
        pulled[i] = 0.0
        mean[:n_hidden] = 0.0
        for k in range(n_clusters):
            scaled, missing = memories.beta * squared[k], float(n_hidden)
            seen = memories.dimension - missing
            u = weights[i] * p[k] * weight(memories.energy, scaled, seen, missing)
            counts[k] += weights[i] * p[k]
            pulls[k] += u
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
    return evidence, counts, pulls, sums, squares, moment, determinants


@kernel
def add_moments(filled, hidden, n_hidden, weight, mean, of_seen, of_both):
    """Add what is seen times what is seen, and the hidden means times what is seen.

    Of the first, which is symmetric, only the lower triangle.
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
def add_hidden_covariance(root, hidden, n_hidden, weight, memories, moment):
    """Add weight * inv(A_hh) / (2 beta), from the root of A_hh."""
    column = np.empty(n_hidden)
    scale = weight / (memories.beta + memories.beta)
    for b in range(n_hidden):
        # Column b of the inverse root, which is 0 above b, gives that of the inverse.
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
