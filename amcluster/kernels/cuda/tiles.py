"""Rows as lanes: the arithmetic of all kernels, by the threads of a block together.

A block works on LANES rows at a time. Intermediate results are tiles (n, LANES), with n
values of each row, in memory that belongs to the block; the rows themselves are not
copied but viewed with their features first. In steps that treat each lane by itself,
thread (lane, part) of a block owns the values `part`, `part + PARTS`, ... of its lane.

All other steps are sums over one axis of two matrices, of products or of squared
differences::

    out[m, n] = sum_c term(left[c, m], right[c, n])

Parts of `left` and `right` are copied into shared memory, one after the other; each
thread sums 4 x 4 of the results in registers. If there are fewer results than that, the
threads form groups, each of which computes a part of every sum. The order of additions
depends only on the shapes, so a result has the same bits in every run.

Every function that reads values written by other threads first waits for them, and sums
over an axis also wait at their end, so that all threads can read the result.
"""

from ._jit import SIMULATED, cuda, index, part, view
from .warps import WARP, sum_of_warp

LANES, PARTS = (4, 2) if SIMULATED else (64, 2)
THREADS = LANES * PARTS
BITS = THREADS.bit_length() - 1
# At most SPAN rows or columns of the results, and CHUNK terms of their sums, have their
# values in shared memory at a time: multiples of 4, as four values are read at once.
SPAN, CHUNK = (16, 16) if SIMULATED else (64, 16)
# Neighbouring terms are this far apart in shared memory, so that writes of neighbouring
# threads rarely conflict in a bank.
WIDTH = SPAN + 4
SHARED = 2 * CHUNK * WIDTH
RIGHT = CHUNK * WIDTH


@part
def thread():
    """The index of a thread in its block."""
    return cuda.threadIdx.y * LANES + cuda.threadIdx.x


@part
def own(n):
    """The indices of this thread's values, among n values of its lane."""
    return range(index(cuda.threadIdx.y), index(n), index(PARTS))


@part
def tiles_of(rows):
    """The first rows of the tiles that this block works on."""
    return range(cuda.blockIdx.x * LANES, rows.shape[0], cuda.gridDim.x * LANES)


@view
def tile_at(rows, start):
    """The rows from `start` on as a tile; the last tile may have fewer lanes."""
    return rows[start : start + LANES].T


@part
def lane_of(tile):
    """This thread's lane, or the tile's last lane if it has no such lane."""
    return min(cuda.threadIdx.x, tile.shape[1] - 1)


@part
def weight_of_lane(weights, start, dtype):
    """The weight of this thread's lane; 0 if it has no row."""
    row = start + cuda.threadIdx.x
    return dtype.type(weights[row]) if row < weights.shape[0] else dtype.type(0)


@part
def as_is(value, zero, one):
    """The value."""
    return value


@part
def filled(value, zero, one):
    """The value, or 0 if it is missing."""
    return value if value == value else zero


@part
def seen(value, zero, one):
    """1, or 0 if the value is missing."""
    return one if value == value else zero


@part
def squared_difference(total, a, b):
    """The total plus a squared difference."""
    difference = a - b
    return total + difference * difference


@part
def squared_difference_of_seen(total, a, b):
    """The total plus a squared difference, unless b is missing."""
    difference = a - b if b == b else a - a
    return total + difference * difference


@part
def times(total, a, b):
    """The total plus a product."""
    return total + a * b


@part
def bits_for(n):
    """log2 of the number of threads that take n results, or SPAN of them, four each."""
    bits = 0
    while (4 << bits) < min(n, SPAN):
        bits += 1
    return bits


@part
def four(values, at):
    """Four consecutive values."""
    return (
        values[index(at)],
        values[index(at + 1)],
        values[index(at + 2)],
        values[index(at + 3)],
    )


@part
def put_four(values, at, four):
    """Write four consecutive values."""
    values[index(at)], values[index(at + 1)] = four[0], four[1]
    values[index(at + 2)], values[index(at + 3)] = four[2], four[3]


