"""Cosines of rows and directions, and the sums over rows that learning needs of them.

Rows are never copied or normalised: inner products are multiplied by the inverse length
of the row. That of a row of zeros is infinite, and all its cosines are 0.

Rows are read in one of three ways, each of a type of its own; `sparse` has the third.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import OPTIONS, inner, inner_lanewise, kernel, part
from .reduce import largest_logit, to_posteriors
from .tiles import (
    LANES,
    add_products,
    aligned_zeros,
    fill_tile,
    indices,
    product,
    store,
)

# Rows are read along their features, without copying them into tiles, if there are at
# least MANY features or TIMES times as many as padded directions.
MANY, TIMES = 64, 8

# Rows are added to sums one by one if at most one in FEW of their shares is not 0.
FEW = 5


class InTiles(NamedTuple):
    """Rows are copied into tiles, where they are lanes."""

    directions: np.ndarray  # (K, D) padded
    zeros: np.ndarray  # (K,)
    tile: np.ndarray  # (1, D, LANES) room for the rows
    values: np.ndarray  # (1, K, LANES) room for a number of each direction and row


class AlongFeatures(NamedTuple):
    """Rows are read as they lie."""

    directions: np.ndarray  # (K, D) padded
    zeros: np.ndarray  # (K,)
    chunk: np.ndarray  # (1, LANES, LANES) room for as many features of as many rows
    partial: np.ndarray  # (1, K, LANES) room for sums over these rows
    values: np.ndarray  # (1, K, LANES)


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


def way_of(directions):
    """Room for dense rows that meet these directions, padded, in the cheaper way."""
    (n_clusters, n_features), dtype = directions.shape, directions.dtype
    zeros = np.zeros(n_clusters, dtype)
    values, partial = aligned_zeros((2, 1, n_clusters, LANES), dtype)
    if n_features >= min(MANY, TIMES * n_clusters):
        chunk = aligned_zeros((1, LANES, LANES), dtype)
        return AlongFeatures(directions, zeros, chunk, partial, values)
    tile = aligned_zeros((1, n_features, LANES), dtype)
    return InTiles(directions, zeros, tile, values)


def write_products(rows, start, way):
    """Write the inner products of the tile of rows from `start` on and the directions.

    They go into ``way.values``; those of unused lanes are finite.
    """
    raise NotImplementedError  # numba compiles what `_write_products` returns


def add_shares(rows, start, way, sums):
    """Add to the sums the rows of a tile, times what ``way.values`` has for them."""
    raise NotImplementedError  # numba compiles what `_add_shares` returns


def add_row(row, rows, scale, k, sums):
    """Add one row times a number to the sums of direction k."""
    raise NotImplementedError  # numba compiles what `_add_row` returns


@overload(write_products, jit_options=OPTIONS)
def _write_products(rows, start, way):
    return PRODUCTS[way.instance_class]


@overload(add_shares, jit_options=OPTIONS)
def _add_shares(rows, start, way, sums):
    return SHARES[way.instance_class]


@overload(add_row, jit_options=OPTIONS)
def _add_row(row, rows, scale, k, sums):
    return ROWS[getattr(rows, "instance_class", None)]


def products_in_tiles(rows, start, way):
    """`write_products`, as InTiles."""
    fill_tile(rows, start, rows.shape[0] - 1, way.tile[0])
    product(way.directions, way.zeros, way.tile, way.values)


def shares_in_tiles(rows, start, way, sums):
    """`add_shares`, as InTiles."""
    add_products(way.values, way.tile, sums)


def products_along_features(rows, start, way):
    """`write_products`, as AlongFeatures: two rows at a time with four directions.

    So their sums stay in registers, of which there are sixteen, and the directions in
    the first-level cache. The two rows are half a tile apart, so that each of the two
    streams reads consecutive rows, which processors prefetch.
    """
    zero, last, apart = rows.dtype.type(0.0), rows.shape[0] - 1, LANES // 2
    directions, values = way.directions, way.values[0]
    for k in range(0, directions.shape[0], 4):
        m0, m1 = directions[k], directions[k + 1]
        m2, m3 = directions[k + 2], directions[k + 3]
        for lane in range(apart):
            i, other = start + lane, start + lane + apart
            x, y = rows[i if i < last else last], rows[other if other < last else last]
            s = t = zero, zero, zero, zero
            for j in range(rows.shape[1]):
                m = m0[j], m1[j], m2[j], m3[j]
                s, t = plus_four(s, x[j], m), plus_four(t, y[j], m)
            for i in range(4):
                values[k + i, lane], values[k + i, lane + apart] = s[i], t[i]


@inner
def plus_four(totals, x, m):
    """Four totals, increased by the products of x and four numbers."""
    p, q, r, s = totals
    return p + x * m[0], q + x * m[1], r + x * m[2], s + x * m[3]


def shares_along_features(rows, start, way, sums):
    """`add_shares`, as AlongFeatures."""
    n_shares, shares = 0, way.values[0]
    for k in range(shares.shape[0]):
        for lane in range(LANES):
            n_shares += shares[k, lane] != 0.0
    if n_shares * FEW <= LANES * shares.shape[0]:
        for lane in range(min(LANES, rows.shape[0] - start)):
            for k in range(shares.shape[0]):
                if shares[k, lane] != 0.0:
                    add_dense(start + lane, rows, np.float64(shares[k, lane]), k, sums)
    else:
        add_chunks(rows, start, way, sums)


@inner
def add_chunks(rows, start, way, sums):
    """Add all shares of a tile of rows; features take the place of lanes."""
    last, chunk = rows.shape[0] - 1, way.chunk[0]
    for first in range(0, rows.shape[1], LANES):
        width = min(LANES, rows.shape[1] - first)
        for lane in range(LANES):
            i, there = start + lane, chunk[lane]
            row = rows[i if i < last else last]
            for j in range(width):
                there[j] = row[first + j]
        product(way.values[0], way.zeros, way.chunk, way.partial)
        for k in range(sums.shape[0]):
            there, partial = sums[k], way.partial[0, k]
            for j in range(width):
                there[first + j] += partial[j]


@inner
def add_dense(row, rows, scale, k, sums):
    """`add_row` for dense rows."""
    values, there = rows[row], sums[k]
    for j in range(values.shape[0]):
        there[j] += scale * values[j]


def add_row_of_table(row, rows, scale, k, sums):
    """`add_row` for dense rows."""
    add_dense(row, rows, scale, k, sums)


# `sparse` adds its own.
PRODUCTS = {InTiles: products_in_tiles, AlongFeatures: products_along_features}
SHARES = {InTiles: shares_in_tiles, AlongFeatures: shares_along_features}
ROWS = {None: add_row_of_table}


@kernel
def length_of(values):
    """The length of a vector; no square is beyond the range of float64."""
    total = 0.0
    for j in range(values.shape[0]):
        x = np.float64(values[j])
        total += x * x
    if 1e-280 < total < 1e300:
        return math.sqrt(total)
    largest, total = 0.0, 0.0
    for j in range(values.shape[0]):
        largest = abs(values[j]) if abs(values[j]) > largest else largest
    for j in range(values.shape[0]):
        x = values[j] / largest if largest > 0.0 else 0.0
        total += x * x
    return largest * math.sqrt(total)


@kernel
def inverse_lengths(rows, out):
    """Write 1 / |x| into out (n_rows,) float64, infinity for rows of zeros."""
    for i in range(rows.shape[0]):
        out[i] = 1.0 / length_of(rows[i])


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


@kernel
def sphere_assign(rows, inverse_norms, weights, way, lanes, counts, sums, labels):
    """Add to the sums; return that of w times the largest cosine, and the changes."""
    n_rows, evidence, n_changed = inverse_norms.shape[0], 0.0, 0
    values = way.values[0]
    for start in range(0, n_rows, LANES):
        read(inverse_norms, weights, start, lanes)
        write_products(rows, start, way)
        to_cosines(values, lanes.scale)
        largest_logit(values, counts.shape[0], lanes.largest[0], lanes.best)
        for lane in range(min(n_rows - start, LANES)):
            i, k, w = start + lane, lanes.best[lane], lanes.weight[lane]
            n_changed += labels[i] != k
            labels[i] = k
            counts[k] += w
            evidence += w * values[k, lane]
            add_row(i, rows, w * lanes.scale[lane], k, sums)
    return evidence, n_changed
