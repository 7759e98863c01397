"""Estimators on a GPU: numba's simulator of one, or, marked `gpu`, a real one.

The simulator runs a thread of Python for each of the GPU's: sets are small here. All
kernels meet NumPy in tests/kernels.
"""

import os
import subprocess
import sys
import weakref
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs

from amcluster import (
    AssociativeImputer,
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    ModeClusterer,
)
from amcluster.execution import select
from amcluster.execution.select import CPU, device_named
from amcluster.kernels import Memories
from amcluster.learning.seeding import k_means, partition_rows
from amcluster.rows.distinct import distinct_rows

from ..clusterers.crp import one_cluster

ROOT = Path(__file__).parents[2]
PLACES = np.array([[0.0, 0.0], [6.0, 1.0], [2.0, 7.0]])
X, _ = make_blobs(15, centers=PLACES, cluster_std=0.6, random_state=0)
WITH_HOLES = np.where(np.random.default_rng(1).random(X.shape) < 0.15, np.nan, X)
WITH_HOLES[np.isnan(WITH_HOLES).all(axis=1)] = PLACES[0]
NEW = np.array([[0.3, 0.1], [5.0, 1.0], [20.0, -20.0]])
NEW_WITH_HOLES = np.array([[0.3, np.nan], [np.nan, 1.0], [20.0, -20.0]])

SEED = {"random_state": 0, "max_iter": 2}
ESTIMATORS = {
    "clam": CLAMClusterer(3, n_steps=2, **SEED),
    "clam-masked": CLAMClusterer(
        3, n_steps=2, mask_fraction=0.5, weights="learned", n_init=1, **SEED
    ),
    "elbo": CLAMELBOClusterer(3, n_init=1, **SEED),
    "elbo-robust": CLAMELBOClusterer(3, likelihood="student_t", n_init=1, **SEED),
    "elbo-metric": CLAMELBOClusterer(3, metric="learned", n_init=1, **SEED),
    "clam-adam": CLAMClusterer(
        3, n_steps=2, solver="adam", n_init=1, max_iter=1, random_state=0
    ),
    "crp-hard": CRPAssociativeClusterer(metric="euclidean", assignment="hard", **SEED),
    "crp": CRPAssociativeClusterer(metric="euclidean", **SEED),
    "crp-metric": CRPAssociativeClusterer(covariance="tied", **SEED),
    "modes": ModeClusterer(1.0, min_cluster_size=2, max_memories=10, random_state=0),
}
METHODS = (
    *("predict", "predict_proba", "score_samples", "energy", "novelty"),
    *("retrieve", "trajectory", "complete"),
)


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """A short way to the CRP's memories, and few swaps of seeds."""
    monkeypatch.setattr("amcluster.nonparametric.soft.ROWS_PER_MEMORY", 5)
    monkeypatch.setattr("amcluster.nonparametric.soft.SETTLING_STEPS", 4)
    monkeypatch.setattr("amcluster.nonparametric.column_noise.STEPS", 1)
    monkeypatch.setattr("amcluster.nonparametric.column_noise.SETTLING_STEPS", 2)
    monkeypatch.setattr("amcluster.learning.seeding.SWAP_FAILURES", 2)


@pytest.fixture
def gpu():
    """The device under test."""
    return device_named("cuda")


@pytest.fixture
def small_gpu(monkeypatch):
    """One without room for any array: rows come in blocks of five."""
    from amcluster.execution import cuda

    monkeypatch.setattr(cuda, "free_memory", lambda: 0)
    monkeypatch.setattr(cuda, "BUFFER_BYTES", 5 * X[0].nbytes)
    return device_named("cuda")


