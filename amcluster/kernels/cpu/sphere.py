"""Rows on the sphere: logits, posteriors and labels from cosines, and sums over rows.

Rows are never copied or normalised: inner products are multiplied by the inverse length
of the row. That of a row of zeros is infinite, and all its cosines are 0.
"""

from typing import NamedTuple

import numpy as np

from ._jit import inner, inner_lanewise, kernel, part
from .reduce import largest_logit, resolution, to_posteriors
from .tiles import LANES, aligned_zeros, indices, store
from .ways import add_row, add_shares, write_products


class Lanes(NamedTuple):
    """Room for numbers of the rows of a tile."""

    scale: np.ndarray  # (LANES,) float64, the inverse length; 0 if infinite or unused
    weight: np.ndarray  # (LANES,) float64, 0 in unused lanes
    largest: np.ndarray  # (1, LANES) logit, or the log evidence
    total: np.ndarray  # (1, LANES)
    best: np.ndarray  # (LANES,) index of the largest logit

    @classmethod
    def empty(cls, dtype):
        """Room for rows of a dtype."""
        scale, weight = aligned_zeros((2, LANES), float)
        return cls(scale, weight, *aligned_zeros((2, 1, LANES), dtype), indices(dtype))


@inner
def read(inverse_norms, weights, start, lanes):
    """Write the inverse lengths and the weights of a tile of rows."""
    n_rows = inverse_norms.shape[0]
    for lane in range(LANES):
        i = start + lane
        inverse = inverse_norms[i] if i < n_rows else 0.0
        lanes.scale[lane] = inverse if inverse < np.inf else 0.0
        lanes.weight[lane] = weights[i] if i < n_rows else 0.0


@inner_lanewise
def to_cosines(values, scale):
    """Turn inner products into cosines, in place."""
    for k in range(values.shape[0]):
        lanes = values[k]
        for lane in range(LANES):
            lanes[lane] = scale[lane] * lanes[lane]


@inner_lanewise
def to_sphere_logits(values, memories):
    """Turn cosines into logits, in place."""
    for k in range(memories.offsets.shape[0]):
        lanes, offset, kappa = (
            values[k],
            memories.offsets[k],
            memories.concentrations[k],
        )
        for lane in range(LANES):
            lanes[lane] = offset + kappa * lanes[lane]


@part
def write_logits(rows, inverse_norms, weights, start, memories, way, lanes):
    """Write the logits of a tile of rows into ``way.values``."""
    read(inverse_norms, weights, start, lanes)
    write_products(rows, start, way)
    to_cosines(way.values[0], lanes.scale)
    to_sphere_logits(way.values[0], memories)


def sphere_logits(rows, inverse_norms, memories, way, out):
    """Write the logits into out (n_rows, n_clusters)."""
    lanes = Lanes.empty(out.dtype)
    sphere_logit_tiles(rows, inverse_norms, memories, way, lanes, out)


