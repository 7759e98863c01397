"""Threads, forks, worker processes, schedulers, and installs nobody can write to."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from amcluster import CLAMClusterer, CRPAssociativeClusterer
from amcluster.execution import threads

PACKAGE = Path(__file__).parents[2]


def fit(X, seed=0):
    return CLAMClusterer(3, n_init=1, random_state=seed).fit(X)


def fitted_centers(X, seed=0):
    return fit(X, seed).cluster_centers_


def centers_after_swaps(X, seed):
    """Long enough for fits to overlap, and each seed ends in a place of its own."""
    return CLAMClusterer(12, random_state=seed).fit(X).cluster_centers_


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["wine"][0]


@pytest.fixture
def threaded(monkeypatch):
    """Threads even for small work."""
    monkeypatch.setattr(threads, "THREAD_WORK", 1)
    monkeypatch.setattr(threads, "MIN_BLOCK_ROWS", 16)
    monkeypatch.setattr(threads, "BLOCK_WORK", 1000)
    monkeypatch.setattr(threads, "n_threads", lambda: 4)


def test_fits_in_threads_at_once(X, threaded):
    seeds = range(8)
    expected = [fitted_centers(X, seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda seed: fitted_centers(X, seed), seeds))
    np.testing.assert_array_equal(actual, expected)


def send_centers(X, connection):
    connection.send(fitted_centers(X))


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_fit_in_a_fork_after_a_fit(X, threaded):
    expected = fitted_centers(X)
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    worker = context.Process(target=send_centers, args=(X, sending), daemon=True)
    worker.start()
    assert receiving.poll(30), "the fork hangs"
    np.testing.assert_array_equal(receiving.recv(), expected)
    worker.join()
    assert worker.exitcode == 0


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(X, backend):
    seeds = range(4)
    expected = [centers_after_swaps(X, seed) for seed in seeds]
    parallel = joblib.Parallel(n_jobs=2, backend=backend)
    actual = parallel(joblib.delayed(centers_after_swaps)(X, seed) for seed in seeds)
    np.testing.assert_array_equal(actual, expected)


def test_dask_threads(X):
    dask = pytest.importorskip("dask")
    seeds = range(4)
    expected = [centers_after_swaps(X, seed) for seed in seeds]
    tasks = [dask.delayed(centers_after_swaps)(X, seed) for seed in seeds]
    actual = dask.compute(*tasks, scheduler="threads", num_workers=4)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "estimator",
    [CLAMClusterer(3, random_state=0), CRPAssociativeClusterer(random_state=0)],
    ids=["clam", "crp"],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_skops_round_trip(X, tmp_path, estimator, method):
    """With no type to trust but scikit-learn's and ours."""
    skops = pytest.importorskip("skops.io")
    if not hasattr(estimator, method):
        pytest.skip("no streams")
    estimator = getattr(clone(estimator), method)(X)
    skops.dump(estimator, tmp_path / "model.skops")
    ours = skops.get_untrusted_types(file=tmp_path / "model.skops")
    kind = type(estimator)
    assert ours == [f"{kind.__module__}.{kind.__name__}"]
    restored = skops.load(tmp_path / "model.skops", trusted=ours)
    np.testing.assert_array_equal(restored.predict_proba(X), estimator.predict_proba(X))


NOWHERE_TO_WRITE = """
import warnings
from numba.core import caching

def ensure_cache_path(self):
    raise OSError("read-only")

for locator in vars(caching).values():
    if hasattr(locator, "ensure_cache_path"):
        locator.ensure_cache_path = ensure_cache_path
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    from amcluster.kernels.cpu.tiles import load
    print(*load(np.array([[0.0], [1.0], [9.0]]))[0, 0, :4])
print([str(w.message) for w in caught if "AMCLUSTER" in str(w.message)])
"""


def run(code, **environment):
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_nowhere_to_write_the_cache(tmp_path):
    loaded, messages = run(NOWHERE_TO_WRITE, NUMBA_CACHE_DIR=str(tmp_path))
    assert loaded == "0.0 1.0 9.0 9.0"
    assert "AMCLUSTER_NUMBA_CACHE=0" in messages
    assert str(tmp_path) in messages


def test_cache_can_be_switched_off():
    loaded, messages = run(NOWHERE_TO_WRITE, AMCLUSTER_NUMBA_CACHE="0")
    assert loaded == "0.0 1.0 9.0 9.0"
    assert messages == "[]"


def test_compiled_cache_is_hit_by_the_next_process(tmp_path):
    code = """
import numpy as np
from amcluster.kernels import Memories, target
X = np.random.default_rng(0).normal(size=(300, 5))
memories = Memories(X[:7], np.zeros(7), 0.5).astype(float)
sums = target().expectation(X, np.ones(300), memories, np.empty(300))
print(b"".join(np.asarray(part).tobytes() for part in sums))
from amcluster.kernels.cpu import expectation, reduce, tiles
kernels = [kernel for module in (expectation, reduce, tiles)
           for kernel in vars(module).values() if hasattr(kernel, "stats")]
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""
    runs = [run(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    (compiled, misses), (cached, no_misses) = runs
    assert int(misses) > 0 == int(no_misses)
    assert compiled == cached
