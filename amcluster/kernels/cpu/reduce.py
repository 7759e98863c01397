"""Logits, posteriors, labels and log evidence of states under the memories."""

import math

import numpy as np

from ._jit import inner, inner_lanewise, kernel, lanewise, part
from .elementary import exp, log
from .energies import log_kernel
from .pairwise import pairs_with, write_distances
from .tiles import LANES, aligned_zeros, indices, store


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

    If all are -infinity, because distances exceed the dtype's range, it is uniform.
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


@part
def logit(k, squared, n_hidden, memories):
    """The logit of memory k at a squared distance over the seen features."""
    n_seen = memories.dimension - n_hidden
    scaled = memories.beta[k] * squared
    log_weight = memories.log_weights[k] + n_seen * memories.log_scales[k]
    return log_weight + log_kernel(memories.energy, scaled, n_seen, n_hidden)


@lanewise
def to_logits(values, memories):
    """Turn squared distances into logits, in place.

    With two arrays, which might overlap, LLVM would not vectorise the loop over lanes.
    """
    none = values.dtype.type(0.0)
    for tile in range(values.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            lanes = values[tile, k]
            for lane in range(LANES):
                lanes[lane] = logit(k, lanes[lane], none, memories)


@inner_lanewise
def largest_of(logits, n_clusters, out):
    """Write the largest logit of each lane of a tile."""
    for lane in range(LANES):
        out[lane] = -np.inf
    for k in range(n_clusters):
        for lane in range(LANES):
            out[lane] = logits[k, lane] if logits[k, lane] > out[lane] else out[lane]


@part
def resolution(logits):
    """Logits count as equal if they differ by at most four epsilon, as by rounding."""
    return logits.dtype.type(-(2.0**-21) if logits.itemsize == 4 else -(2.0**-50))


@inner_lanewise
def to_exponentials(logits, n_clusters, largest, total):
    """Turn the logits of a tile into exp(logit - largest).

    Writes the largest logit and the sum of the exponentials of each lane. Padding
    beyond the memories becomes 0. If all logits are -infinity, because distances exceed
    the dtype's range, their differences are NaN and count as 0: no memory is preferred.
    """
    one, equal = logits.dtype.type(1.0), resolution(logits)
    largest_of(logits, n_clusters, largest)
    for lane in range(LANES):
        total[lane] = 0.0
    for k in range(n_clusters):
        for lane in range(LANES):
            below = logits[k, lane] - largest[lane]
            value = exp(below) if below < equal else one
            logits[k, lane] = value
            total[lane] += value
    for k in range(n_clusters, logits.shape[0]):
        for lane in range(LANES):
            logits[k, lane] = 0.0


@lanewise
def to_posteriors(logits, n_clusters, evidence, total):
    """Turn logits into posteriors; write their logsumexp into evidence.

    `total` is room for one number per lane.
    """
    for tile in range(logits.shape[0]):
        values, largest = logits[tile], evidence[tile]
        to_exponentials(values, n_clusters, largest, total)
        for lane in range(LANES):
            largest[lane] += log(total[lane])
            total[lane] = logits.dtype.type(1.0) / total[lane]
        for k in range(n_clusters):
            for lane in range(LANES):
                values[k, lane] *= total[lane]


@inner
def largest_logit(logits, n_clusters, largest, best):
    """Write the index of the largest logit of each lane of a tile, the first if equal.

    Logits count as equal as in `to_exponentials`, so labels agree with posteriors.
    """
    equal = resolution(logits)
    largest_of(logits, n_clusters, largest)
    for k in range(n_clusters - 1, -1, -1):
        index, values = best.dtype.type(k), logits[k]
        for lane in range(LANES):
            if not values[lane] - largest[lane] < equal:
                best[lane] = index


def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    logit_tiles(rows, memories, pairs_with(memories), out)


def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    lanes = aligned_zeros((2, 1, LANES), rows.dtype)
    posterior_tiles(rows, memories, pairs_with(memories), *lanes, out)


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    best, largest = indices(rows.dtype), aligned_zeros((LANES,), rows.dtype)
    label_tiles(rows, memories, pairs_with(memories), best, largest, out)


def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    lanes = aligned_zeros((2, 1, LANES), rows.dtype)
    evidence_tiles(rows, memories, pairs_with(memories), *lanes, out)


@kernel
def logit_tiles(rows, memories, pairs, out):
    """`logits`, tile by tile."""
    for first in range(0, rows.shape[0], LANES):
        write_distances(rows, first, pairs)
        to_logits(pairs.values, memories)
        store(pairs.values, out[first : first + LANES])


@kernel
def posterior_tiles(rows, memories, pairs, evidence, total, out):
    """`posterior`, tile by tile."""
    n_clusters = memories.log_weights.shape[0]
    for first in range(0, rows.shape[0], LANES):
        write_distances(rows, first, pairs)
        to_logits(pairs.values, memories)
        to_posteriors(pairs.values, n_clusters, evidence, total[0])
        store(pairs.values, out[first : first + LANES])


@kernel
def label_tiles(rows, memories, pairs, best, largest, out):
    """`label`, tile by tile."""
    n_clusters = memories.log_weights.shape[0]
    for first in range(0, rows.shape[0], LANES):
        write_distances(rows, first, pairs)
        to_logits(pairs.values, memories)
        largest_logit(pairs.values[0], n_clusters, largest, best)
        for lane in range(min(rows.shape[0] - first, LANES)):
            out[first + lane] = best[lane]


@kernel
def evidence_tiles(rows, memories, pairs, evidence, total, out):
    """`log_evidence`, tile by tile."""
    n_clusters = memories.log_weights.shape[0]
    for first in range(0, rows.shape[0], LANES):
        write_distances(rows, first, pairs)
        to_logits(pairs.values, memories)
        to_posteriors(pairs.values, n_clusters, evidence, total[0])
        for lane in range(min(rows.shape[0] - first, LANES)):
            out[first + lane] = evidence[0, lane]


def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    away = rows - memories.centers[labels]
    return ((np.einsum("nd,nd->n", away, away) * weights).sum(),)
