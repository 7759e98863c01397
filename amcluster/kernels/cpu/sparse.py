"""Rows of which only what is not zero is kept: how they meet directions, and a hash.

Loops run over the stored values of a row. Directions and sums are transposed, so that
the numbers of all directions for one feature are neighbours.
"""

from typing import NamedTuple

import numpy as np

from ...kernels import NonZeros
from ._jit import inner, kernel
from .tiles import LANES, aligned_zeros, four, padded
from .ways import FEW, PRODUCTS, ROWS, SHARES, length_of


class OfNonZeros(NamedTuple):
    """Directions that meet sparse rows."""

    transposed: np.ndarray  # (D, K) padded
    products: np.ndarray  # (K,) room for the inner products of a row
    shares: np.ndarray  # (K,) float64, room for what its shares are
    values: np.ndarray  # (1, K, LANES)


def sparse_directions(directions):
    """The transpose (D, K), padded with zeros to a multiple of four directions."""
    n_clusters, n_features = directions.shape
    out = aligned_zeros((n_features, padded(n_clusters)), directions.dtype)
    out[:, :n_clusters] = directions.T
    return out


def sparse_way_of(transposed):
    """Room for sparse rows that meet directions, given by `sparse_directions`."""
    width, dtype = transposed.shape[1], transposed.dtype
    values = aligned_zeros((1, width, LANES), dtype)
    products, shares = aligned_zeros((width,), dtype), aligned_zeros((width,), float)
    return OfNonZeros(transposed, products, shares, values)


@inner
def feature(rows, i):
    """The feature of a stored value.

    It is without sign: numba lets other indices count from the end, which takes longer.
    """
    return np.uint64(rows.indices[np.uint64(i)])


def products_of_non_zeros(rows, start, way):
    """`write_products`, as OfNonZeros: four stored values of a row at a time."""
    transposed, values, sums = way.transposed, way.values[0], way.products
    zero, n_rows = transposed.dtype.type(0.0), rows.starts.shape[0] - 1
    for lane in range(LANES):
        here = rows.starts[min(start + lane, n_rows)]
        beyond = rows.starts[min(start + lane + 1, n_rows)]
        after_fours = beyond - (beyond - here) % 4
        for k in range(sums.shape[0]):
            sums[k] = zero
        for i in range(here, after_fours, 4):
            x, y, z, w = four(rows.data, i)
            m, n = transposed[feature(rows, i)], transposed[feature(rows, i + 1)]
            p, q = transposed[feature(rows, i + 2)], transposed[feature(rows, i + 3)]
            for k in range(sums.shape[0]):
                sums[k] += x * m[k] + y * n[k] + z * p[k] + w * q[k]
        for i in range(after_fours, beyond):
            x, m = rows.data[i], transposed[feature(rows, i)]
            for k in range(sums.shape[0]):
                sums[k] += x * m[k]
        for k in range(sums.shape[0]):
            values[k, lane] = sums[k]


def shares_of_non_zeros(rows, start, way, sums):
    """`add_shares`, as OfNonZeros; the sums are transposed."""
    shares, n_rows = way.shares, rows.starts.shape[0] - 1
    for lane in range(min(LANES, n_rows - start)):
        row, n_shares = start + lane, 0
        for k in range(shares.shape[0]):
            shares[k] = way.values[0, k, lane]
            n_shares += shares[k] != 0.0
        if n_shares * FEW <= shares.shape[0]:
            for k in range(shares.shape[0]):
                if shares[k] != 0.0:
                    add_sparse(row, rows, shares[k], k, sums)
        else:
            for i in range(rows.starts[row], rows.starts[row + 1]):
                x, there = np.float64(rows.data[i]), sums[feature(rows, i)]
                for k in range(shares.shape[0]):
                    there[k] += x * shares[k]


@inner
def add_sparse(row, rows, scale, k, sums):
    """`add_row` for sparse rows; the sums are transposed."""
    for i in range(rows.starts[row], rows.starts[row + 1]):
        sums[feature(rows, i), k] += scale * rows.data[i]


def add_row_of_non_zeros(row, rows, scale, k, sums):
    """`add_row` for sparse rows."""
    add_sparse(row, rows, scale, k, sums)


PRODUCTS[OfNonZeros] = products_of_non_zeros
SHARES[OfNonZeros] = shares_of_non_zeros
ROWS[NonZeros] = add_row_of_non_zeros


@kernel
def sparse_inverse_lengths(rows, out):
    """Write 1 / |x| into out (n_rows,) float64, infinity for rows of zeros."""
    for i in range(out.shape[0]):
        out[i] = 1.0 / length_of(rows.data[rows.starts[i] : rows.starts[i + 1]])


@kernel
def sparse_hash(rows, out):
    """Write a hash of the values and features of each row into out (n_rows,) uint64.

    Equal rows have equal hashes, also where zeros are stored in one of them.
    """
    for i in range(out.shape[0]):
        code = np.uint64(0x9E3779B97F4A7C15)
        for at in range(rows.starts[i], rows.starts[i + 1]):
            x = np.float64(rows.data[at])
            if x != 0.0:
                code = mixed(code ^ np.uint64(rows.indices[at]))
                code = mixed(code ^ np.uint64(x.view(np.int64)))
        out[i] = code


@inner
def mixed(x):
    """A bijection of 64-bit integers in which each bit of x changes half of all bits.

    It is the end of SplitMix64, after its increment.
    """
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def sparse_differences(rows, order, out):
    """Write whether a row differs from the one before, along an order, into out."""
    for n in range(1, order.shape[0]):
        out[n] = differ(rows, order[n - 1], order[n])


@inner
def differ(rows, row, other):
    """Whether two rows differ in what is not zero."""
    i, beyond = rows.starts[row], rows.starts[row + 1]
    j, other_beyond = rows.starts[other], rows.starts[other + 1]
    while True:
        while i < beyond and rows.data[i] == 0.0:
            i += 1
        while j < other_beyond and rows.data[j] == 0.0:
            j += 1
        if i == beyond or j == other_beyond:
            return i < beyond or j < other_beyond
        if rows.indices[i] != rows.indices[j] or rows.data[i] != rows.data[j]:
            return True
        i += 1
        j += 1
