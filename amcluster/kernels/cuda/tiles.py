"""Rows as lanes: the arithmetic of all kernels, by the threads of a block together.

A block takes LANES rows at a time. What it makes of them is a tile (n, LANES), values
of each row, in room that belongs to the block. Rows themselves are met as they lie, in
a view that has their features first. Thread (lane, part) of a block owns the values
`part`, `part + PARTS`, ... of its lane wherever each lane is taken by itself.

All else is a sum over one axis of two matrices, of products or of squared differences::

    out[m, n] = sum_c term(left[c, m], right[c, n])

Some values of `left` and `right` at a time go through memory that the block shares;
each thread sums 4 x 4 of the results in registers. Where there are fewer results than
threads can take, groups of threads share the sum. Which number a thread adds when
depends on nothing but the shapes, so that a result has the same bits in every run.

Every function that reads what other threads wrote waits for them before it does, and
sums over an axis wait once more at their end: then all threads can read the result.
"""

from ._jit import SIMULATED, cuda, index, part, view
from .warps import WARP, sum_of_warp

LANES, PARTS = (4, 2) if SIMULATED else (64, 2)
THREADS = LANES * PARTS
BITS = THREADS.bit_length() - 1
# Rows or columns of the results, and length of the sum, for which matrices are in
# shared memory at a time. Four neighbours are read at once: so all are multiples of 4.
SPAN, CHUNK = (16, 16) if SIMULATED else (64, 16)
# The distance of neighbours in the sum: threads that write them meet in few banks.
WIDTH = SPAN + 4
SHARED = 2 * CHUNK * WIDTH
RIGHT = CHUNK * WIDTH


@part
def thread():
    """The number of a thread in its block."""
    return cuda.threadIdx.y * LANES + cuda.threadIdx.x


@part
def own(n):
    """Which of n values of its lane are this thread's."""
    return range(index(cuda.threadIdx.y), index(n), index(PARTS))


@part
def tiles_of(rows):
    """The first rows of the tiles that are this block's."""
    return range(cuda.blockIdx.x * LANES, rows.shape[0], cuda.gridDim.x * LANES)


@view
def tile_at(rows, start):
    """The rows from `start` on as a tile; it may have fewer than LANES lanes."""
    return rows[start : start + LANES].T


@part
def lane_of(tile):
    """This thread's lane, or the last one of the tile where that is before."""
    return min(cuda.threadIdx.x, tile.shape[1] - 1)


@part
def weight_of_lane(weights, start, dtype):
    """The weight of this thread's lane; 0 where there is no row."""
    row = start + cuda.threadIdx.x
    return dtype.type(weights[row]) if row < weights.shape[0] else dtype.type(0)


@part
def as_is(value, zero, one):
    """The value."""
    return value


@part
def filled(value, zero, one):
    """The value, 0 in a hole."""
    return value if value == value else zero


@part
def seen(value, zero, one):
    """1, 0 in a hole."""
    return one if value == value else zero


@part
def squared_difference(total, a, b):
    """The sum with one more squared difference."""
    difference = a - b
    return total + difference * difference


@part
def squared_difference_of_seen(total, a, b):
    """The same where b is no hole."""
    difference = a - b if b == b else a - a
    return total + difference * difference


@part
def times(total, a, b):
    """The sum with one more product."""
    return total + a * b


@part
def bits_for(n):
    """The logarithm of the threads that take n results, four each, or the SPAN."""
    bits = 0
    while (4 << bits) < min(n, SPAN):
        bits += 1
    return bits


@part
def four(values, at):
    """Four neighbours."""
    return (
        values[index(at)],
        values[index(at + 1)],
        values[index(at + 2)],
        values[index(at + 3)],
    )


@part
def put_four(values, at, four):
    """Write four neighbours."""
    values[index(at)], values[index(at + 1)] = four[0], four[1]
    values[index(at + 2)], values[index(at + 3)] = four[2], four[3]


