"""Rows as lanes: the arithmetic of all kernels that run over many rows and memories.

Rows are stored in tiles of LANES rows, feature by feature: a block of them is an array
of shape (n_tiles, n_features, LANES). Every inner loop runs over the lanes, a fixed
number of neighbours in memory, and does the same to each: LLVM turns it into vector
instructions, and the results of a row do not depend on the other rows of its tile.
Working on four memories times four features at a time makes full use of the vector
registers, so matrices and tiles are padded with zeros to multiples of four.

Kernels process their rows tile by tile, in preallocated room for one tile: intermediate
results stay in the cache and need no fresh page of memory, which would take longer than
the arithmetic. `squares` and `product` repeat each other because numba compiles a
function that is passed as an argument anew in every process.

Loops over lanes that only write a constant stand inside other loops and behind an `if`:
directly inside a loop over memories they would be unrolled into thousands of
instructions in every kernel that calls the function, and compiling would take longer.
"""

import math
from ctypes import addressof, c_char

import numpy as np

from ._jit import inner, inner_lanewise, kernel, lanewise

# With 64 lanes the overhead of the loops over them dominates: on one core with AVX-512
# products then ran at half of this speed.
LANES = 128
LINE = 64  # bytes of a cache line
# Number of features that are processed for all memories before the next ones, so that
# their values stay in the first-level cache.
CHUNK = 32


