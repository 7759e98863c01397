"""Splitting never changes a result; threads are not started for small work."""

import importlib
import linecache
import pkgutil
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from threadpoolctl import ThreadpoolController, threadpool_limits

from amcluster import (
    AssociativeImputer,
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
)
from amcluster.execution import threads
from amcluster.execution.threads import blas_in_one_thread, rows_of, sum_over
from amcluster.kernels import Dynamics, Memories, target
from amcluster.learning import missing

from ..clusterers.crp import one_cluster
from ..strategies import seeds, separated, tables

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 3))
WEIGHTS = rng.uniform(size=1000)
MEMORIES = Memories(rng.normal(size=(4, 3)), np.full(4, -np.log(4)), 0.5).astype(float)
DYNAMICS = Dynamics.free(3, 5, 0.3, float)


def gradient(X, weights):
    kernel = target().reconstruction_gradient
    return sum_over(kernel, X, weights, MEMORIES, DYNAMICS)


def proba(X):
    out = np.empty((len(X), 4))
    rows_of(target().posterior, X, MEMORIES, out=(out,))
    return out


def test_sums_add_over_any_split():
    whole = gradient(X, WEIGHTS)
    for cut in (1, 17, 999):
        parts = gradient(X[:cut], WEIGHTS[:cut]), gradient(X[cut:], WEIGHTS[cut:])
        for total, *part in zip(whole, *parts, strict=True):
            np.testing.assert_allclose(sum(part), total, rtol=1e-12)


@pytest.mark.parametrize("block_work", [1, 200, 1 << 30])
def test_rows_do_not_depend_on_the_split(monkeypatch, block_work):
    expected = proba(X)
    monkeypatch.setattr(threads, "BLOCK_WORK", block_work)
    monkeypatch.setattr(threads, "MIN_BLOCK_ROWS", 1)
    np.testing.assert_array_equal(proba(X), expected)


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_sums_do_not_depend_on_the_threads(monkeypatch, n_threads):
    monkeypatch.setattr(threads, "BLOCK_WORK", 1000)
    monkeypatch.setattr(threads, "MIN_BLOCK_ROWS", 10)
    monkeypatch.setattr(threads, "THREAD_WORK", 1)
    monkeypatch.setattr(threads, "n_threads", lambda: 1)
    expected = gradient(X, WEIGHTS)
    monkeypatch.setattr(threads, "n_threads", lambda: n_threads)
    for actual, total in zip(gradient(X, WEIGHTS), expected, strict=True):
        np.testing.assert_array_equal(actual, total)


def threads_used(n_rows, n_threads):
    used, all_here = set(), threading.Barrier(n_threads)

    def kernel(rows, memories, out):
        if threading.get_ident() not in used:
            used.add(threading.get_ident())
            all_here.wait(timeout=60)
        out[:] = 0

    rows = np.broadcast_to(X[0], (n_rows, 3))
    rows_of(kernel, rows, MEMORIES, out=(np.empty(n_rows),))
    return used


def test_small_work_starts_no_thread(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 3)
    assert threads_used(10_000, 1) == {threading.get_ident()}
    used = threads_used(1_000_000, 3)
    assert threading.get_ident() in used
    assert len(used) == 3


@pytest.mark.parametrize("bad_thread", ["main", "other"])
def test_an_error_ends_all_threads(monkeypatch, bad_thread):
    monkeypatch.setattr(threads, "n_threads", lambda: 2)
    n_calls, both_here = [], threading.Barrier(2)

    def kernel(rows, memories, out):
        n_calls.append(1)
        if len(n_calls) <= 2:
            both_here.wait(timeout=60)
        in_main = threading.current_thread() is threading.main_thread()
        if in_main == (bad_thread == "main"):
            raise ZeroDivisionError
        time.sleep(0.01)

    rows = np.broadcast_to(X[0], (1_000_000, 3))
    with pytest.raises(ZeroDivisionError):
        rows_of(kernel, rows, MEMORIES, out=(np.empty(len(rows)),))
    assert len(n_calls) < 10


def test_number_of_threads_follows_numba(monkeypatch):
    monkeypatch.setattr(threads.joblib, "cpu_count", lambda: 8)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert threads.n_threads() == 8
    for value, expected in (("3", 3), ("0", 8), ("many", 8), ("64", 8)):
        monkeypatch.setenv("NUMBA_NUM_THREADS", value)
        assert threads.n_threads() == expected