@contextmanager
def idle_cpu():
    """Where an error is raised if rows meet a kernel on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CPU, "sum_over", None)
        patch.setattr(CPU, "rows_of", None)
        yield


def assert_same(model, X, new):
    """All that an estimator learns and says is the same on both."""
    on_cpu = clone(model).fit(X)
    with idle_cpu():
        on_gpu = clone(model).set_params(device="cuda").fit(X)
    np.testing.assert_array_equal(on_gpu.labels_, on_cpu.labels_)
    names = {name for name in vars(on_cpu) if name.endswith("_")}
    if "_metric_" in names:  # its factors
        names = names - {"_metric_"} | {"metric_"}
    # What novelty is made of is seen by novelty, and shapes are for the CPU.
    names -= {"_tail_", "_base_", "_roots_"}
    # The last iteration may gain no more than what another order of a sum does.
    for name in names - {"labels_", "n_features_in_", "history_", "n_iter_"}:
        actual, expected = getattr(on_gpu, name), getattr(on_cpu, name)
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8)
    for method in METHODS:
        if hasattr(model, method):
            settings = {"n_steps": 2} if method in ("retrieve", "trajectory") else {}
            expected = getattr(on_cpu, method)(new, **settings)
            with idle_cpu():
                actual = getattr(on_gpu, method)(new, **settings)
            np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8)


@one_cluster
@pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)
def test_estimators(model):
    assert_same(model, X, NEW)


@one_cluster
@pytest.mark.parametrize("name", ["clam", "elbo", "elbo-metric", "crp", "crp-metric"])
def test_estimators_with_holes(name):
    assert_same(ESTIMATORS[name], WITH_HOLES, NEW_WITH_HOLES)


def test_states_come_to_rest():
    model = clone(ESTIMATORS["clam"]).fit(X)
    expected = model.retrieve(X)
    with idle_cpu():
        actual = model.set_params(device="cuda").retrieve(X)
    np.testing.assert_allclose(actual, expected)


@pytest.mark.parametrize("batch", [NEW, NEW_WITH_HOLES], ids=["whole", "holes"])
def test_stream(batch):
    """Batches are scored on the device, and seated on the CPU."""
    model = clone(ESTIMATORS["crp"]).fit(X)
    expected = deepcopy(model).partial_fit(batch)
    with idle_cpu():
        on_gpu = model.set_params(device="cuda").partial_fit(batch)
    assert on_gpu.n_clusters_ == expected.n_clusters_ > 3
    np.testing.assert_array_equal(on_gpu.labels_, expected.labels_)
    np.testing.assert_allclose(on_gpu.cluster_centers_, expected.cluster_centers_)


def test_imputer():
    imputer = AssociativeImputer(2, metric="euclidean", random_state=0)
    expected = imputer.fit_transform(WITH_HOLES)
    with idle_cpu():
        actual = imputer.set_params(device="cuda").fit_transform(WITH_HOLES)
    np.testing.assert_allclose(actual, expected)


@pytest.mark.parametrize("name", ["elbo", "elbo-metric"])
def test_estimators_stream_what_does_not_fit(small_gpu, name):
    assert_same(ESTIMATORS[name], X, NEW)


def test_streamed_rows_are_the_resident_ones(gpu, small_gpu, monkeypatch):
    rng = np.random.default_rng(2)
    rows, weights = rng.normal(size=(23, 2)), rng.uniform(size=23)
    memories = Memories(rng.normal(size=(3, 2)), np.log([0.2, 0.3, 0.5]), 0.7)
    memories = memories.astype(float)
    results = []
    for device in (CPU(), gpu, small_gpu):
        pulled, labels = np.empty(23), np.empty(23, np.intp)
        kernels = device.kernels
        sums = device.sum_over(
            kernels.expectation, rows, weights, memories, out=(pulled,)
        )
        device.rows_of(kernels.label, rows, memories, out=(labels,))
        results.append([*sums, pulled, labels])
    for expected, *others in zip(*results, strict=True):
        for actual in others:
            np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_memories_with_roots_are_refused(gpu):
    """Before a kernel ignores them."""
    rows = distinct_rows(X, np.ones(15))._replace(device=gpu)
    memories = Memories(X[:3], np.zeros(3), 0.7, roots=np.array([np.eye(2)] * 3))
    with pytest.raises(NotImplementedError, match=r"covariance.*device='cpu'"):
        rows.labels(memories)
    with pytest.raises(NotImplementedError, match=r"covariance.*device='cpu'"):
        rows.expectation(memories)
    with pytest.raises(NotImplementedError, match=r"covariance.*device='cpu'"):
        gpu.sum_over(gpu.kernels.expectation, X, np.ones(15), memories.astype(float))


def test_blocks_cover_the_rows(small_gpu):
    """Each buffer is used again before the kernel of the other block has begun."""
    for layout in (X, np.asfortranarray(X), X[:13], X[:5], X[:1], X[::2]):
        blocks = [
            (block, rows.copy_to_host()) for block, rows in small_gpu._blocks(layout)
        ]
        np.testing.assert_array_equal(np.concatenate([r for _, r in blocks]), layout)
        for block, rows in blocks:
            np.testing.assert_array_equal(rows, layout[block])
        assert len(blocks) == -(-len(layout) // 5)


def test_results_that_do_not_fit_come_in_blocks(gpu, monkeypatch):
    """As of a trajectory, which is larger than its rows."""
    rows = np.ones((12, 2))
    gpu._kept(rows)
    monkeypatch.setattr(gpu, "_room", rows.nbytes + 100)
    monkeypatch.setattr("amcluster.execution.cuda.BUFFER_BYTES", 400)
    for out, n_blocks in ((np.empty(12), 1), (np.empty((12, 25)), 6)):
        blocks = list(gpu._blocks(rows, (out,)))
        assert len(blocks) == n_blocks
        back = np.concatenate([block.copy_to_host() for _, block in blocks])
        np.testing.assert_array_equal(back, rows)


@pytest.fixture
def sent(monkeypatch):
    """Shapes of the arrays that are sent to the GPU as a whole."""
    from amcluster.execution import cuda

    shapes, send = [], cuda.cuda.to_device

    def to_device(array):
        shapes.append(array.shape)
        return send(array)

    monkeypatch.setattr(cuda.cuda, "to_device", to_device)
    return shapes


@pytest.mark.parametrize("max_iter", [2, 4])
def test_rows_are_sent_once(sent, max_iter):
    """The centred rows and, for the labels, X itself; whatever the iterations."""
    model = CLAMELBOClusterer(3, n_init=1, max_iter=max_iter, tol=0, random_state=0)
    model.set_params(device="cuda").fit(X)
    assert sent.count(X.shape) == 2


def test_room_is_that_of_what_lives(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "_room", 1000)
    large, small = np.zeros((60, 2)), np.zeros(6)
    assert gpu._kept(large) is gpu._kept(large) is not large
    assert gpu._kept(small) is small
    assert isinstance(gpu.empty(6), np.ndarray)
    there = gpu.empty(5)
    assert not isinstance(there, np.ndarray)
    assert gpu._left() == 0
    del large, there
    assert gpu._left() == 1000
    assert gpu._kept(small) is not small


def test_copies_end_with_the_call():
    gpu, rows = device_named("cuda"), X.copy()
    copy = weakref.ref(gpu._kept(rows))
    assert copy() is not None
    del gpu
    assert copy() is None


def test_an_array_in_the_place_of_another_is_sent(gpu):
    """An id may come again when its array is gone."""
    for number in range(20):
        rows = np.full((4, 2), float(number))
        np.testing.assert_array_equal(gpu._kept(rows).copy_to_host(), rows)
        del rows


def test_where_labels_of_seeds_are(gpu):
    """Those of k_means in NumPy, those of a partition on their device."""
    rows = distinct_rows(X, np.ones(len(X)))._replace(device=gpu)
    partition = partition_rows(rows, PLACES)
    assert not isinstance(partition.labels, np.ndarray)
    assert not isinstance(partition.first, np.ndarray)
    random_state = np.random.RandomState(0)
    assert isinstance(k_means(rows, 2, random_state).labels, np.ndarray)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_column(gpu, dtype):
    matrix = np.arange(33, dtype=dtype).reshape(11, 3)
    there = gpu.empty(matrix.shape, dtype)
    there.copy_to_device(matrix)
    column = gpu.column(there, np.intp(1))
    assert not isinstance(column, np.ndarray)
    np.testing.assert_array_equal(np.asarray(column), matrix[:, 1])
    for device in (CPU(), gpu):
        np.testing.assert_array_equal(device.column(matrix, 1), matrix[:, 1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (19, 11)])
def test_moment_and_whitening(gpu, small_gpu, dtype, shape):
    rng = np.random.default_rng(3)
    rows, weights = rng.normal(size=shape).astype(dtype), rng.uniform(size=shape[0])
    root = np.tril(rng.normal(size=(shape[1], shape[1]))) + 3 * np.eye(shape[1])
    close = {"rtol": 1e-10, "atol": 1e-10}
    if dtype is np.float32:
        close = {"rtol": 1e-4, "atol": 1e-4}
    for device in (CPU(), gpu, small_gpu):
        moment = device.moment(rows, weights)
        np.testing.assert_allclose(moment, rows.T @ np.diag(weights) @ rows, **close)
        whitened = np.asarray(device.whitened(rows, root))
        np.testing.assert_allclose(whitened @ root.T, rows, **close)
        assert whitened.dtype == dtype


# A real one


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("holes", [False, True])
def test_estimators_on_a_real_gpu(dtype, holes):
    """Clear clusters, more rows than a grid has lanes."""
    rng = np.random.default_rng(0)
    places = 12 * rng.normal(size=(5, 6))
    rows = (places[rng.integers(0, 5, 100_000)] + rng.normal(size=(100_000, 6))).astype(
        dtype
    )
    if holes:
        rows[rng.random(rows.shape) < 0.05] = np.nan
    exact = dtype is np.float64
    for model in (
        *(CLAMClusterer(5, random_state=0), CLAMELBOClusterer(5, random_state=0)),
        CLAMELBOClusterer(5, metric="learned", likelihood="student_t", random_state=0),
        CRPAssociativeClusterer(covariance="tied", random_state=0),
    ):
        on_cpu = clone(model).fit(rows)
        on_gpu = clone(model).set_params(device="cuda").fit(rows)
        again = clone(on_gpu).fit(rows)
        np.testing.assert_array_equal(on_gpu.labels_, on_cpu.labels_)
        np.testing.assert_array_equal(on_gpu.cluster_centers_, again.cluster_centers_)
        np.testing.assert_allclose(
            on_gpu.score_samples(rows),
            on_cpu.score_samples(rows),
            rtol=1e-6 if exact else 1e-3,
            atol=1e-6 if exact else 1e-2,
        )


@pytest.mark.gpu
def test_streaming_on_a_real_gpu(monkeypatch):
    from amcluster.execution import cuda

    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(1_000_000, 8)), rng.uniform(size=1_000_000)
    memories = Memories(rng.normal(size=(9, 8)), np.zeros(9), 0.5).astype(float)
    resident = device_named("cuda")
    monkeypatch.setattr(cuda, "free_memory", lambda: 0)
    monkeypatch.setattr(cuda, "BUFFER_BYTES", 1 << 20)
    streaming = device_named("cuda")
    sums = [
        device.sum_over(
            device.kernels.expectation,
            rows,
            weights,
            memories,
            out=(device.empty(len(rows)),),
        )
        for device in (resident, streaming, streaming)
    ]
    for expected, streamed, again in zip(*sums, strict=True):
        np.testing.assert_allclose(streamed, expected, rtol=1e-9)
        np.testing.assert_array_equal(streamed, again)


@pytest.mark.gpu
def test_benchmark_on_a_real_gpu():
    script = ROOT / "benchmarks" / "speed.py"
    options = ["--device", "cuda", "--shapes", "20000x8x5", "--repeats", "1"]
    subprocess.run([sys.executable, script, *options], check=True)


def test_benchmark_without_a_gpu_says_so():
    """numba's simulator has no speed to measure."""
    script = ROOT / "benchmarks" / "speed.py"
    process = subprocess.run(
        [sys.executable, script, "--device", "cuda"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **NO_GPU},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    assert "device='cpu'" in process.stderr
    assert "Traceback" not in process.stderr


# Choosing a device


def run(code, **environment):
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


NO_GPU = {"NUMBA_ENABLE_CUDASIM": "0", "CUDA_VISIBLE_DEVICES": "-1"}
FIT = """
import sys, warnings
warnings.simplefilter("error")
from amcluster import CLAMClusterer
def fit(device):
    return CLAMClusterer(2, n_init=1, device=device).fit([[0.0], [1.0], [9.0]])
"""


def test_without_a_gpu():
    """The CPU does not ask for one, "auto" takes the CPU, "cuda" says what to do."""
    code = """
fit("cpu")
print([name for name in sys.modules if "numba.cuda" in name])
print(fit("auto").inertia_)
try:
    fit("cuda")
except (ImportError, RuntimeError) as error:
    print(type(error).__name__, error)
"""
    modules, inertia, message = run(FIT + code, **NO_GPU).splitlines()
    assert modules == "[]"
    assert float(inertia) == 0.5
    assert "device == 'cuda'" in message
    assert "device='cpu'" in message
    if message.startswith("ImportError"):
        assert 'pip install "amcluster[cuda]"' in message
    else:
        assert "no GPU was found" in message


def test_numba_cuda_is_needed_for_a_real_gpu(monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "ENABLE_CUDASIM", 0)
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "amcluster\[cuda\]"'):
        device_named("cuda")
    assert isinstance(device_named("auto"), CPU)


def test_no_driver(monkeypatch):
    from numba import cuda

    def missing():
        raise ImportError("Error at driver init:\nno driver:\n")

    monkeypatch.setattr(cuda, "current_context", missing)
    reason = r"no GPU was found \(Error at driver init: no driver\)"
    with pytest.raises(RuntimeError, match=reason):
        device_named("cuda")
    assert isinstance(device_named("auto"), CPU)


def test_no_compiler(monkeypatch):
    from numba import cuda

    monkeypatch.setattr(cuda, "is_available", lambda: False, raising=False)
    with pytest.raises(RuntimeError, match="no compiler"):
        device_named("cuda")


def test_auto_is_a_gpu_where_one_works():
    assert not isinstance(device_named("auto"), CPU)


@pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)
def test_wrong_word(model):
    model = clone(model).set_params(device="gpu")
    with pytest.raises(ValueError, match=r"device == 'gpu', must be one of \('cpu'"):
        model.fit(X)


def no_gpu():
    raise RuntimeError("none")


def test_a_missing_device_leaves_the_earlier_fit(monkeypatch):
    model = clone(ESTIMATORS["clam"]).fit(X)
    labels = model.labels_
    monkeypatch.setattr(select, "_check_gpu", no_gpu)
    with pytest.raises(RuntimeError, match="none"):
        model.set_params(device="cuda").fit(X)
    with pytest.raises(RuntimeError, match="none"):
        model.predict(X)
    assert model.labels_ is labels
    np.testing.assert_array_equal(model.set_params(device="cpu").predict(X), labels)
