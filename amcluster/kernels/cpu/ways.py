"""Inner products of rows and directions, and sums of rows with a share for each.

Rows are read in one of three ways, each of a type of its own; `sparse` has the third. A
kernel is compiled only for the way it is given.
"""

import math
from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import OPTIONS, inner, kernel
from .tiles import LANES, add_products, aligned_zeros, fill_tile, padded_matrix, product

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


def sphere_directions(directions):
    """The directions in the form that blocks of rows share: padded."""
    return padded_matrix(directions)


def sphere_sums(directions):
    """Sums over rows that meet such directions, of the same shape."""
    return aligned_zeros(directions.shape, float)


def sphere_way_of(directions):
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
def sphere_inverse_lengths(rows, out):
    """Write 1 / |x| into out (n_rows,) float64, infinity for rows of zeros."""
    for i in range(rows.shape[0]):
        out[i] = 1.0 / length_of(rows[i])