def test_layouts_agree_and_are_compiled_once():
    expected = proba(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    kernel = importlib.import_module("amcluster.kernels.cpu.reduce").posterior_tiles
    compiled = len(kernel.signatures)
    for layout in (np.asfortranarray(X), read_only, strided):
        np.testing.assert_array_equal(proba(layout), expected)
    assert len(kernel.signatures) == compiled > 0


def strided(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype)
    raw[:] = array.ravel()
    return raw.reshape(array.shape)


def mapped(array):
    return array.view(np.memmap)


LAYOUTS = [np.asfortranarray, strided, read_only, unaligned, mapped]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_reaches_a_kernel_has_one_layout(layout):
    """Any other would be a second compilation, of seconds."""
    met = []

    def kernel(rows, weights, memories, out):
        met.extend([rows, weights, memories.centers, memories.log_weights, out])
        out += weights[:, None]
        return (weights.sum(),)

    def writer(rows, memories, out):
        met.extend([rows, memories.centers, memories.log_weights, out])
        out[:] = rows

    memories = MEMORIES._replace(
        centers=layout(MEMORIES.centers), log_weights=layout(MEMORIES.log_weights)
    ).astype(float)
    out = np.zeros((3, 1000)).T if layout is np.asfortranarray else np.zeros((1000, 3))
    out = out if layout is read_only else layout(out)
    (total,) = sum_over(kernel, layout(X), layout(WEIGHTS), memories, out=(out,))
    np.testing.assert_allclose(total, WEIGHTS.sum())
    np.testing.assert_array_equal(out, np.repeat(WEIGHTS[:, None], 3, axis=1))
    rows_of(writer, layout(X), memories, out=(out,))
    np.testing.assert_array_equal(out, X)
    assert all(type(array) is np.ndarray and array.flags.carray for array in met)


def kernels_compiled():
    """Every function of the CPU's kernels that numba has compiled."""
    package = target()
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        yield from (
            kernel for kernel in vars(module).values() if hasattr(kernel, "signatures")
        )


def as_from_a_map(model):
    """The model with arrays as they are loaded from a memory map."""
    for value in vars(model).values():
        for array in value if isinstance(value, tuple) else [value]:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    return model


@one_cluster
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_kernel_is_compiled_for_another_layout(dtype, monkeypatch):
    """A sample of every third row, to fill holes in, was one."""
    monkeypatch.setattr(missing, "FILLING_ROWS", 400)
    whole = X.astype(dtype)
    holed = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, whole)
    for rows in (whole, holed, np.asfortranarray(holed)):
        CLAMClusterer(2, max_iter=2).fit(rows).retrieve(rows[::2])
        CLAMELBOClusterer(2, max_iter=2).fit(rows).predict_proba(rows[::2])
        CLAMELBOClusterer(2, metric="learned", max_iter=2).fit(rows).complete(rows)
        as_from_a_map(CRPAssociativeClusterer(max_iter=2).fit(rows)).score(rows)
        AssociativeImputer(2).fit(rows).transform(rows[::-1])
    signatures = " ".join(
        str(kind)
        for kernel in kernels_compiled()
        for signature in kernel.signatures
        for kind in signature
    )
    layouts = re.findall(r"([a-z]*) ?\barray\(\w+, \dd, (\w+)\)", signatures)
    assert len(layouts) > 50
    assert set(layouts) == {("", "C")}


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(threads, "BLOCK_WORK", 1000)
    monkeypatch.setattr(threads, "MIN_BLOCK_ROWS", 10)
    monkeypatch.setattr(threads, "THREAD_WORK", 1)
    monkeypatch.setattr(threads, "n_threads", lambda: 2)

    def kernel(rows, memories):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        rows_of(kernel, X, MEMORIES, out=())


BLAS = ThreadpoolController().select(user_api="blas")


def blas_threads():
    return {library["num_threads"] for library in BLAS.info()}


