"""Logits, posteriors and log evidence of a state under the memories."""

import math

import numpy as np

from ._jit import kernel
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
def logits_at(state, memories, out):
    """Write the logits of one state into `out`."""
    for k in range(out.shape[0]):
        distance = squared_distance(state, memories.centers[k])
        out[k] = memories.log_weights[k] + log_kernel(distance, memories)


@kernel
def posterior_at(state, memories, out):
    """Write p(k | state) into `out`; return the logsumexp of the logits."""
    logits_at(state, memories, out)
    return softmax(out)


@kernel
def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    for i in range(rows.shape[0]):
        logits_at(rows[i], memories, out[i])


@kernel
def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    for i in range(rows.shape[0]):
        posterior_at(rows[i], memories, out[i])


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first.

    It reads the very numbers `posterior` writes, so the two can never disagree.
    """
    probabilities = np.empty((len(rows), len(memories.centers)), rows.dtype)
    posterior(rows, memories, probabilities)
    probabilities.argmax(axis=1, out=out)


@kernel
def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    scratch = np.empty(memories.centers.shape[0], rows.dtype)
    for i in range(rows.shape[0]):
        out[i] = posterior_at(rows[i], memories, scratch)


@kernel
def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    total = 0.0
    for i in range(rows.shape[0]):
        total += weights[i] * squared_distance(rows[i], memories.centers[labels[i]])
    return (total,)
