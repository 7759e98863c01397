"""Logits, posteriors and log evidence of a state under the memories."""

import math

import numpy as np

from .. import GAUSSIAN
from ._jit import kernel, lanewise
from .elementary import exp, log
from .lanes import LANES, distances, store
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


def logits_of(rows, memories):
    """Logits in tiles."""
    values = distances(rows, memories.centers)
    to_logits(values, memories)
    return values


def posteriors_of(rows, memories):
    """Posteriors in tiles, and the log evidence in lanes."""
    values = logits_of(rows, memories)
    evidence = np.empty((len(values), LANES), values.dtype)
    to_posteriors(values, len(memories.log_weights), evidence)
    return values, evidence


@lanewise
def to_logits(values, memories):
    """Turn squared distances into logits.

    In place, because lanes of two arrays that may overlap would go one by one.
    """
    for tile in range(values.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            lanes = values[tile, k]
            log_weight, beta = memories.log_weights[k], memories.beta
            if memories.likelihood == GAUSSIAN:
                for lane in range(LANES):
                    lanes[lane] = log_weight - beta * lanes[lane]
            else:
                for lane in range(LANES):
                    lanes[lane] = log_weight + log_kernel(lanes[lane], memories)


@lanewise
def largest_of(logits, n_clusters, out):
    """Write the largest logit of each lane of a tile."""
    for lane in range(LANES):
        out[lane] = logits[0, lane]
    for k in range(1, n_clusters):
        for lane in range(LANES):
            out[lane] = max(out[lane], logits[k, lane])


@kernel
def resolution(logits):
    """Logits that differ by no more than rounding count as equal."""
    return logits.dtype.type(-4.0 * np.finfo(logits.dtype).eps)


@lanewise
def to_posteriors(logits, n_clusters, evidence):
    """Turn logits into posteriors; write their logsumexp into evidence.

    What the tiles have beyond the memories becomes 0. Where all logits are -infinity,
    too far away for the dtype, no memory is preferred: their differences are not
    numbers, and count as no difference.
    """
    one, equal = logits.dtype.type(1.0), resolution(logits)
    total = np.empty(LANES, logits.dtype)
    for tile in range(logits.shape[0]):
        values, largest = logits[tile], evidence[tile]
        largest_of(values, n_clusters, largest)
        for lane in range(LANES):
            total[lane] = 0.0
        for k in range(n_clusters):
            for lane in range(LANES):
                below = values[k, lane] - largest[lane]
                value = exp(below) if below < equal else one
                values[k, lane] = value
                total[lane] += value
        for lane in range(LANES):
            largest[lane] += log(total[lane])
            total[lane] = one / total[lane]
        for k in range(n_clusters):
            for lane in range(LANES):
                values[k, lane] *= total[lane]
        for k in range(n_clusters, values.shape[0]):
            for lane in range(LANES):
                values[k, lane] = 0.0


@kernel
def largest_logit(logits, n_clusters, out):
    """Write the number of the largest logit of each lane into out (n_rows,).

    It takes for equal what `to_posteriors` takes for equal: the two never disagree.
    """
    best, largest = np.zeros(LANES, np.int32), np.empty(LANES, logits.dtype)
    equal = resolution(logits)
    for tile in range(logits.shape[0]):
        largest_of(logits[tile], n_clusters, largest)
        for k in range(n_clusters - 1, -1, -1):
            number, values = np.int32(k), logits[tile, k]
            for lane in range(LANES):
                if not values[lane] - largest[lane] < equal:
                    best[lane] = number
        start = tile * LANES
        for lane in range(min(LANES, out.shape[0] - start)):
            out[start + lane] = best[lane]


def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    store(logits_of(rows, memories), out)


def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    store(posteriors_of(rows, memories)[0], out)


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    largest_logit(logits_of(rows, memories), len(memories.log_weights), out)


def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    _, evidence = posteriors_of(rows, memories)
    out[:] = evidence.ravel()[: len(out)]


def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    away = rows - memories.centers[labels]
    return ((np.einsum("nd,nd->n", away, away) * weights).sum(),)
