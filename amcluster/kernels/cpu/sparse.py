"""Rows of which only what is not zero is kept: how they meet directions, and a hash.

Loops run over the stored values of a row. Directions and sums are transposed, so that
the numbers of all directions for one feature are neighbours.
"""

from typing import NamedTuple

import numpy as np

from ...kernels import NonZeros
from ._jit import inner, kernel
from .sphere import PRODUCTS, ROWS, SHARES, length_of
from .tiles import LANES, aligned_zeros

# So many directions are met at a time, with sums that stay in registers.
WIDTH = 8


class OfNonZeros(NamedTuple):
    """Directions that meet sparse rows."""

    transposed: np.ndarray  # (D, K) padded to a multiple of WIDTH
    shares: np.ndarray  # (K,) float64, room for a number of each direction
    values: np.ndarray  # (1, K, LANES)


def sparse_way_of(directions):
    """Room for sparse rows that meet these directions."""
    n_clusters, n_features = directions.shape
    width, dtype = -(-n_clusters // WIDTH) * WIDTH, directions.dtype
    transposed = aligned_zeros((n_features, width), dtype)
    transposed[:, :n_clusters] = directions.T
    values = aligned_zeros((1, width, LANES), dtype)
    return OfNonZeros(transposed, np.zeros(width), values)


def products_of_non_zeros(rows, start, way):
    """`write_products`, as OfNonZeros."""
    transposed, values = way.transposed, way.values[0]
    zero, n_rows = transposed.dtype.type(0.0), rows.starts.shape[0] - 1
    for lane in range(LANES):
        here, beyond = 0, 0
        if start + lane < n_rows:
            here, beyond = rows.starts[start + lane], rows.starts[start + lane + 1]
        for k in range(0, transposed.shape[1], WIDTH):
            s = zero, zero, zero, zero, zero, zero, zero, zero
            for i in range(here, beyond):
                s = plus_eight(s, rows.data[i], transposed[rows.indices[i]], k)
            for n in range(WIDTH):
                values[k + n, lane] = s[n]


@inner
def plus_eight(totals, x, m, k):
    """Eight totals, increased by the products of x and eight numbers from k on."""
    a, b, c, d, e, f, g, h = totals
    a, b, c, d = a + x * m[k], b + x * m[k + 1], c + x * m[k + 2], d + x * m[k + 3]
    e, f, g = e + x * m[k + 4], f + x * m[k + 5], g + x * m[k + 6]
    return a, b, c, d, e, f, g, h + x * m[k + 7]


def shares_of_non_zeros(rows, start, way, sums):
    """`add_shares`, as OfNonZeros; the sums are transposed."""
    shares, n_rows = way.shares, rows.starts.shape[0] - 1
    for lane in range(min(LANES, n_rows - start)):
        for k in range(shares.shape[0]):
            shares[k] = way.values[0, k, lane]
        for i in range(rows.starts[start + lane], rows.starts[start + lane + 1]):
            x, there = np.float64(rows.data[i]), sums[rows.indices[i]]
            for k in range(shares.shape[0]):
                there[k] += x * shares[k]


def add_sparse(row, rows, scale, k, sums):
    """`add_row` for sparse rows; the sums are transposed."""
    for i in range(rows.starts[row], rows.starts[row + 1]):
        sums[rows.indices[i], k] += scale * rows.data[i]


PRODUCTS[OfNonZeros] = products_of_non_zeros
SHARES[OfNonZeros] = shares_of_non_zeros
ROWS[NonZeros] = add_sparse


@kernel
def sparse_inverse_lengths(rows, out):
    """Write 1 / |x| into out (n_rows,) float64, infinity for rows of zeros."""
    for i in range(out.shape[0]):
        out[i] = 1.0 / length_of(rows.data[rows.starts[i] : rows.starts[i + 1]])


@kernel
def hash_rows(rows, out):
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
def differ_from_previous(rows, order, out):
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
