"""What all networks that store patterns promise: hot-swap, transactions, names."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from amcluster.memory import (
    DenseAssociativeMemory,
    HopfieldNetwork,
    KernelDensityMemory,
    ModernHopfieldNetwork,
)

CONTINUOUS = [ModernHopfieldNetwork(), KernelDensityMemory()]
NETWORKS = [
    HopfieldNetwork(random_state=0),
    DenseAssociativeMemory(random_state=0),
    *CONTINUOUS,
]
networks = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)


def signs(n_rows, n_features=12, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_rows, n_features))


def fitted(network):
    """All that a fit leaves; what is drawn, too."""
    return {k: v for k, v in vars(network).items() if k.endswith("_")}


def assert_same(network, other):
    assert fitted(network).keys() == fitted(other).keys()
    for name, value in fitted(network).items():
        assert_array_equal(value, fitted(other)[name])
    queries = signs(9, seed=7)
    assert_array_equal(network.transform(queries), other.transform(queries))
    assert_array_equal(network.energy(queries), other.energy(queries))


@parametrize_with_checks(CONTINUOUS)
@pytest.mark.filterwarnings("ignore:.* states still moved")
def test_check_estimator(estimator, check):
    check(estimator)


@networks
def test_hot_swap_is_a_fit_to_what_is_stored_then(network):
    patterns, network = signs(8), clone(network)
    network.partial_fit(patterns[:3]).partial_fit(patterns[3:])
    assert_same(network, clone(network).fit(patterns))
    network.forget([0, -1]).forget(4)
    assert_same(network, clone(network).fit(patterns[[1, 2, 3, 4, 6]]))
    network.forget([])
    assert_same(network, clone(network).fit(patterns[[1, 2, 3, 4, 6]]))


@networks
def test_patterns_are_copied(network):
    patterns, network = signs(4), clone(network)
    network.fit(patterns)
    patterns[:] = 1
    assert_array_equal(network.patterns_, signs(4))


@networks
@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([4], r"indices contains 4, must be in \[-4, 4\): patterns_ has 4 rows"),
        ([0, 1, 2, 3], "indices names all 4 patterns; at least one must stay: call"),
        ([True] * 4, "indices is of bool .*: pass np.flatnonzero"),
        ([[1]], r"indices is of int64 and shape \(1, 1\)"),
    ],
)
def test_indices_are_checked(network, indices, message):
    network = clone(network).fit(signs(4))
    with pytest.raises(ValueError, match=message):
        network.forget(indices)
    assert_same(network, clone(network).fit(signs(4)))


@networks
def test_what_fails_changes_nothing(network):
    network = clone(network).fit(signs(4))
    bad = pd.DataFrame([[1.0, np.nan]], columns=["a", "b"])
    with pytest.raises(ValueError, match="X contains NaN"):
        network.fit(bad)
    with pytest.raises(ValueError, match="X contains NaN"):
        network.partial_fit(np.full((1, 12), np.nan))
    assert_same(network, clone(network).fit(signs(4)))
    with pytest.raises(ValueError, match=r"has 5 features, but .* expecting 12"):
        network.partial_fit(signs(2, 5))
    with pytest.raises(NotFittedError):
        clone(network).forget([0])


@networks
def test_names_of_features(network):
    frame = pd.DataFrame(signs(4, 3), columns=["a", "b", "c"])
    network = clone(network).set_output(transform="pandas").fit(frame)
    assert list(network.transform(frame).columns) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        network.partial_fit(frame[["b", "a", "c"]])


@networks
def test_float32_stays_and_pickles(network):
    patterns = signs(4).astype(np.float32)
    network = clone(network).fit(patterns)
    assert network.patterns_.dtype == np.float32
    assert network.transform(patterns).dtype == np.float32
    assert network.transform(patterns.astype(float)).dtype == np.float64
    assert_same(network, pickle.loads(pickle.dumps(network)))
    assert network.partial_fit(signs(2, seed=2)).patterns_.dtype == np.float32


@pytest.mark.parametrize("network", CONTINUOUS, ids=lambda n: type(n).__name__)
def test_on_a_gpu_as_on_the_cpu(network):
    patterns, queries = np.random.default_rng(0).normal(size=(2, 6, 2))
    on_cpu = clone(network).set_params(n_steps=2).fit(patterns)
    on_gpu = clone(on_cpu).set_params(device="cuda").fit(patterns)
    assert_allclose(on_gpu.transform(queries), on_cpu.transform(queries), rtol=1e-9)
    assert_allclose(on_gpu.energy(queries), on_cpu.energy(queries), rtol=1e-9)