@one_cluster
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_blas_starts_no_threads_while_something_is_fitted(method):
    class Curious(CRPAssociativeClusterer):
        def _check_parameters(self):
            seen.append(blas_threads())
            super()._check_parameters()

    seen = []
    with threadpool_limits(2, "blas"):
        getattr(Curious(), method)(X)
        assert seen == [{1}]
        with pytest.raises(ValueError, match="concentration"):
            getattr(Curious(concentration=-1.0), method)(X)
        assert blas_threads() == {2}


@contextmanager
def two_blas_threads():
    """Which any thread may limit."""
    with threadpool_limits(2, "blas"):
        threads._release_blas()
        yield


def limited():
    """What `fit` does."""
    with blas_in_one_thread:
        return blas_threads()


def test_blas_gets_its_threads_back_when_the_last_of_several_fits_ends():
    inside, may_leave = threading.Event(), threading.Event()

    def other():
        with blas_in_one_thread:
            inside.set()
            assert may_leave.wait(timeout=60)

    with two_blas_threads(), ThreadPoolExecutor(1) as pool:
        with blas_in_one_thread:
            done = pool.submit(other)
            assert inside.wait(timeout=60)
            assert limited() == {1}  # one inside of another, as a callback may do
            assert blas_threads() == {1}
        assert blas_threads() == {1}
        may_leave.set()
        done.result()
        assert blas_threads() == {2}
        with threadpool_limits(1, "blas"):  # no thread of ours has it for itself
            assert blas_threads() == {1}


class Interrupt:
    """Raises KeyboardInterrupt at one of the lines that enter and leave the limit."""

    FILES = threads.__file__, threadpoolctl.__file__

    def __init__(self, number):
        self.number, self.place = number, None

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename not in self.FILES:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        # Python looks at no signals where a `with` of a lock ends.
        if event == "line" and self.place is None and not line.startswith("with "):
            self.number -= 1
            if self.number < 0:
                self.place = line
                raise KeyboardInterrupt
        return self


def interrupted(interrupt):
    """An error, kept as a session keeps its last traceback, or None."""
    tracing = sys.gettrace()
    sys.settrace(interrupt)
    try:
        return enter_and_leave()
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.settrace(tracing)


def enter_and_leave():
    with blas_in_one_thread:
        pass


@pytest.mark.parametrize("next_fit", ["same thread", "other thread"])
def test_an_interrupt_at_any_line_leaves_blas_its_threads(next_fit):
    with two_blas_threads(), ThreadPoolExecutor(1) as pool:
        for number in range(1000):
            interrupt = Interrupt(number)
            error = pool.submit(interrupted, interrupt).result()
            if error is None:
                break
            if next_fit == "same thread":
                assert pool.submit(limited).result() == {1}
            else:
                assert limited() == {1}
            assert blas_threads() == {2}, interrupt.place
        assert number > 20


# For any data


@given(tables(), seeds, st.data())
def test_any_split_gives_the_same_sums(X, seed, data):
    rng = np.random.default_rng(seed)
    X = X.astype(np.float64)
    memories = Memories(rng.normal(size=(3, X.shape[1])), np.log([0.2, 0.3, 0.5]), 0.1)
    dynamics = Dynamics.free(X.shape[1], 4, 0.5, np.float64)
    weights = rng.uniform(size=len(X))
    kernel = target().reconstruction_gradient
    whole = sum_over(kernel, X, weights, memories.astype(float), dynamics)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(X)), max_size=4)))
    edges = [0, *cuts, len(X)]
    parts = [
        sum_over(kernel, X[a:b], weights[a:b], memories.astype(float), dynamics)
        for a, b in pairwise(edges)
        if a < b
    ]
    for total, *pieces in zip(whole, *parts, strict=True):
        size = max(np.abs(np.array(pieces)).max(), 1e-300)
        np.testing.assert_allclose(sum(pieces), total, atol=1e-12 * size * len(pieces))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(separated(), st.sampled_from([1, 3, 50, 1 << 30]), st.integers(1, 5))
def test_blocks_and_threads_leave_clear_clusters(data, block_work, n_threads):
    X, n_clusters = data
    clam = CLAMClusterer(n_clusters, random_state=0)
    expected = clam.fit(X).labels_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "BLOCK_WORK", block_work * 100)
        patch.setattr(threads, "THREAD_WORK", 1)
        patch.setattr(threads, "n_threads", lambda: n_threads)
        labels = clone(clam).fit(X).labels_
    np.testing.assert_array_equal(labels, expected)