@part
def put_rows(values, at, width, r0, r1, r2, r3):
    """Write four rows of four values, `width` apart."""
    put_four(values, at, r0)
    put_four(values, at + width, r1)
    put_four(values, at + 2 * width, r2)
    put_four(values, at + 3 * width, r3)


@part
def position(down, across):
    """This thread's group, and the place of its 4 x 4 results among the group's."""
    group = thread() >> (down + across)
    m = (4 * (thread() >> across)) & ((4 << down) - 1)
    n = (4 * thread()) & ((4 << across) - 1)
    return group, m, n


def sharing(look):
    """A function that copies part of a matrix, transformed by `look`, to be shared."""

    @part
    def share_value(values, c, i, at, shared):
        zero, one = shared.dtype.type(0), shared.dtype.type(1)
        value = zero
        if c < values.shape[0]:
            i = min(i, values.shape[1] - 1)
            value = look(shared.dtype.type(values[index(c), index(i)]), zero, one)
        shared[index(at)] = value

    @part
    def share(values, first, start, bits, offset, shared):
        """Copy CHUNK x (4 << bits) values; beyond the end the last ones are repeated.

        Neighbouring threads read neighbours in memory.
        """
        e = thread()
        while e < CHUNK << (bits + 2):
            if values.strides[0] < values.strides[1]:
                c, i = e % CHUNK, e // CHUNK
            else:
                c, i = e >> (bits + 2), e & ((4 << bits) - 1)
            share_value(values, first + c, start + i, offset + c * WIDTH + i, shared)
            e += THREADS

    return share


def collecting(add):
    """A function that writes results from shared memory to `out`, or adds them."""

    @part
    def collect(i, j, down, across, out, shared):
        """Sum over the groups; the results are for the place (i, j) of `out`."""
        e = thread()
        while e < 16 << (down + across):
            m, n = i + (e >> (across + 2)), j + (e & ((4 << across) - 1))
            if m < out.shape[0] and n < out.shape[1]:
                total, at = shared[index(e)], e + (16 << (down + across))
                while at < 16 * THREADS:
                    total += shared[index(at)]
                    at += 16 << (down + across)
                if add:
                    out[index(m), index(n)] += total
                else:
                    out[index(m), index(n)] = total
            e += THREADS

    return collect


_share, _write, _add = sharing(as_is), collecting(False), collecting(True)


def contraction(term, share=_share, collect=_write):
    """A function for one kind of sum over an axis.

    `share` copies parts of `right`, and may transform its values; `collect` writes the
    sums to `out` or adds them.
    """

    @part
    def terms(total, a, b):
        s0, s1 = term(total[0], a, b[0]), term(total[1], a, b[1])
        return s0, s1, term(total[2], a, b[2]), term(total[3], a, b[3])

    @part
    def contract(left, right, out, shared):
        across = bits_for(out.shape[1])
        down = min(bits_for(out.shape[0]), BITS - across)
        group, m, n = position(down, across)
        zero, n_groups = shared.dtype.type(0), THREADS >> (down + across)
        zeros = zero, zero, zero, zero
        i = 0
        while i < out.shape[0]:
            j = 0
            while j < out.shape[1]:
                s0 = s1 = s2 = s3 = zeros
                first = 0
                while first < left.shape[0]:
                    cuda.syncthreads()
                    _share(left, first, i, down, 0, shared)
                    share(right, first, j, across, RIGHT, shared)
                    cuda.syncthreads()
                    c, n_left = 4 * group, left.shape[0] - first
                    while c < min(CHUNK, n_left):
                        at_left = c * WIDTH + m
                        at_right = c * WIDTH + n + RIGHT
                        for next_one in range(0, 4 * WIDTH, WIDTH):
                            a = four(shared, at_left + next_one)
                            b = four(shared, at_right + next_one)
                            s0, s1 = terms(s0, a[0], b), terms(s1, a[1], b)
                            s2, s3 = terms(s2, a[2], b), terms(s3, a[3], b)
                        c += 4 * n_groups
                    first += CHUNK
                cuda.syncthreads()
                at = (group << (down + across + 4)) + (m << (across + 2)) + n
                put_rows(shared, at, 4 << across, s0, s1, s2, s3)
                cuda.syncthreads()
                collect(i, j, down, across, out, shared)
                j += 4 << across
            i += 4 << down
        cuda.syncthreads()

    return contract


