"""Logits, posteriors, labels and log evidence of states under the memories."""

import math

import numpy as np

from ._jit import cuda, kernel, part
from ._launch import launch
from .energies import log_kernel
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    largest_of_lane,
    own,
    squares,
    store,
    sum_of_lane,
    tile_at,
    tiles_of,
)


@part
def resolution(dtype):
    """Logits count as equal if they differ by at most four epsilon, as by rounding."""
    return dtype.type(-4.0 * np.finfo(dtype).eps)


@part
def logit(k, squared, n_hidden, memories):
    """The logit of memory k at a squared distance over the seen features."""
    n_seen = memories.dimension - n_hidden
    scaled = memories.beta[k] * squared
    log_weight = memories.log_weights[k] + n_seen * memories.log_scales[k]
    return log_weight + log_kernel(memories.energy, scaled, n_seen, n_hidden)


@part
def to_logits(squared, n_hidden, memories, out):
    """Write logits, given squared distances and n_hidden of this thread's lane."""
    lane = cuda.threadIdx.x
    for k in own(memories.log_weights.shape[0]):
        out[k, lane] = logit(k, squared[k, lane], n_hidden, memories)


@part
def largest_logit(logits, n_clusters, shared):
    """The largest logit of this thread's lane."""
    lane, largest = cuda.threadIdx.x, logits.dtype.type(-np.inf)
    for k in own(n_clusters):
        largest = max(largest, logits[k, lane])
    return largest_of_lane(largest, shared)


@part
def to_posteriors(logits, n_clusters, shared):
    """Turn logits into posteriors; return the logsumexp of this thread's lane.

    If all logits are -infinity, because distances exceed the dtype's range, their
    differences are NaN and count as 0: no memory is preferred.
    """
    lane, one, equal = cuda.threadIdx.x, logits.dtype.type(1), resolution(logits.dtype)
    largest = largest_logit(logits, n_clusters, shared)
    total = logits.dtype.type(0)
    for k in own(n_clusters):
        below = logits[k, lane] - largest
        value = math.exp(below) if below < equal else one
        logits[k, lane] = value
        total += value
    total = sum_of_lane(total, shared)
    for k in own(n_clusters):
        logits[k, lane] *= one / total
    return largest + math.log(total)


@kernel
def write_logits(rows, memories, room, out):
    """The logits of each row."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values = room[cuda.blockIdx.x]
    for start in tiles_of(rows):
        squares(memories.centers, tile_at(rows, start), values, shared)
        to_logits(values, rows.dtype.type(0), memories, values)
        store(values, start, out)


@kernel
def write_posterior(rows, memories, room, out):
    """The posterior of each row."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values = room[cuda.blockIdx.x]
    for start in tiles_of(rows):
        squares(memories.centers, tile_at(rows, start), values, shared)
        to_logits(values, rows.dtype.type(0), memories, values)
        to_posteriors(values, memories.log_weights.shape[0], shared)
        store(values, start, out)


@kernel
def write_label(rows, memories, room, out):
    """The index of the largest logit of each row.

    Logits count as equal as in `to_posteriors`, so labels agree with posteriors.
    """
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values, n_clusters = room[cuda.blockIdx.x], memories.log_weights.shape[0]
    lane, equal = cuda.threadIdx.x, resolution(rows.dtype)
    for start in tiles_of(rows):
        squares(memories.centers, tile_at(rows, start), values, shared)
        to_logits(values, rows.dtype.type(0), memories, values)
        largest = largest_logit(values, n_clusters, shared)
        if cuda.threadIdx.y == 0 and start + lane < out.shape[0]:
            k = 0
            while k < n_clusters - 1 and values[k, lane] - largest < equal:
                k += 1
            out[start + lane] = k


@kernel
def write_log_evidence(rows, memories, room, out):
    """The logsumexp of the logits of each row."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values, row = room[cuda.blockIdx.x], cuda.threadIdx.x
    for start in tiles_of(rows):
        squares(memories.centers, tile_at(rows, start), values, shared)
        to_logits(values, rows.dtype.type(0), memories, values)
        evidence = to_posteriors(values, memories.log_weights.shape[0], shared)
        if cuda.threadIdx.y == 0 and start + row < out.shape[0]:
            out[start + row] = evidence


@kernel
def sum_squared_error(rows, weights, memories, labels, total):
    """The weighted sum of squared distances of rows to the centers of their labels."""
    n_features, lane = rows.shape[1], cuda.threadIdx.x
    for start in tiles_of(rows):
        i = start + lane
        if i < rows.shape[0]:
            squared = rows.dtype.type(0)
            for j in own(n_features):
                away = rows[i, j] - memories.centers[labels[i], j]
                squared += away * away
            total[cuda.blockIdx.x, cuda.threadIdx.y, lane] += weights[i] * squared


def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    launch(write_logits, rows, memories, room=[(len(memories.centers),)], out=[out])


def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    launch(write_posterior, rows, memories, room=[(len(memories.centers),)], out=[out])


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    launch(write_label, rows, memories, room=[(len(memories.centers),)], out=[out])


def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    room = [(len(memories.centers),)]
    launch(write_log_evidence, rows, memories, room=room, out=[out])


def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    arguments = rows, weights, memories, labels
    (total,) = launch(sum_squared_error, *arguments, sums=[(PARTS, LANES)])
    return (float(total.sum()),)
