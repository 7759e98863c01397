"""How a kernel is launched: number of blocks, room for intermediate results, sums.

There are a few blocks per multiprocessor, each of which works on one tile of rows after
the other. Room for intermediate results, and sums over rows, are allocated per block,
so they are small however many rows there are. At last the sums of the blocks are added
in a fixed order: the same rows give the same bits.
"""

import math

import numpy as np
from numba import cuda

from ._jit import SIMULATED, kernel, running
from ._jit import cuda as inside
from .tiles import LANES, PARTS, THREADS

BLOCKS_PER_MULTIPROCESSOR = 4
SIMULATED_BLOCKS = 2
# The most bytes of room and sums for all blocks together.
ROOM = 1 << 30


def launch(function, rows, *arguments, room=(), out=(), sums=()):
    """Run a kernel over the tiles of rows; return sums over the rows.

    Parameters
    ----------
    function : callable
        The kernel: ``function(rows, *arguments, *room, *out, *sums)``. The first axis
        of the arrays it gets for `room` and `sums` is the index of the block.
    rows : array of shape (n_rows, n_features)
        In the memory of the device or of the host, like all arrays in `arguments`.
    *arguments : object
        Arrays, numbers, or tuples of them.
    room : sequence of tuple
        Shapes of the intermediate results of a block for a tile, without the axis of
        lanes, which is added as the last one.
    out : sequence of array
        Arrays that the kernel writes.
    sums : sequence of tuple
        Shapes of the sums over rows.

    Returns
    -------
    tuple of ndarray
        The sums, in float64.
    """
    n_tiles = -(-rows.shape[0] // LANES)
    room = [((*shape, LANES), rows.dtype) for shape in room]
    return launch_on(function, n_tiles, (rows, *arguments), room, out, sums)


def launch_on(function, n_pieces, arguments, room=(), out=(), sums=()):
    """As `launch`, for a number of pieces of work; `room` has shapes and dtypes."""
    n_bytes = 8 * _count(sums)
    for shape, dtype in room:
        n_bytes += np.dtype(dtype).itemsize * math.prod(shape)
    n_blocks = _n_blocks(n_pieces, n_bytes)
    room = [cuda.device_array((n_blocks, *shape), dtype) for shape, dtype in room]
    there = [place_for(array) for array in out]
    parts = _zeros([(n_blocks, *shape) for shape in sums])
    arguments = on_device(arguments)
    _run(function, n_blocks, (LANES, PARTS), *arguments, *room, *there, *parts)
    for array, copy in zip(out, there, strict=True):
        bring_back(copy, array)
    return _totals(parts, sums)


def on_device(value):
    """Copy an array, or all arrays in a tuple, to the device; return numbers as is.

    What is None, as the roots of memories without, becomes an empty tuple: kernels for
    a GPU take no None.
    """
    if value is None:
        return ()
    if isinstance(value, tuple):
        fields = map(on_device, value)
        return type(value)(*fields) if hasattr(value, "_fields") else (*fields,)
    return cuda.to_device(value) if isinstance(value, np.ndarray) else value


def place_for(out):
    """An array on the device, in which a kernel writes the values of `out`."""
    if isinstance(out, np.ndarray):
        return cuda.device_array(out.shape, out.dtype)
    return out


def bring_back(place, out):
    """Copy the values that a kernel wrote into `out`, unless it wrote them there."""
    if place is not out:
        place.copy_to_host(out)


def _count(shapes):
    return sum(math.prod(shape) for shape in shapes)


def _n_blocks(n_tiles, n_bytes):
    """The number of blocks for `n_tiles` tiles, if a block needs `n_bytes` bytes."""
    if SIMULATED:
        most = SIMULATED_BLOCKS
    else:
        device = cuda.get_current_device()
        most = device.MULTIPROCESSOR_COUNT * BLOCKS_PER_MULTIPROCESSOR
    return max(1, min(n_tiles, most, ROOM // max(n_bytes, 1)))


def _run(function, n_blocks, n_threads, *arguments):
    with running():
        function[n_blocks, n_threads](*arguments)


def _zeros(shapes):
    """Arrays of zeros, contiguous in memory so that one launch fills all of them."""
    if not shapes:
        return []
    flat = cuda.device_array(_count(shapes), np.float64)
    _run(fill_zeros, *_flat_grid(len(flat)), flat)
    arrays, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        arrays.append(flat[start : start + size].reshape(shape))
        start += size
    return arrays


def _totals(parts, shapes):
    """The sums over blocks, on the host."""
    if not parts:
        return ()
    flat = cuda.device_array(_count(shapes), np.float64)
    start = 0
    for part, shape in zip(parts, shapes, strict=True):
        size = math.prod(shape)
        of_blocks = part.reshape((part.shape[0], size))
        _run(add_blocks, *_flat_grid(size), of_blocks, flat[start : start + size])
        start += size
    flat, ends = flat.copy_to_host(), np.cumsum([math.prod(shape) for shape in shapes])
    pieces = np.split(flat, ends[:-1])
    return tuple(
        piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)
    )


def _flat_grid(size):
    return _n_blocks(-(-size // THREADS), 0), THREADS


@kernel
def fill_zeros(values):
    """Write zeros."""
    first = inside.blockIdx.x * THREADS + inside.threadIdx.x
    for i in range(first, values.shape[0], THREADS * inside.gridDim.x):
        values[i] = 0.0


@kernel
def add_blocks(parts, out):
    """Write the sum over the first axis."""
    first = inside.blockIdx.x * THREADS + inside.threadIdx.x
    for i in range(first, out.shape[0], THREADS * inside.gridDim.x):
        total = 0.0
        for block in range(parts.shape[0]):
            total += parts[block, i]
        out[i] = total