_squares = contraction(squared_difference)
_squares_of_seen = contraction(squared_difference_of_seen)
_product = contraction(times)
_add_product = contraction(times, collect=_add)
_add_product_of_filled = contraction(times, sharing(filled), _add)
_add_product_of_seen = contraction(times, sharing(seen), _add)


@part
def squares(centers, tile, out, shared):
    """Write |x - center|^2 into out, by differences, which avoid cancellation."""
    _squares(centers.T, tile, out, shared)


@part
def squares_of_seen(centers, tile, out, shared):
    """As `squares`, over the coordinates that are not NaN."""
    _squares_of_seen(centers.T, tile, out, shared)


@part
def product(matrix, tile, out, shared):
    """Write matrix @ tile into out."""
    _product(matrix.T, tile, out, shared)


@part
def add_products(left, right, out, shared):
    """Add left @ right.T, summed over lanes, to out (float64)."""
    _add_product(left.T, right.T, out, shared)


@part
def add_products_of_filled(left, right, out, shared):
    """As `add_products`, with 0 for missing values of `right`."""
    _add_product_of_filled(left.T, right.T, out, shared)


@part
def add_products_of_seen(left, right, out, shared):
    """As `add_products`, with 0 for missing values of `right` and 1 for the others."""
    _add_product_of_seen(left.T, right.T, out, shared)


@part
def add_sums(values, out, shared):
    """Add the sums over the lanes to out (float64)."""
    cuda.syncthreads()
    for first in range(0, out.shape[0], THREADS // WARP):
        k = first + thread() // WARP
        total = values.dtype.type(0)
        if k < out.shape[0]:
            for lane in range(thread() % WARP, LANES, WARP):
                total += values[index(k), index(lane)]
        total = sum_of_warp(total, thread(), shared)
        if k < out.shape[0] and thread() % WARP == 0:
            out[index(k)] += total


@part
def sum_of_lane(value, shared):
    """The sum of `value` over the threads of a lane."""
    cuda.syncthreads()
    shared[index(thread())] = value
    cuda.syncthreads()
    total = shared[index(cuda.threadIdx.x)]
    for number in range(1, PARTS):
        total += shared[index(number * LANES + cuda.threadIdx.x)]
    return total


@part
def largest_of_lane(value, shared):
    """The largest `value` among the threads of a lane."""
    cuda.syncthreads()
    shared[index(thread())] = value
    cuda.syncthreads()
    largest = shared[index(cuda.threadIdx.x)]
    for number in range(1, PARTS):
        largest = max(largest, shared[index(number * LANES + cuda.threadIdx.x)])
    return largest


@part
def fill(rows, start, tile):
    """Write the rows from `start` on into a tile; the last row fills unused lanes."""
    lane = thread() // WARP
    while lane < LANES:
        row, j = min(start + lane, rows.shape[0] - 1), thread() % WARP
        while j < rows.shape[1]:
            tile[index(j), index(lane)] = rows[index(row), index(j)]
            j += WARP
        lane += THREADS // WARP
    cuda.syncthreads()


@part
def store(values, start, out):
    """Write the first values of each lane into the rows of `out` from `start` on."""
    cuda.syncthreads()
    lane = thread() // WARP
    while lane < min(LANES, out.shape[0] - start):
        j = thread() % WARP
        while j < out.shape[1]:
            out[index(start + lane), index(j)] = values[index(j), index(lane)]
            j += WARP
        lane += THREADS // WARP