def contraction(term, look=as_is, add=False):
    """A function for one kind of sum over an axis.

    `look` is what becomes of the values of `right`; `add` says whether the result is
    added to what is there.
    """

    @part
    def put(values, c, i, look_at, at, shared):
        zero, one = shared.dtype.type(0), shared.dtype.type(1)
        value = zero
        if c < values.shape[0]:
            i = min(i, values.shape[1] - 1)
            value = shared.dtype.type(values[index(c), index(i)])
            if look_at:
                value = look(value, zero, one)
        shared[index(at)] = value

    @part
    def share(values, first, start, bits, look_at, offset, shared):
        """Share CHUNK x (4 << bits) values; the last are repeated where they end.

        Neighbours in memory are read by neighbouring threads.
        """
        e = thread()
        while e < CHUNK << (bits + 2):
            if values.strides[0] < values.strides[1]:
                c, i = e % CHUNK, e // CHUNK
            else:
                c, i = e >> (bits + 2), e & ((4 << bits) - 1)
            at = offset + c * WIDTH + i
            put(values, first + c, start + i, look_at, at, shared)
            e += THREADS

    @part
    def terms(total, a, b):
        s0, s1 = term(total[0], a, b[0]), term(total[1], a, b[1])
        return s0, s1, term(total[2], a, b[2]), term(total[3], a, b[3])

    @part
    def contract(left, right, out, shared):
        across = bits_for(out.shape[1])
        down = min(bits_for(out.shape[0]), BITS - across)
        # This thread's results, and the group that it is in.
        m = (4 * (thread() >> across)) & ((4 << down) - 1)
        n = (4 * thread()) & ((4 << across) - 1)
        group, n_groups = thread() >> (down + across), THREADS >> (down + across)
        zero = shared.dtype.type(0)
        zeros = zero, zero, zero, zero
        i = 0
        while i < out.shape[0]:
            j = 0
            while j < out.shape[1]:
                s0 = s1 = s2 = s3 = zeros
                first = 0
                while first < left.shape[0]:
                    cuda.syncthreads()
                    share(left, first, i, down, False, 0, shared)
                    share(right, first, j, across, True, RIGHT, shared)
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
                put_four(shared, at, s0)
                put_four(shared, at + (4 << across), s1)
                put_four(shared, at + (8 << across), s2)
                put_four(shared, at + (12 << across), s3)
                cuda.syncthreads()
                collect(i, j, down, across, out, shared)
                j += 4 << across
            i += 4 << down
        cuda.syncthreads()

    @part
    def collect(i, j, down, across, out, shared):
        """Write the results out of shared memory, summed over the groups."""
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

    return contract


_squares = contraction(squared_difference)
_squares_of_seen = contraction(squared_difference_of_seen)
_product = contraction(times)
_add_product = contraction(times, add=True)
_add_product_of_filled = contraction(times, filled, add=True)
_add_product_of_seen = contraction(times, seen, add=True)


@part
def squares(centers, tile, out, shared):
    """Write |x - center|^2 into out, by differences: exact where products cancel."""
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
    """Add left @ right.T, a sum over lanes, to out (float64)."""
    _add_product(left.T, right.T, out, shared)


@part
def add_products_of_filled(left, right, out, shared):
    """As `add_products`, with 0 in the holes of `right`."""
    _add_product_of_filled(left.T, right.T, out, shared)


@part
def add_products_of_seen(left, right, out, shared):
    """As `add_products`, with 0 in the holes of `right` and 1 elsewhere."""
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
    """The sum of what the threads of a lane have."""
    cuda.syncthreads()
    shared[index(thread())] = value
    cuda.syncthreads()
    total = shared[index(cuda.threadIdx.x)]
    for number in range(1, PARTS):
        total += shared[index(number * LANES + cuda.threadIdx.x)]
    return total


@part
def largest_of_lane(value, shared):
    """The largest of what the threads of a lane have."""
    cuda.syncthreads()
    shared[index(thread())] = value
    cuda.syncthreads()
    largest = shared[index(cuda.threadIdx.x)]
    for number in range(1, PARTS):
        largest = max(largest, shared[index(number * LANES + cuda.threadIdx.x)])
    return largest


@part
def fill(rows, start, tile):
    """Write the rows from `start` on into a tile, the last one again where they end."""
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