def padded(n):
    """The next multiple of four."""
    return -(-n // 4) * 4


def padded_matrix(matrix):
    """A copy, padded with zeros."""
    n, m = matrix.shape
    out = np.zeros((padded(n), padded(m)), matrix.dtype)
    out[:n, :m] = matrix
    return out


def aligned(shape, dtype, make=np.empty):
    """An array that begins at the start of a cache line; `make` allocates it.

    Otherwise every vector of 64 bytes would lie in two lines, and take twice as long to
    read or to write; large arrays of NumPy begin 16 bytes after a line. Also, the sums
    of two threads then never share a line.
    """
    raw = make(math.prod(shape) * np.dtype(dtype).itemsize + LINE, np.uint8)
    # NumPy's own ways to get the address of an array take ten times as long.
    first = -addressof(c_char.from_buffer(raw)) % LINE
    return np.ndarray(shape, dtype, raw, first)


def aligned_zeros(shape, dtype):
    """An array of zeros that begins at the start of a cache line."""
    return aligned(shape, dtype, np.zeros)


def room(tiles, n):
    """Uninitialised tiles for n values of each row of `tiles`."""
    return aligned((len(tiles), padded(n), LANES), tiles.dtype)


def load(rows):
    """The rows in tiles; unused lanes of the last tile repeat the last row."""
    n_rows, n_features = rows.shape
    tiles = aligned((-(-n_rows // LANES), padded(n_features), LANES), rows.dtype)
    tiles[:, n_features:] = 0
    fill(rows, tiles)
    return tiles


def indices(dtype):
    """Room for the index of a memory for each lane, in integers as wide as dtype.

    Equal widths let LLVM vectorise a choice between floats together with the same
    choice between indices.
    """
    is_wide = np.dtype(dtype).itemsize == 8
    return aligned_zeros((LANES,), np.int64 if is_wide else np.int32)


def load_lanes(values, n_tiles):
    """One number per row in lanes (n_tiles, LANES); 0 in unused lanes."""
    out = np.zeros(n_tiles * LANES, values.dtype)
    out[: len(values)] = values
    return out.reshape(n_tiles, LANES)


def times(matrix, tiles):
    """matrix @ tile, for each tile."""
    out = room(tiles, len(matrix))
    product(matrix, np.zeros(len(matrix), matrix.dtype), tiles, out)
    return out


def weighted_sums(tiles, lanes, n):
    """The sums over rows of each of the first n values times `lanes`, in float64."""
    out = np.zeros(n)
    add_weighted(tiles, lanes, out)
    return out


@kernel
def fill(rows, tiles):
    """Write the rows into tiles."""
    last = rows.shape[0] - 1
    for tile in range(tiles.shape[0]):
        fill_tile(rows, tile * LANES, last, tiles[tile])


@inner
def fill_tile(rows, start, last, tile):
    """Write the rows from `start` on into a tile; the last row fills unused lanes."""
    for lane in range(0, LANES, 4):
        i = start + lane
        r0, r1 = rows[i if i < last else last], rows[i + 1 if i + 1 < last else last]
        r2 = rows[i + 2 if i + 2 < last else last]
        r3 = rows[i + 3 if i + 3 < last else last]
        for j in range(rows.shape[1]):
            lanes = tile[j]
            lanes[lane], lanes[lane + 1] = r0[j], r1[j]
            lanes[lane + 2], lanes[lane + 3] = r2[j], r3[j]


@inner
def take(rows, weights, start, tile, w):
    """Write the rows from `start` on and their weights, 0 in unused lanes."""
    fill_tile(rows, start, rows.shape[0] - 1, tile[0])
    for lane in range(LANES):
        w[0, lane] = weights[start + lane] if start + lane < rows.shape[0] else 0.0


@kernel
def store(tiles, out):
    """Write the first values of each lane into the rows of `out`."""
    for i in range(out.shape[0]):
        tile, lane = i // LANES, i % LANES
        for j in range(out.shape[1]):
            out[i, j] = tiles[tile, j, lane]


@inner
def four(values, j):
    """Four consecutive values."""
    return values[j], values[j + 1], values[j + 2], values[j + 3]


@inner_lanewise
def plus_squares(total, x, c):
    """The total plus the squared distance over four coordinates."""
    p, q, r, s = x[0] - c[0], x[1] - c[1], x[2] - c[2], x[3] - c[3]
    return total + p * p + q * q + r * r + s * s


@lanewise
def squares_of_seen(tiles, centers, out):
    """As `squares`, over the coordinates that are not NaN."""
    for tile in range(tiles.shape[0]):
        for k in range(centers.shape[0]):
            squared = out[tile, k]
            for j in range(centers.shape[1]):
                if j == 0:
                    for lane in range(LANES):
                        squared[lane] = 0.0
                for lane in range(LANES):
                    difference = tiles[tile, j, lane] - centers[k, j]
                    if difference == difference:
                        squared[lane] += difference * difference


@lanewise
def squares_in_shapes(tile, centers, roots, away, turned, out):
    """Write |(x - center) @ root|^2 into out, for the lower triangular root of each.

    `roots` are transposed. `away` (D, LANES) and `turned` (4, LANES) are room for the
    differences and for four of their coordinates in the shape of a center.
    """
    zero, infinite = tile.dtype.type(0.0), tile.dtype.type(np.inf)
    t0, t1, t2, t3 = turned[0], turned[1], turned[2], turned[3]
    for k in range(roots.shape[0]):
        squared = out[k]
        for j in range(centers.shape[1]):
            for lane in range(LANES):
                away[j, lane] = tile[j, lane] - centers[k, j]
        for c in range(0, centers.shape[1], 4):
            for j in range(c, centers.shape[1], 4):
                x0, x1, x2, x3 = away[j], away[j + 1], away[j + 2], away[j + 3]
                r0, r1 = four(roots[k, c], j), four(roots[k, c + 1], j)
                r2, r3 = four(roots[k, c + 2], j), four(roots[k, c + 3], j)
                if j == c:
                    for lane in range(LANES):
                        t0[lane] = t1[lane] = t2[lane] = t3[lane] = zero
                for lane in range(LANES):
                    x = x0[lane], x1[lane], x2[lane], x3[lane]
                    t0[lane] = plus_products(t0[lane], x, r0)
                    t1[lane] = plus_products(t1[lane], x, r1)
                    t2[lane] = plus_products(t2[lane], x, r2)
                    t3[lane] = plus_products(t3[lane], x, r3)
            if c == 0:
                for lane in range(LANES):
                    squared[lane] = zero
            for lane in range(LANES):
                x = t0[lane], t1[lane], t2[lane], t3[lane]
                total = plus_products(squared[lane], x, x)
                # The difference of two infinities is beyond the dtype's range.
                squared[lane] = total if total == total else infinite


@inner_lanewise
def plus_products(total, x, c):
    """The total plus the inner product over four coordinates."""
    return total + x[0] * c[0] + x[1] * c[1] + x[2] * c[2] + x[3] * c[3]


@lanewise
def squares(tiles, centers, out):
    """Write |x - center|^2 into out, by differences, which avoid cancellation."""
    zero = tiles.dtype.type(0.0)
    for tile in range(tiles.shape[0]):
        rows, values = tiles[tile], out[tile]
        for first in range(0, centers.shape[1], CHUNK):
            beyond = min(first + CHUNK, centers.shape[1])
            for k in range(0, centers.shape[0], 4):
                o0, o1, o2, o3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                if first == 0:
                    for lane in range(LANES):
                        o0[lane] = o1[lane] = o2[lane] = o3[lane] = zero
                for j in range(first, beyond, 4):
                    x0, x1, x2, x3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    c0, c1 = four(centers[k], j), four(centers[k + 1], j)
                    c2, c3 = four(centers[k + 2], j), four(centers[k + 3], j)
                    for lane in range(LANES):
                        x = x0[lane], x1[lane], x2[lane], x3[lane]
                        o0[lane] = plus_squares(o0[lane], x, c0)
                        o1[lane] = plus_squares(o1[lane], x, c1)
                        o2[lane] = plus_squares(o2[lane], x, c2)
                        o3[lane] = plus_squares(o3[lane], x, c3)


@lanewise
def product(matrix, start, tiles, out):
    """Write start + matrix @ tile into out."""
    for tile in range(tiles.shape[0]):
        rows, values = tiles[tile], out[tile]
        for first in range(0, matrix.shape[1], CHUNK):
            beyond = min(first + CHUNK, matrix.shape[1])
            for k in range(0, matrix.shape[0], 4):
                o0, o1, o2, o3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                if first == 0:
                    s0, s1, s2, s3 = four(start, k)
                    for lane in range(LANES):
                        o0[lane], o1[lane], o2[lane], o3[lane] = s0, s1, s2, s3
                for j in range(first, beyond, 4):
                    x0, x1, x2, x3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    c0, c1 = four(matrix[k], j), four(matrix[k + 1], j)
                    c2, c3 = four(matrix[k + 2], j), four(matrix[k + 3], j)
                    for lane in range(LANES):
                        x = x0[lane], x1[lane], x2[lane], x3[lane]
                        o0[lane] = plus_products(o0[lane], x, c0)
                        o1[lane] = plus_products(o1[lane], x, c1)
                        o2[lane] = plus_products(o2[lane], x, c2)
                        o3[lane] = plus_products(o3[lane], x, c3)


@inner
def plus_scaled(totals, x, a):
    """Four totals, each increased by one of four numbers times `a`."""
    p, q, r, s = totals
    return p + x[0] * a, q + x[1] * a, r + x[2] * a, s + x[3] * a


@inner
def add_to(values, j, x):
    """Add four numbers to four consecutive values."""
    values[j] += x[0]
    values[j + 1] += x[1]
    values[j + 2] += x[2]
    values[j + 3] += x[3]


@kernel
def add_products(left, right, out):
    """Add left @ right.T, summed over lanes and tiles, to out (float64)."""
    zero = left.dtype.type(0.0)
    zeros = zero, zero, zero, zero
    for tile in range(left.shape[0]):
        a, b = left[tile], right[tile]
        for k in range(0, a.shape[0], 4):
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            for j in range(0, b.shape[0], 4):
                x0, x1, x2, x3 = b[j], b[j + 1], b[j + 2], b[j + 3]
                s0 = s1 = s2 = s3 = zeros
                for lane in range(LANES):
                    x = x0[lane], x1[lane], x2[lane], x3[lane]
                    s0 = plus_scaled(s0, x, a0[lane])
                    s1 = plus_scaled(s1, x, a1[lane])
                    s2 = plus_scaled(s2, x, a2[lane])
                    s3 = plus_scaled(s3, x, a3[lane])
                add_to(out[k], j, s0)
                add_to(out[k + 1], j, s1)
                add_to(out[k + 2], j, s2)
                add_to(out[k + 3], j, s3)


@kernel
def add_weighted(tiles, lanes, out):
    """Add to `out` the sums over rows of each value times `lanes`, in float64."""
    for tile in range(tiles.shape[0]):
        weights = lanes[tile]
        for k in range(out.shape[0]):
            values, total = tiles[tile, k], 0.0
            for lane in range(LANES):
                total += values[lane] * weights[lane]
            out[k] += total
