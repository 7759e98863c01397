"""Kernels run on blocks of rows, by threads; their partial sums are added up.

The split into blocks depends only on the number of rows and the work per row, and
partial sums are added in the order of the rows. So the number of threads never changes
a result.
"""

import os
import sys
from functools import cache, reduce
from threading import Lock, Thread

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from ..kernels import plain
from .sums import merged

# One unit of work is one feature of one row compared with one memory, which takes about
# a thirtieth of a nanosecond. A block is large enough to hide the cost of calling a
# kernel and of adding up its results, and small enough for its intermediate results to
# fit a cache. Threads are started only if each has a millisecond of work; then blocks
# are made smaller until there are MAX_PARTS. They are alike in size and a power of two
# in number, so that threads finish together.
BLOCK_WORK = 1 << 31
BLOCK_NUMBERS = 1 << 20
MIN_BLOCK_ROWS = 1 << 8
MAX_BLOCK_ROWS = 1 << 14
THREAD_WORK = 1 << 25
MAX_PARTS = 8
# Kernels that process one row at a time, instead of many as lanes, are slower by this.
ROW_BY_ROW = 32
# The work of one posterior of one memory, and the constant work per row.
POSTERIOR_WORK = 16
ROW_WORK = 256


def n_threads():
    """Threads a call may use: CPUs of this process, at most NUMBA_NUM_THREADS."""
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    cpus = joblib.cpu_count()
    return min(cpus, int(limit)) if limit.isdigit() and int(limit) > 0 else cpus


class _OneThread:
    """A limit for the whole process: the first to enter sets it, the last lifts it.

    If each context restored the limit it found, and two overlapped in Python threads,
    the second would find a limit of one thread and restore that at the end.

    A counter of those inside would be wrong after an interrupt before the first line of
    `__exit__`. So the frames of the functions inside are kept instead, and one counts
    as long as it is on the stack of a thread.
    """

    def __init__(self):
        self._lock, self._inside, self._before = Lock(), set(), None

    def __enter__(self):
        with self._lock:
            self._inside &= _running()
            if not self._inside:
                if self._before is None:
                    self._before = _blas().limit(limits=None)  # changes nothing
                else:  # an interrupt left the limit in place
                    _release_blas()
                _blas().limit(limits=1)
            self._inside.add(sys._getframe(1))

    def __exit__(self, *_):
        with self._lock:
            self._inside.discard(sys._getframe(1))
            self._inside &= _running()
            if not self._inside and self._before is not None:
                _release_blas()
                self._before.restore_original_limits()
                _release_blas()
                self._before = None


def _running():
    """The frames of all functions that are running, in any thread."""
    frames = set()
    for frame in sys._current_frames().values():
        while frame is not None:
            frames.add(frame)
            frame = frame.f_back
    return frames


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def _release_blas():
    """Let any thread set the limit; threadpoolctl 3.8 obeys only the first that did."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


# A context in which BLAS, including that of SciPy's L-BFGS, starts no threads. Its
# threads keep spinning for hundredths of a second after a small product, on cores that
# kernels need next: fits took up to a third longer.
blas_in_one_thread = _OneThread()


def rows_of(kernel, X, memories, *settings, out, passes=1):
    """Run a kernel that writes one entry per row of X into each array of `out`.

    Parameters
    ----------
    kernel : callable
        ``kernel(rows, memories, *settings, *out)``.
    X : ndarray of shape (n_rows, n_features)
    memories : Memories
    *settings : object
        Passed on unchanged.
    out : tuple of ndarray
        Each with n_rows entries, overwritten.
    passes : int
        How often each row is compared with all memories; times ROW_BY_ROW for kernels
        that process one row at a time.
    """

    def run(rows):
        slices = [_block(array, rows) for array in out]
        kernel(_block(X, rows), memories, *settings, *slices)
        _put_back(slices, rows, out)

    for _ in in_blocks(run, *blocks_of(len(X), memories.centers.shape, passes)):
        pass


def sum_over(kernel, X, weights, memories, *settings, out=(), passes=1):
    """Run a kernel that returns sums over rows, and add up what the blocks return.

    As `rows_of`, with a weight for each row; the kernel is called as
    ``kernel(rows, weights, memories, *settings, *out)`` and returns a tuple.
    """

    def run(rows):
        slices = [_block(array, rows) for array in out]
        weights_here = _block(weights, rows)
        sums = kernel(_block(X, rows), weights_here, memories, *settings, *slices)
        _put_back(slices, rows, out)
        return sums

    blocks = blocks_of(len(X), memories.centers.shape, passes)
    return reduce(merged, in_blocks(run, *blocks))


def _block(array, rows):
    """Some rows of an array, in the layout of compiled kernels: see `plain`."""
    return plain(array[rows])


def _put_back(slices, rows, out):
    """Copy the results that a kernel wrote into copies of slices back to `out`."""
    for array, block in zip(out, slices, strict=True):
        if not np.may_share_memory(array, block):
            array[rows] = block


def blocks_of(n_rows, shape, passes=1):
    """Blocks of rows that meet memories of a shape, and whether threads pay."""
    if 0 < n_rows <= MIN_BLOCK_ROWS:
        return [slice(0, n_rows)], False
    n_clusters, n_features = shape
    work_per_row = passes * n_clusters * (n_features + POSTERIOR_WORK) + ROW_WORK
    size = min(BLOCK_WORK // work_per_row, BLOCK_NUMBERS // (n_clusters + n_features))
    size = min(max(size, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)
    parts = min(n_rows * work_per_row // THREAD_WORK, MAX_PARTS)
    n_blocks = 1 << (max(-(-n_rows // size), parts, 1) - 1).bit_length()
    size = -(-n_rows // (n_blocks * MIN_BLOCK_ROWS)) * MIN_BLOCK_ROWS
    return [slice(start, start + size) for start in range(0, n_rows, size)], parts > 1


def in_blocks(task, blocks, by_threads):
    """The results of the task for all blocks of rows, in order."""
    threads = min(n_threads(), len(blocks)) if by_threads else 1
    return map(task, blocks) if threads == 1 else _on_threads(task, blocks, threads)


def _on_threads(task, blocks, threads):
    """The results of the task for all blocks; the calling thread works too.

    A pool of the standard library takes at least ten times as long to start.
    """
    results, errors = [None] * len(blocks), []
    indices = iter(range(len(blocks)))  # threads share it: each index is taken once

    def work():
        try:
            for i in indices:
                results[i] = task(blocks[i])
        except BaseException as error:
            errors.append(error)
            for _ in indices:  # leave no block for the other threads, so they stop
                pass

    helpers = [Thread(target=work) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
    return results
