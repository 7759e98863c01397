"""Rows as lanes: the arithmetic of all kernels that run over many rows and memories.

Rows travel in tiles of LANES rows, feature by feature: a block of them is an array of
shape (n_tiles, n_features, LANES). Every inner loop runs over the lanes, a fixed number
of neighbours in memory, and does the same to each: LLVM turns it into vector
instructions, and a row's numbers do not depend on the rows beside it. Four memories
times four features at a time keep the vector registers busy; so matrices and tiles are
padded with zeros to multiples of four.

The functions here and the few loops beside them are what is compiled; the kernels put
them together in plain Python, so that each is compiled once, whoever calls it.
`squares` and `product` are alike because a function that is passed as an argument would
be compiled anew in every process.
"""

import numpy as np

from ._jit import kernel, lanewise

# With 64 lanes the loops over them are too short to be worth starting: on one core with
# AVX-512 products then ran at half of this speed.
LANES = 128
# Features that all memories meet before the next ones are looked at: they stay in the
# first cache.
CHUNK = 32
# Where so many times the centers are no more than the features (or than so many), it
# costs less to take one row after the other, along its features, than to bring rows
# into tiles.
FEW, MANY = 16, 512


def padded(n):
    """The next multiple of four."""
    return -(-n // 4) * 4


def padded_matrix(matrix):
    """A copy, padded with zeros."""
    n, m = matrix.shape
    out = np.zeros((padded(n), padded(m)), matrix.dtype)
    out[:n, :m] = matrix
    return out


def room(tiles, n):
    """Tiles for n values of each row of `tiles`, not filled."""
    return np.empty((len(tiles), padded(n), LANES), tiles.dtype)


def load(rows):
    """The rows in tiles. Lanes that are left over repeat the last row."""
    n_rows, n_features = rows.shape
    tiles = np.empty((-(-n_rows // LANES), padded(n_features), LANES), rows.dtype)
    tiles[:, n_features:] = 0
    fill(rows, tiles)
    return tiles


def distances(rows, centers):
    """|row - center|^2 in tiles, without the rows in tiles."""
    n_tiles, (n_centers, n_features) = -(-len(rows) // LANES), centers.shape
    out = np.empty((n_tiles, padded(n_centers), LANES), rows.dtype)
    if n_centers * FEW <= min(n_features, MANY):
        out[:, n_centers:] = 0
        square_rows(rows, np.ascontiguousarray(centers), out)
    else:
        fill_and_square(rows, padded_matrix(centers), load(rows[:1]), out)
    return out


def load_lanes(values, n_tiles):
    """One number a row in lanes (n_tiles, LANES); 0 where there is no row."""
    out = np.zeros(n_tiles * LANES, values.dtype)
    out[: len(values)] = values
    return out.reshape(n_tiles, LANES)


def times(matrix, tiles):
    """matrix @ tile, for each tile."""
    out = room(tiles, len(matrix))
    product(matrix, tiles, out)
    return out


def squared_distances(tiles, centers):
    """|x - center|^2 for padded centers."""
    out = room(tiles, len(centers))
    squares(tiles, centers, out)
    return out


def weighted_sums(tiles, lanes, n):
    """The sums over all rows of each of n values times `lanes`, in float64."""
    out = np.zeros(n)
    add_weighted(tiles, lanes, out)
    return out


@kernel
def fill(rows, tiles):
    """Write the rows into tiles."""
    last = rows.shape[0] - 1
    for tile in range(tiles.shape[0]):
        fill_tile(rows, tile * LANES, last, tiles[tile])


@kernel
def fill_tile(rows, start, last, tile):
    """Write the rows from `start` on into a tile, the last one again where they end."""
    for lane in range(0, LANES, 4):
        i = start + lane
        r0, r1 = rows[min(i, last)], rows[min(i + 1, last)]
        r2, r3 = rows[min(i + 2, last)], rows[min(i + 3, last)]
        for j in range(rows.shape[1]):
            lanes = tile[j]
            lanes[lane], lanes[lane + 1] = r0[j], r1[j]
            lanes[lane + 2], lanes[lane + 3] = r2[j], r3[j]


@kernel
def take(rows, weights, start, tile, w):
    """Write the rows from `start` on and their weights; 0 where there is no row."""
    fill_tile(rows, start, rows.shape[0] - 1, tile[0])
    for lane in range(LANES):
        w[0, lane] = weights[start + lane] if start + lane < rows.shape[0] else 0.0


@kernel
def fill_and_square(rows, centers, tiles, out):
    """Write |row - center|^2 into out, through room for one tile."""
    last = rows.shape[0] - 1
    for tile in range(out.shape[0]):
        fill_tile(rows, tile * LANES, last, tiles[0])
        squares(tiles, centers, out[tile : tile + 1])


@kernel
def square_rows(rows, centers, out):
    """Write |row - center|^2 into out, row by row."""
    for i in range(out.shape[0] * LANES):
        row, tile, lane = rows[min(i, rows.shape[0] - 1)], i // LANES, i % LANES
        for k in range(centers.shape[0]):
            total = row.dtype.type(0.0)
            for j in range(row.shape[0]):
                difference = row[j] - centers[k, j]
                total += difference * difference
            out[tile, k, lane] = total


@kernel
def store(tiles, out):
    """Write the first values of each lane into the rows of `out`."""
    for i in range(out.shape[0]):
        tile, lane = i // LANES, i % LANES
        for j in range(out.shape[1]):
            out[i, j] = tiles[tile, j, lane]


@kernel
def four(values, j):
    """Four neighbours."""
    return values[j], values[j + 1], values[j + 2], values[j + 3]


@lanewise
def squared_differences(x, c):
    """Squared distance of four coordinates."""
    p, q, r, s = x[0] - c[0], x[1] - c[1], x[2] - c[2], x[3] - c[3]
    return p * p + q * q + r * r + s * s


@lanewise
def squares_of_seen(tiles, centers, out):
    """As `squares`, over the coordinates that are not NaN."""
    for tile in range(tiles.shape[0]):
        for k in range(centers.shape[0]):
            squared = out[tile, k]
            for lane in range(LANES):
                squared[lane] = 0.0
            for j in range(centers.shape[1]):
                for lane in range(LANES):
                    difference = tiles[tile, j, lane] - centers[k, j]
                    if difference == difference:
                        squared[lane] += difference * difference


@lanewise
def inner_product(x, c):
    """Inner product of four coordinates."""
    return x[0] * c[0] + x[1] * c[1] + x[2] * c[2] + x[3] * c[3]


@lanewise
def squares(tiles, centers, out):
    """Write |x - center|^2 into out, by differences: exact where products cancel."""
    zero = tiles.dtype.type(0.0)
    for tile in range(tiles.shape[0]):
        rows, values = tiles[tile], out[tile]
        for k in range(centers.shape[0]):
            for lane in range(LANES):
                values[k, lane] = zero
        for first in range(0, centers.shape[1], CHUNK):
            beyond = min(first + CHUNK, centers.shape[1])
            for k in range(0, centers.shape[0], 4):
                o0, o1, o2, o3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                for j in range(first, beyond, 4):
                    x0, x1, x2, x3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    c0, c1 = four(centers[k], j), four(centers[k + 1], j)
                    c2, c3 = four(centers[k + 2], j), four(centers[k + 3], j)
                    for lane in range(LANES):
                        x = x0[lane], x1[lane], x2[lane], x3[lane]
                        o0[lane] += squared_differences(x, c0)
                        o1[lane] += squared_differences(x, c1)
                        o2[lane] += squared_differences(x, c2)
                        o3[lane] += squared_differences(x, c3)


@lanewise
def product(matrix, tiles, out):
    """Write matrix @ tile into out."""
    zero = tiles.dtype.type(0.0)
    for tile in range(tiles.shape[0]):
        rows, values = tiles[tile], out[tile]
        for k in range(matrix.shape[0]):
            for lane in range(LANES):
                values[k, lane] = zero
        for first in range(0, matrix.shape[1], CHUNK):
            beyond = min(first + CHUNK, matrix.shape[1])
            for k in range(0, matrix.shape[0], 4):
                o0, o1, o2, o3 = values[k], values[k + 1], values[k + 2], values[k + 3]
                for j in range(first, beyond, 4):
                    x0, x1, x2, x3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
                    c0, c1 = four(matrix[k], j), four(matrix[k + 1], j)
                    c2, c3 = four(matrix[k + 2], j), four(matrix[k + 3], j)
                    for lane in range(LANES):
                        x = x0[lane], x1[lane], x2[lane], x3[lane]
                        o0[lane] += inner_product(x, c0)
                        o1[lane] += inner_product(x, c1)
                        o2[lane] += inner_product(x, c2)
                        o3[lane] += inner_product(x, c3)


@kernel
def scaled(x, a):
    """Four numbers times one."""
    return x[0] * a, x[1] * a, x[2] * a, x[3] * a


@kernel
def plus(x, y):
    """The sum of four numbers and four."""
    return x[0] + y[0], x[1] + y[1], x[2] + y[2], x[3] + y[3]


@kernel
def add_to(values, j, x):
    """Add four numbers to neighbours."""
    values[j] += x[0]
    values[j + 1] += x[1]
    values[j + 2] += x[2]
    values[j + 3] += x[3]


@kernel
def add_products(left, right, out):
    """Add left @ right.T, a sum over lanes and tiles, to out (float64)."""
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
                    s0 = plus(s0, scaled(x, a0[lane]))
                    s1 = plus(s1, scaled(x, a1[lane]))
                    s2 = plus(s2, scaled(x, a2[lane]))
                    s3 = plus(s3, scaled(x, a3[lane]))
                add_to(out[k], j, s0)
                add_to(out[k + 1], j, s1)
                add_to(out[k + 2], j, s2)
                add_to(out[k + 3], j, s3)


@kernel
def add_weighted(tiles, lanes, out):
    """Add to `out` the sums of the first values times `lanes`, in float64."""
    for tile in range(tiles.shape[0]):
        weights = lanes[tile]
        for k in range(out.shape[0]):
            values, total = tiles[tile, k], 0.0
            for lane in range(LANES):
                total += values[lane] * weights[lane]
            out[k] += total
