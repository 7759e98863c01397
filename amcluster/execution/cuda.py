"""A GPU: what stays there between calls of kernels, and what is streamed to it.

Memories and sums cross in every call. Rows and weights cross once, if there is room:
their copies stay as long as they do. What kernels write for each row stays too, where
it was made by `CUDA.empty`, until somebody looks at it with `numpy.asarray`.
"""

import weakref
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numba import config, cuda
from scipy.linalg import solve_triangular

from ..kernels import target

# Part of the free memory that arrays may take. The rest is for the kernels' own room
# and for the buffers of a stream.
ROOM = 0.8
# Long enough to hide what it costs to begin a copy, short beside the memory of a GPU.
BUFFER_BYTES = 1 << 26


def free_memory():
    """Bytes of the GPU that are free."""
    return cuda.current_context().get_memory_info().free


class Held(NamedTuple):
    """What takes room on the GPU as long as its source lives."""

    source: weakref.ref  # to an array of the host, or to one of the GPU itself
    copy: object | None  # of an array of the host
    n_bytes: int


class CUDA:
    """One GPU, in one call of a user: arrays do not change while it lives."""

    def __init__(self):
        self._room = ROOM * free_memory()
        self._held = {}

    @property
    def kernels(self):
        """The kernels."""
        return target("cuda")

    def rows_of(self, kernel, X, memories, *settings, out, passes=1):
        """As `_blocks.rows_of`; entries of `out` may be arrays of the GPU."""
        for block, rows in self._blocks(X, out):
            kernel(rows, memories, *settings, *(array[block] for array in out))

    def sum_over(self, kernel, X, weights, memories, *settings, out=(), passes=1):
        """As `_blocks.sum_over`; entries of `out` may be arrays of the GPU."""
        weights, totals = self._kept(weights), None
        for block, rows in self._blocks(X, out):
            slices = (array[block] for array in out)
            sums = kernel(rows, weights[block], memories, *settings, *slices)
            if totals is None:
                totals = list(sums)
            else:
                totals = [a + b for a, b in zip(totals, sums, strict=True)]
        return totals

    def empty(self, shape, dtype=float):
        """An array for what kernels write: on the GPU if it has room, as NumPy's."""
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
        if n_bytes > self._left():
            return np.empty(shape, dtype)
        array = cuda.device_array(shape, dtype)
        self._held[id(array)] = Held(weakref.ref(array), None, n_bytes)
        return array

    def column(self, matrix, number):
        """One column, contiguous, where the matrix is."""
        if isinstance(matrix, np.ndarray):
            return np.ascontiguousarray(matrix[:, number])
        out = self.empty(len(matrix), matrix.dtype)
        self.rows_of(self.kernels.column, matrix, None, int(number), out=(out,))
        return out

    def whitened(self, X, root):
        """As `CPU.whitened`."""
        matrix = solve_triangular(root, np.eye(len(root)), lower=True).T
        out = self.empty(X.shape, X.dtype)
        matrix = np.ascontiguousarray(matrix, X.dtype)
        self.rows_of(self.kernels.project, X, None, matrix, out=(out,))
        return out

    def moment(self, X, weights):
        """As `CPU.moment`."""
        (total,) = self.sum_over(self.kernels.moment, X, weights, None)
        return total

    def _blocks(self, X, out=()):
        """Slices of the rows, and those rows on the GPU.

        All at once, where there is room for them and for what of `out` is not there.
        """
        rows = self._kept(X)
        crossing = [array for array in (rows, *out) if isinstance(array, np.ndarray)]
        n_bytes = sum(array.nbytes for array in crossing)
        size = len(X)
        if n_bytes > self._left():
            size = max(1, BUFFER_BYTES * len(X) // n_bytes)
        blocks = [slice(start, start + size) for start in range(0, len(X), size)]
        if isinstance(rows, np.ndarray):
            yield from self._streamed(X, blocks)
        else:
            yield from ((block, rows[block]) for block in blocks)

    def _streamed(self, X, blocks):
        """Blocks of rows on their way: the next one moves while a kernel has this."""
        shape, stream = X[blocks[0]].shape, _copy_stream()
        here, other = (Buffer(shape, X.dtype, stream) for _ in range(2))
        here.fill(X[blocks[0]])
        for block, following in zip_longest(blocks, blocks[1:]):
            if following is not None:
                other.fill(X[following])
            yield block, here.arrived()
            here.leave()
            here, other = other, here

    def _kept(self, array):
        """The copy of an array of the host; the array itself where there is no room."""
        if not isinstance(array, np.ndarray):
            return array
        held = self._held.get(id(array))
        if held is None or held.source() is not array:
            if array.nbytes > self._left():
                return array
            copy = cuda.to_device(np.ascontiguousarray(array))
            held = Held(weakref.ref(array), copy, array.nbytes)
            self._held[id(array)] = held
        return held.copy

    def _left(self):
        """Bytes that further arrays may take; copies of arrays that died are freed."""
        self._held = {
            number: held
            for number, held in self._held.items()
            if held.source() is not None
        }
        return self._room - sum(held.n_bytes for held in self._held.values())


class Buffer:
    """Room for a block of rows, locked in the memory of the host, and on the GPU."""

    def __init__(self, shape, dtype, stream):
        self._host = cuda.pinned_array(shape, dtype)
        self._device = cuda.device_array(shape, dtype)
        self._stream = stream
        self._copied, self._free = cuda.event(), cuda.event()

    def fill(self, rows):
        """Send rows on their way, once the kernel has left that had those before."""
        self._free.synchronize()
        staged, self._rows = self._host[: len(rows)], self._device[: len(rows)]
        staged[:] = rows
        self._rows.copy_to_device(staged, stream=self._stream)
        self._copied.record(self._stream)

    def arrived(self):
        """The rows, for kernels, which wait until they are there."""
        self._copied.wait()
        return self._rows

    def leave(self):
        """Say that kernels have begun all that they do with the rows."""
        self._free.record()


def _copy_stream():
    """A stream whose copies do not wait for the default one, where kernels run.

    Streams that numba makes do.
    """
    if config.ENABLE_CUDASIM:
        return cuda.stream()
    from cuda.bindings import driver

    cuda.current_context()
    flag = driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value
    error, handle = driver.cuStreamCreate(flag)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"No stream for copies to the GPU: {error}.")
    stream = cuda.external_stream(int(handle))
    weakref.finalize(stream, driver.cuStreamDestroy, handle)
    return stream
