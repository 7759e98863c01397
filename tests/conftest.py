"""Shared data, and a device: numba's simulator, unless NUMBA_ENABLE_CUDASIM=0."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from sklearn import datasets
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from .data import REAL_SETS

settings.register_profile(
    "amcluster",
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("amcluster")

# Doctests are collected from every module: not from a script that needs numba-cuda, nor
# from a part of the simulator, which a real GPU has none of.
collect_ignore = ["kernels/offline_cuda.py", "kernels/simulator.py"]


def pytest_configure(config):
    """Tests marked `gpu`, asked for by `pytest -m gpu`, have a real one.

    numba reads the variable once, when it is first imported. Alone they cover little.
    """
    on_gpu = config.getoption("markexpr") == "gpu"
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "0" if on_gpu else "1")
    coverage = config.pluginmanager.getplugin("_cov")
    if on_gpu and coverage is not None:
        coverage.options.cov_fail_under = 0


@pytest.fixture(scope="session", autouse=True)
def _one_thread_of_blas():
    """As fits have it: threads that a small product wakes spin, on cores of others."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _threads_of_the_simulator_take_turns():
    if os.environ["NUMBA_ENABLE_CUDASIM"] == "1":
        from .kernels import simulator

        simulator.install()


@pytest.fixture(scope="session")
def real_sets():
    """Scikit-learn's sets, standardised, and their numbers of classes."""
    sets = {}
    for name in REAL_SETS:
        data = getattr(datasets, f"load_{name}")()
        X = StandardScaler().fit_transform(data.data)
        sets[name] = X, len(np.unique(data.target))
    return sets


@pytest.fixture(scope="session")
def blobs():
    """Five clear blobs in two dimensions."""
    X, _ = datasets.make_blobs(500, centers=5, cluster_std=0.6, random_state=3)
    return X
