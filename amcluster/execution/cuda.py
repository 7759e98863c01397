"""A GPU: arrays that stay there between calls of kernels, and rows streamed to it.

Memories and sums are copied in every call. Rows and weights are copied once, if there
is room, and their copies live as long as they do. Results per row stay on the GPU too
if they are written into an array of `CUDA.empty`, until `numpy.asarray` copies them.
"""

import weakref
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numba import config, cuda
from scipy.linalg import solve_triangular

from ..kernels import target
from .sums import merged

# Fraction of the free memory that arrays may take. The rest is for intermediate results
# of kernels and for the buffers of a stream.
ROOM = 0.8
# Large enough to hide the latency of a copy, small compared to the memory of a GPU.
BUFFER_BYTES = 1 << 26


def free_memory():
    """The number of free bytes on the GPU."""
    return cuda.current_context().get_memory_info().free


class Held(NamedTuple):
    """An array that takes room on the GPU as long as its source lives."""

    source: weakref.ref  # to an array on the host, or to one on the GPU itself
    copy: object | None  # of an array on the host; None for one on the GPU
    n_bytes: int


class CUDA:
    """One GPU, for one call by a user, during which arrays do not change."""

    knows_shapes = False  # whether memories may have roots

    def __init__(self):
        self._room = ROOM * free_memory()
        self._held = {}

    @property
    def kernels(self):
        """The kernels."""
        return target("cuda")

    @property
    def kernels_in_shapes(self):
        """There are none."""
        refuse_shapes()

    def rows_of(self, kernel, X, memories, *settings, out, passes=1):
        """As `threads.rows_of`; entries of `out` may be arrays on the GPU."""
        if getattr(memories, "roots", None) is not None:
            refuse_shapes()
        for block, rows in self._blocks(X, out):
            kernel(rows, memories, *settings, *(array[block] for array in out))

    def sum_over(self, kernel, X, weights, memories, *settings, out=(), passes=1):
        """As `threads.sum_over`; entries of `out` may be arrays on the GPU."""
        if getattr(memories, "roots", None) is not None:
            refuse_shapes()
        weights, totals = self._kept(weights), None
        for block, rows in self._blocks(X, out):
            slices = (array[block] for array in out)
            sums = kernel(rows, weights[block], memories, *settings, *slices)
            totals = sums if totals is None else merged(totals, sums)
        return totals

    def empty(self, shape, dtype=float):
        """An array for results of kernels: on the GPU if it fits, else on the host."""
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
        if n_bytes > self._left():
            return np.empty(shape, dtype)
        array = cuda.device_array(shape, dtype)
        self._held[id(array)] = Held(weakref.ref(array), None, n_bytes)
        return array

    def column(self, matrix, j):
        """Column j, contiguous, on the device that has the matrix."""
        if isinstance(matrix, np.ndarray):
            return np.ascontiguousarray(matrix[:, j])
        out = self.empty(len(matrix), matrix.dtype)
        self.rows_of(self.kernels.column, matrix, None, int(j), out=(out,))
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
        """Slices of the rows, each with those rows on the GPU.

        It is one slice if the GPU has room for all rows and for copies of `out`.
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
        """Blocks of rows on the GPU; the next is copied while a kernel uses one."""
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
        """The copy of an array on the host; the array itself if there is no room."""
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
        """Bytes that further arrays may take; frees copies of deleted arrays."""
        self._held = {
            key: held for key, held in self._held.items() if held.source() is not None
        }
        return self._room - sum(held.n_bytes for held in self._held.values())


def refuse_shapes():
    """Raise, as there are no kernels for memories with roots."""
    raise NotImplementedError(
        "Memories with a covariance of their own have no kernels for a GPU: use"
        " device='cpu'."
    )


class Buffer:
    """Room for a block of rows in pinned memory of the host, and on the GPU."""

    def __init__(self, shape, dtype, stream):
        self._host = cuda.pinned_array(shape, dtype)
        self._device = cuda.device_array(shape, dtype)
        self._stream = stream
        self._copied, self._free = cuda.event(), cuda.event()

    def fill(self, rows):
        """Start to copy rows, once the kernel that used the buffer before is done."""
        self._free.synchronize()
        staged, self._rows = self._host[: len(rows)], self._device[: len(rows)]
        staged[:] = rows
        self._rows.copy_to_device(staged, stream=self._stream)
        self._copied.record(self._stream)

    def arrived(self):
        """The rows on the GPU; kernels launched from now on wait for the copy."""
        self._copied.wait()
        return self._rows

    def leave(self):
        """Mark that all kernels that use the rows have been launched."""
        self._free.record()


def _copy_stream():
    """A stream whose copies do not wait for kernels on the default stream.

    The streams that numba creates do wait.
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
