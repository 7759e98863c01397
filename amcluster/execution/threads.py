"""Rows travel in blocks: who runs them, and how partial sums meet.

How rows are split depends on the work a row costs and on nothing else, and partial sums
are added in the order of the rows. So the number of threads never changes a result.
"""

import os
import sys
from functools import cache
from threading import Lock, Thread

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from ..kernels import plain

# One unit of work is one feature of one row compared with one memory: some thirtieth of
# a nanosecond. A block takes long enough to hide the cost of calling a kernel and of
# adding up what it returns, and what a kernel makes of it still fits a cache. Threads
# are started only where each has a millisecond of work; blocks are then made smaller,
# until there are MAX_PARTS. They are alike in size and a power of two in number: so
# threads finish together.
BLOCK_WORK = 1 << 31
BLOCK_NUMBERS = 1 << 20
MIN_BLOCK_ROWS = 1 << 8
MAX_BLOCK_ROWS = 1 << 14
THREAD_WORK = 1 << 25
MAX_PARTS = 8
# Kernels that take one row after the other, not many as lanes, are slower by this.
ROW_BY_ROW = 32
# What a posterior of one memory costs, and what a row costs besides.
POSTERIOR_WORK = 16
ROW_WORK = 256


def n_threads():
    """Threads a call may use: the CPUs left to this process, or NUMBA_NUM_THREADS."""
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    cpus = joblib.cpu_count()
    return min(cpus, int(limit)) if limit.isdigit() and int(limit) > 0 else cpus


class _OneThread:
    """A limit of the whole process: who enters first sets it, who leaves last lifts it.

    Of two contexts that overlap in threads of Python the second would otherwise find a
    limit of one thread, and restore that when it leaves after the first.

    An interrupt can come before the first line of `__exit__`. So those inside are not
    counted: a function is inside for as long as its frame is on the stack of a thread.
    """

    def __init__(self):
        self._lock, self._inside, self._before = Lock(), set(), None

    def __enter__(self):
        with self._lock:
            self._inside &= _running()
            if not self._inside:
                if self._before is None:
                    self._before = _blas().limit(limits=None)  # only looks
                else:  # an interrupt left it
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
    """The frames of all functions that run now, in any thread."""
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
    """Let any thread set its limit: threadpoolctl 3.8 obeys the first that did so."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


# A context in which BLAS, also inside of SciPy's L-BFGS, starts no threads. Those that
# it wakes for a small product spin for hundredths of a second when it is done, on cores
# that kernels need next: fits took up to a third longer.
blas_in_one_thread = _OneThread()


def rows_of(kernel, X, memories, *settings, out, passes=1):
    """Run a kernel that writes one entry of each array of `out` a row of X.

    Parameters
    ----------
    kernel : callable
        ``kernel(rows, memories, *settings, *out)``.
    X : ndarray of shape (n_rows, n_features)
    memories : Memories
    *settings : object
        Passed on as they are.
    out : tuple of ndarray
        Each with n_rows entries, overwritten.
    passes : int
        How often a row meets every memory, times ROW_BY_ROW if rows come one by one.
    """

    def run(rows):
        slices = [_block(array, rows) for array in out]
        kernel(_block(X, rows), memories, *settings, *slices)
        _put_back(slices, rows, out)

    for _ in _run(run, len(X), memories.centers.shape, passes):
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

    results = iter(_run(run, len(X), memories.centers.shape, passes))
    totals = list(next(results))
    for partial in results:
        totals = [total + part for total, part in zip(totals, partial, strict=True)]
    return totals


def _block(array, rows):
    """Some rows of an array, as kernels are compiled for: see `plain`."""
    return plain(array[rows])


def _put_back(slices, rows, out):
    """Write what a kernel has written into copies to where it belongs."""
    for array, block in zip(out, slices, strict=True):
        if not np.may_share_memory(array, block):
            array[rows] = block


def _run(task, n_rows, shape, passes):
    if 0 < n_rows <= MIN_BLOCK_ROWS:
        return map(task, [slice(0, n_rows)])
    n_clusters, n_features = shape
    work_per_row = passes * n_clusters * (n_features + POSTERIOR_WORK) + ROW_WORK
    size = min(BLOCK_WORK // work_per_row, BLOCK_NUMBERS // (n_clusters + n_features))
    size = min(max(size, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)
    parts = min(n_rows * work_per_row // THREAD_WORK, MAX_PARTS)
    n_blocks = 1 << (max(-(-n_rows // size), parts, 1) - 1).bit_length()
    size = -(-n_rows // (n_blocks * MIN_BLOCK_ROWS)) * MIN_BLOCK_ROWS
    blocks = [slice(start, start + size) for start in range(0, n_rows, size)]
    threads = min(n_threads(), len(blocks)) if parts > 1 else 1
    return map(task, blocks) if threads == 1 else _on_threads(task, blocks, threads)


def _on_threads(task, blocks, threads):
    """What the task returns for each block; the calling thread takes its share.

    A pool of the standard library takes ten times as long to start, or more.
    """
    results, errors = [None] * len(blocks), []
    numbers = iter(range(len(blocks)))  # which threads may share

    def work():
        try:
            for number in numbers:
                results[number] = task(blocks[number])
        except BaseException as error:
            errors.append(error)
            for _ in numbers:  # the others are to stop too
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
