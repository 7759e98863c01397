"""Dynamics by slices are those of the kernels, and take little room."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from amcluster.memory import KernelDensityMemory, ModernHopfieldNetwork, _many

MEMORIES = {
    "density": KernelDensityMemory(0.7),
    "modern": ModernHopfieldNetwork(2.0),
    "one step": KernelDensityMemory(0.7, n_steps=1, step_size=0.4),
    "three steps": ModernHopfieldNetwork(2.0, n_steps=3, step_size=1.5),
    "no step": KernelDensityMemory(0.7, n_steps=0),
}
many = pytest.mark.parametrize("name", MEMORIES)


@pytest.fixture
def _by_slices(monkeypatch):
    monkeypatch.setattr(_many, "MANY", 5)
    monkeypatch.setattr(_many, "SLICE", 7)
    monkeypatch.setattr(_many, "STATES", 3)


@many
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slices_are_the_kernels(name, dtype, request):
    rng, memory = np.random.default_rng(0), MEMORIES[name]
    patterns, states = (rng.normal(size=(n, 3)).astype(dtype) for n in (40, 10))
    memory.fit(patterns)
    expected = memory.transform(states)
    request.getfixturevalue("_by_slices")
    found = memory.transform(states)
    assert found.dtype == dtype
    atol = 2e-4 if dtype == np.float32 else 1e-8
    assert_allclose(found, expected, atol=atol)


def test_what_became_of_patterns(request):
    patterns = np.random.default_rng(0).normal(size=(40, 3))
    expected = KernelDensityMemory(0.4).fit(patterns)
    assert 0 < expected.stored_.sum() < 40
    request.getfixturevalue("_by_slices")
    found = KernelDensityMemory(0.4).fit(patterns)
    assert_array_equal(found.stored_, expected.stored_)
    assert_array_equal(found.merged_, expected.merged_)


@pytest.mark.usefixtures("_by_slices")
def test_far_states_and_states_that_do_not_rest():
    memory = KernelDensityMemory().fit(np.repeat([[-1.0], [1.0]], 4, axis=0))
    with pytest.warns(ConvergenceWarning, match="1 of 2 states still moved"):
        memory.transform([[0.5], [0.0]])
    memory.set_params(n_steps=1)
    assert_allclose(memory.transform([[1e3], [-1e3]]), [[1], [-1]])


ROOM = """
import resource
import numpy as np
from amcluster.memory import KernelDensityMemory, hopfield_retrieve

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

rng = np.random.default_rng(0)
patterns, queries = rng.normal(size=(200_000, 16)), rng.normal(size=(200, 16))
few = KernelDensityMemory(n_steps=1).fit(patterns[:20_000])
few.transform(queries), few.score_samples(queries)
memory = KernelDensityMemory(n_steps=1).fit(patterns)
before = peak()
memory.transform(queries)
memory.score_samples(queries)
hopfield_retrieve(queries, patterns)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_many_patterns_take_little_room():
    """Two hundred thousand are 26 MB; kernels alone would take 400 MB beside them."""
    ran = subprocess.run(
        [sys.executable, "-c", ROOM], capture_output=True, text=True, check=True
    )
    assert float(ran.stdout) < 150
