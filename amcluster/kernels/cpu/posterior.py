"""Logits, posteriors and log evidence of a state under the memories."""

import math

import numpy as np

from ._jit import kernel
from .elementary import exp, log
from .lanes import (
    LANES,
    load,
    padded_matrix,
    squares,
    store,
    tile_of,
)
from .likelihoods import log_kernel


@kernel
def squared_distance(a, b):
    """|a - b|^2, by differences: exact where the expanded form would cancel."""
    total = a.dtype.type(0.0)
    for j in range(a.shape[0]):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@kernel
def softmax(logits):
    """Replace logits by their softmax; return their logsumexp.

    Where all are -infinity, too far away for the dtype, no memory is preferred.
    """
    largest = logits[0]
    for k in range(1, logits.shape[0]):
        largest = max(largest, logits[k])
    if largest == -np.inf:
        logits[:] = 1.0 / logits.shape[0]
        return largest
    total = logits.dtype.type(0.0)
    for k in range(logits.shape[0]):
        logits[k] = math.exp(logits[k] - largest)
        total += logits[k]
    for k in range(logits.shape[0]):
        logits[k] /= total
    return largest + math.log(total)


@kernel
def posterior_at(state, memories, out):
    """Write p(k | state) into `out`; return the logsumexp of the logits."""
    for k in range(out.shape[0]):
        distance = squared_distance(state, memories.centers[k])
        out[k] = memories.log_weights[k] + log_kernel(distance, memories)
    return softmax(out)


@kernel
def to_logits(squared, memories, out):
    """Turn a tile of squared distances into logits."""
    for k in range(memories.log_weights.shape[0]):
        for lane in range(LANES):
            likelihood = log_kernel(squared[k, lane], memories)
            out[k, lane] = memories.log_weights[k] + likelihood


@kernel
def largest_of(logits, n_clusters, out):
    """Write the largest logit of each lane."""
    out[:] = logits[0]
    for k in range(1, n_clusters):
        for lane in range(LANES):
            out[lane] = max(out[lane], logits[k, lane])


@kernel
def resolution(logits):
    """Logits that differ by no more than rounding count as equal."""
    return logits.dtype.type(-4.0 * np.finfo(logits.dtype).eps)


@kernel
def to_posteriors(logits, n_clusters, evidence):
    """Turn a tile of logits into posteriors; write their logsumexp into evidence.

    What the tile has beyond the memories becomes 0.
    Where all are -infinity, too far away for the dtype, no memory is preferred: their
    differences are not numbers, and count as no difference.
    """
    one, equal = logits.dtype.type(1.0), resolution(logits)
    total = np.zeros(LANES, logits.dtype)
    largest_of(logits, n_clusters, evidence)
    for k in range(n_clusters):
        for lane in range(LANES):
            below = logits[k, lane] - evidence[lane]
            value = exp(below) if below < equal else one
            logits[k, lane] = value
            total[lane] += value
    for lane in range(LANES):
        evidence[lane] += log(total[lane])
        total[lane] = one / total[lane]
    for k in range(n_clusters):
        for lane in range(LANES):
            logits[k, lane] *= total[lane]
    logits[n_clusters:] = logits.dtype.type(0.0)


@kernel
def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    values = tile_of(centers.shape[0], rows)
    for start in range(0, rows.shape[0], LANES):
        load(rows, start, tile)
        squares(tile, centers, values)
        to_logits(values, memories, values)
        store(values, start, out)


@kernel
def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    values, evidence = tile_of(centers.shape[0], rows), np.empty(LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        load(rows, start, tile)
        squares(tile, centers, values)
        to_logits(values, memories, values)
        to_posteriors(values, memories.centers.shape[0], evidence)
        store(values, start, out)


@kernel
def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first.

    It takes for equal what `to_posteriors` takes for equal: the two never disagree.
    """
    n_clusters = memories.centers.shape[0]
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    values, largest = tile_of(centers.shape[0], rows), np.empty(LANES, rows.dtype)
    best = np.empty(LANES, np.int32)
    equal = resolution(rows)
    for start in range(0, rows.shape[0], LANES):
        n_live = load(rows, start, tile)
        squares(tile, centers, values)
        to_logits(values, memories, values)
        largest_of(values, n_clusters, largest)
        for k in range(n_clusters - 1, -1, -1):
            number = np.int32(k)
            logits = values[k]
            for lane in range(LANES):
                if not logits[lane] - largest[lane] < equal:
                    best[lane] = number
        for lane in range(n_live):
            out[start + lane] = best[lane]


@kernel
def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    centers, tile = padded_matrix(memories.centers), tile_of(rows.shape[1], rows)
    values, evidence = tile_of(centers.shape[0], rows), np.empty(LANES, rows.dtype)
    for start in range(0, rows.shape[0], LANES):
        n_live = load(rows, start, tile)
        squares(tile, centers, values)
        to_logits(values, memories, values)
        to_posteriors(values, memories.centers.shape[0], evidence)
        out[start : start + n_live] = evidence[:n_live]


@kernel
def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    total = 0.0
    for i in range(rows.shape[0]):
        total += weights[i] * squared_distance(rows[i], memories.centers[labels[i]])
    return (total,)