def sphere_posterior(rows, inverse_norms, memories, way, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    lanes = Lanes.empty(out.dtype)
    sphere_posterior_tiles(rows, inverse_norms, memories, way, lanes, out)


def sphere_label(rows, inverse_norms, memories, way, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    lanes = Lanes.empty(way.values.dtype)
    sphere_label_tiles(rows, inverse_norms, memories, way, lanes, out)


def sphere_evidence(rows, inverse_norms, memories, way, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    lanes = Lanes.empty(out.dtype)
    sphere_evidence_tiles(rows, inverse_norms, memories, way, lanes, out)


@kernel
def sphere_logit_tiles(rows, inverse_norms, memories, way, lanes, out):
    """`sphere_logits`, tile by tile."""
    for start in range(0, inverse_norms.shape[0], LANES):
        write_logits(rows, inverse_norms, inverse_norms, start, memories, way, lanes)
        store(way.values, out[start : start + LANES])


@kernel
def sphere_posterior_tiles(rows, inverse_norms, memories, way, lanes, out):
    """`sphere_posterior`, tile by tile."""
    n_clusters = memories.offsets.shape[0]
    for start in range(0, inverse_norms.shape[0], LANES):
        write_logits(rows, inverse_norms, inverse_norms, start, memories, way, lanes)
        to_posteriors(way.values, n_clusters, lanes.largest, lanes.total[0])
        store(way.values, out[start : start + LANES])


@kernel
def sphere_label_tiles(rows, inverse_norms, memories, way, lanes, out):
    """`sphere_label`, tile by tile."""
    n_clusters, n_rows = memories.offsets.shape[0], inverse_norms.shape[0]
    for start in range(0, n_rows, LANES):
        write_logits(rows, inverse_norms, inverse_norms, start, memories, way, lanes)
        largest_logit(way.values[0], n_clusters, lanes.largest[0], lanes.best)
        for lane in range(min(n_rows - start, LANES)):
            out[start + lane] = lanes.best[lane]


@kernel
def sphere_evidence_tiles(rows, inverse_norms, memories, way, lanes, out):
    """`sphere_evidence`, tile by tile."""
    n_clusters, n_rows = memories.offsets.shape[0], inverse_norms.shape[0]
    for start in range(0, n_rows, LANES):
        write_logits(rows, inverse_norms, inverse_norms, start, memories, way, lanes)
        to_posteriors(way.values, n_clusters, lanes.largest, lanes.total[0])
        for lane in range(min(n_rows - start, LANES)):
            out[start + lane] = lanes.largest[0, lane]


@part
def negligible(values):
    """A posterior that counts as 0 in sums, which are rounded by far more than that."""
    return values.dtype.type(2.0**-35 if values.itemsize == 4 else 2.0**-64)


def sphere_expectation(rows, inverse_norms, weights, memories, way, sums):
    """Add w p x / |x| to the sums over rows, with the posterior p.

    Posteriors that are `negligible` are left out, so that rows that belong to few
    directions take little time. Returns the weighted sum of the log evidence, and those
    of p (K,).
    """
    counts = np.zeros(len(memories.offsets))
    lanes = Lanes.empty(way.values.dtype)
    arguments = inverse_norms, weights, memories, way, lanes, counts, sums
    return sphere_expect(rows, *arguments), counts


@kernel
def sphere_expect(rows, inverse_norms, weights, memories, way, lanes, counts, sums):
    """Add to the sums; return the sum of w log evidence."""
    n_clusters, evidence = memories.offsets.shape[0], 0.0
    values, largest, w = way.values[0], lanes.largest[0], lanes.weight
    least = negligible(values)
    for start in range(0, inverse_norms.shape[0], LANES):
        write_logits(rows, inverse_norms, weights, start, memories, way, lanes)
        to_posteriors(way.values, n_clusters, lanes.largest, lanes.total[0])
        for lane in range(LANES):
            evidence += w[lane] * largest[lane]
        for k in range(n_clusters):
            p, count = values[k], 0.0
            for lane in range(LANES):
                share = w[lane] * p[lane]
                count += share
                p[lane] = share * lanes.scale[lane] if p[lane] > least else 0.0
            counts[k] += count
        add_shares(rows, start, way, sums)
    return evidence


def sphere_assignment(rows, inverse_norms, weights, way, n_clusters, sums, labels):
    """Add w x / |x| to the sums of the direction of largest cosine, and write labels.

    Returns the weighted sum of the largest cosines, the weight of the rows of each
    direction (K,), and the number of labels that changed.
    """
    counts, lanes = np.zeros(n_clusters), Lanes.empty(way.values.dtype)
    arguments = inverse_norms, weights, way, lanes, counts, sums, labels
    evidence, n_changed = sphere_assign(rows, *arguments)
    return evidence, counts, n_changed


@inner_lanewise
def largest_product(values, n_clusters, lanes):
    """Write the index of the largest product of each lane of a tile.

    Of two that differ by no more than rounding the first counts: their cosines count as
    equal as logits do.
    """
    largest, margin, best = lanes.largest[0], lanes.total[0], lanes.best
    for lane in range(LANES):
        margin[lane] = -resolution(values) / lanes.scale[lane]
        largest[lane], best[lane] = values[0, lane], 0
    for k in range(1, n_clusters):
        index, products = best.dtype.type(k), values[k]
        for lane in range(LANES):
            above = products[lane] > largest[lane] + margin[lane]
            largest[lane] = products[lane] if above else largest[lane]
            best[lane] = index if above else best[lane]


@kernel
def sphere_assign(rows, inverse_norms, weights, way, lanes, counts, sums, labels):
    """Add to the sums; return that of w times the largest cosine, and the changes."""
    n_rows, evidence, n_changed = inverse_norms.shape[0], 0.0, 0
    values = way.values[0]
    for start in range(0, n_rows, LANES):
        read(inverse_norms, weights, start, lanes)
        write_products(rows, start, way)
        largest_product(values, counts.shape[0], lanes)
        for lane in range(min(n_rows - start, LANES)):
            i, k, w = start + lane, lanes.best[lane], lanes.weight[lane]
            n_changed += labels[i] != k
            labels[i] = k
            counts[k] += w
            evidence += w * lanes.scale[lane] * values[k, lane]
            add_row(i, rows, w * lanes.scale[lane], k, sums)
    return evidence, n_changed
