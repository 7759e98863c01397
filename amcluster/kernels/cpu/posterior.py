"""Logits, posteriors and log evidence of a state under the memories."""

import math

import numpy as np

from .. import GAUSSIAN
from ._jit import inner, inner_lanewise, kernel, lanewise, part
from .elementary import exp, log
from .expansion import expanded, expands
from .lanes import (
    AS_TILES,
    LANES,
    Meeting,
    distances,
    fill_tile,
    product,
    square_tile,
    store,
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


def logits_of(rows, memories):
    """Logits in tiles."""
    values = distances(rows, memories.centers)
    to_logits(values, memories)
    return values


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


@inner_lanewise
def largest_of(logits, n_clusters, out):
    """Write the largest logit of each lane of a tile."""
    for lane in range(LANES):
        out[lane] = logits[0, lane]
    for k in range(1, n_clusters):
        for lane in range(LANES):
            out[lane] = logits[k, lane] if logits[k, lane] > out[lane] else out[lane]


@part
def resolution(logits):
    """Logits that differ by no more than rounding, four epsilon, count as equal."""
    return logits.dtype.type(-(2.0**-21) if logits.itemsize == 4 else -(2.0**-50))


@inner_lanewise
def to_exponentials(logits, n_clusters, largest, total):
    """Turn the logits of a tile into exp(logit - largest); write their sum, and those.

    What the tile has beyond the memories becomes 0. Where all logits are -infinity, too
    far away for the dtype, no memory is preferred: their differences are not numbers,
    and count as no difference.
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
def to_posteriors(logits, n_clusters, evidence):
    """Turn logits into posteriors; write their logsumexp into evidence."""
    total = np.empty(LANES, logits.dtype)
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
    """Write the number of the largest logit of each lane of a tile.

    It takes for equal what `to_exponentials` takes for equal: the two never disagree.
    """
    equal = resolution(logits)
    largest_of(logits, n_clusters, largest)
    for k in range(n_clusters - 1, -1, -1):
        number, values = np.int32(k), logits[k]
        for lane in range(LANES):
            if not values[lane] - largest[lane] < equal:
                best[lane] = number


def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    store(logits_of(rows, memories), out)


def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    meeting, by_products, start = _meeting(rows, memories)
    posterior_tiles(rows, memories, meeting, by_products, start, out)


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    meeting, by_products, start = _meeting(rows, memories)
    label_tiles(rows, memories, meeting, by_products, start, out)


def _meeting(rows, memories):
    """How logits are found but for what is the same for all memories."""
    meeting = Meeting.of(memories.centers)
    by_products = meeting.how == AS_TILES and expands(memories)
    start = np.zeros(len(meeting.centers), rows.dtype)
    if by_products:
        centers, start = expanded(memories)
        meeting = meeting._replace(centers=centers)
    return meeting, by_products, start


@kernel
def label_tiles(rows, memories, meeting, by_products, start, out):
    """`label`, tile by tile."""
    n_clusters = memories.log_weights.shape[0]
    best, largest = np.empty(LANES, np.int32), np.empty(LANES, rows.dtype)
    for first in range(0, rows.shape[0], LANES):
        logit_tile(rows, first, memories, meeting, by_products, start)
        largest_logit(meeting.squared[0], n_clusters, largest, best)
        for lane in range(LANES):
            if first + lane < out.shape[0]:
                out[first + lane] = best[lane]


@kernel
def posterior_tiles(rows, memories, meeting, by_products, start, out):
    """`posterior`, tile by tile."""
    evidence = np.empty((1, LANES), rows.dtype)
    for first in range(0, rows.shape[0], LANES):
        logit_tile(rows, first, memories, meeting, by_products, start)
        to_posteriors(meeting.squared, memories.log_weights.shape[0], evidence)
        store(meeting.squared, out[first : first + LANES])


@part
def logit_tile(rows, first, memories, meeting, by_products, start):
    """Write the logits of the rows from `first` on, in the place of distances."""
    if by_products:
        fill_tile(rows, first, rows.shape[0] - 1, meeting.tile[0])
        product(meeting.centers, start, meeting.tile, meeting.squared)
    else:
        square_tile(rows, first, meeting, meeting.squared)
        to_logits(meeting.squared, memories)


def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    values = logits_of(rows, memories)
    evidence = np.empty_like(values[:, 0])
    to_posteriors(values, len(memories.log_weights), evidence)
    out[:] = evidence.ravel()[: len(out)]


def squared_error(rows, weights, memories, labels):
    """Return the weighted sum of |x - center of its label|^2, in a tuple."""
    away = rows - memories.centers[labels]
    return ((np.einsum("nd,nd->n", away, away) * weights).sum(),)
