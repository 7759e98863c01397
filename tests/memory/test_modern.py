"""Attention as a memory, against SciPy's softmax and the definitions of the papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp, softmax
from sklearn.exceptions import ConvergenceWarning

from amcluster.memory import ModernHopfieldNetwork, hopfield_retrieve, universal

from ..strategies import dtypes, seeds


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_steps", [1, 4])
def test_updates_are_attention(dtype, n_steps):
    patterns, queries = drawn(20, 6).astype(dtype), drawn(9, 6, seed=1).astype(dtype)
    network = ModernHopfieldNetwork(1.7, n_steps=n_steps).fit(patterns)
    expected = queries.astype(float)
    for _ in range(n_steps):
        expected = softmax(1.7 * expected @ patterns.T, axis=1) @ patterns
    found, rtol = network.transform(queries), 1e-4 if dtype == np.float32 else 1e-11
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=rtol, atol=rtol)
    plain = hopfield_retrieve(queries, patterns, beta=1.7, n_steps=n_steps)
    assert plain.dtype == dtype
    assert_allclose(plain, expected, rtol=rtol, atol=rtol)


def test_energy_is_that_of_the_papers():
    patterns, states, beta = drawn(20, 6), drawn(9, 6, seed=1), 0.8
    largest = np.linalg.norm(patterns, axis=1).max()
    expected = -logsumexp(beta * states @ patterns.T, axis=1) / beta
    expected += np.log(20) / beta + np.square(states).sum(axis=1) / 2 + largest**2 / 2
    assert_allclose(ModernHopfieldNetwork(beta).fit(patterns).energy(states), expected)


def test_states_at_rest_are_fixed_points():
    patterns, queries = 3 * drawn(20, 6), drawn(9, 6, seed=1)
    network = ModernHopfieldNetwork(0.5).fit(patterns)
    states = network.transform(queries)
    again = softmax(0.5 * states @ patterns.T, axis=1) @ patterns
    assert_allclose(states, again, atol=1e-9)


def test_predict_is_the_pattern_that_is_retrieved():
    patterns = 5 * drawn(20, 16)
    queries = patterns + 0.5 * drawn(20, 16, seed=1)
    predicted = ModernHopfieldNetwork().fit(patterns).predict(queries)
    assert_array_equal(predicted, np.arange(20))


def test_states_that_do_not_rest_are_told():
    # At beta * |p|^2 = 1 the fixed points of two opposite patterns meet.
    network = ModernHopfieldNetwork(1.0).fit([[1.0], [-1.0]])
    with pytest.warns(ConvergenceWarning, match="1 of 2 states still moved"):
        network.transform([[0.5], [0.0]])


@given(seed=seeds, dtype=dtypes, beta=st.floats(0.1, 5), step_size=st.floats(0.1, 1.9))
def test_energy_never_rises_and_order_does_not_matter(seed, dtype, beta, step_size):
    patterns, queries = drawn(7, 3, seed=seed), drawn(10, 3, seed=seed + 1)
    patterns, queries = patterns.astype(dtype), queries.astype(dtype)
    network = ModernHopfieldNetwork(beta, n_steps=1, step_size=step_size).fit(patterns)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    states = queries
    for _ in range(5):
        before, states = network.energy(states), network.transform(states)
        assert (network.energy(states) <= before + rtol * (1 + np.abs(before))).all()
    network.set_params(n_steps=5)
    other = network.fit(patterns[::-1]).transform(queries)
    assert_allclose(other, states, rtol=100 * rtol, atol=100 * rtol)


SIMILARITIES = {
    "dot": lambda q, m: q @ m,
    "cosine": lambda q, m: q @ m / (np.linalg.norm(q) * np.linalg.norm(m)),
    "euclidean": lambda q, m: -np.sum((q - m) ** 2) / 2,
    "manhattan": lambda q, m: -np.sum(np.abs(q - m)),
}
SEPARATIONS = {
    "softmax": lambda s: softmax(2 * s),
    "polynomial": lambda s: np.maximum(s, 0) ** 4 / np.sum(np.maximum(s, 0) ** 4),
    "max": lambda s: np.eye(len(s))[np.argmax(s)],
}


PAIRS = [
    (similarity, separation)
    for similarity in SIMILARITIES
    for separation in SEPARATIONS
    if similarity in ("dot", "cosine") or separation != "polynomial"
]


@pytest.mark.parametrize(("similarity", "separation"), PAIRS)
@pytest.mark.parametrize("n_steps", [1, 3])
def test_retrieval_from_its_definition(similarity, separation, n_steps, monkeypatch):
    monkeypatch.setattr(universal, "BLOCK", 50)
    queries, memories, values = drawn(8, 5), drawn(13, 5, seed=1), drawn(13, 2, seed=2)
    expected = []
    for state in queries:
        for step in range(n_steps):
            s = np.array([SIMILARITIES[similarity](state, m) for m in memories])
            read = values if step == n_steps - 1 else memories
            state = SEPARATIONS[separation](s) @ read
        expected.append(state)
    found = hopfield_retrieve(
        queries,
        memories,
        values,
        similarity=similarity,
        separation=separation,
        beta=2.0,
        degree=4,
        n_steps=n_steps,
    )
    assert_allclose(found, expected, rtol=1e-10)


def test_association_of_a_hopfield_layer():
    """Five updates of the state, then the values, as hflayers has them."""
    queries, keys, values = drawn(4, 8), drawn(30, 8, seed=1), drawn(30, 3, seed=2)
    state = queries
    for _ in range(5):
        state = softmax(0.9 * state @ keys.T, axis=1) @ keys
    expected = softmax(0.9 * state @ keys.T, axis=1) @ values
    found = hopfield_retrieve(queries, keys, values, beta=0.9, n_steps=6)
    assert_allclose(found, expected, rtol=1e-12)


def test_where_nothing_is_similar_the_largest_decide():
    memories = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    states = [[-1.0, -2.0], [0.0, 0.0]]
    found = hopfield_retrieve(states, memories[:2], separation="polynomial")
    assert_allclose(found, [[1, 0], [0.5, 0.5]])
    found = hopfield_retrieve([[2.0, 2.0]], memories, similarity="cosine", beta=1e4)
    assert_allclose(found, [[0.5, 0.5]])


def test_large_numbers_do_not_overflow():
    memories = np.array([[1e20, 0], [0, 1e20]], np.float32)
    for separation in SEPARATIONS:
        with np.errstate(over="ignore"):  # of the dot products, in float32
            found = hopfield_retrieve(
                [[2.0, 1.0]], memories, separation=separation, degree=50
            )
        assert_allclose(found, [[1e20, 0]], atol=1e6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": "l2"}, "similarity == 'l2', must be one of"),
        ({"separation": "relu"}, "separation == 'relu', must be one of"),
        ({"beta": -1.0}, "beta == -1.0, must be > 0"),
        ({"n_steps": 0}, "n_steps == 0, must be >= 1"),
        ({"degree": 0}, "degree == 0, must be >= 1"),
        (
            {"similarity": "euclidean", "separation": "polynomial"},
            "separation == 'polynomial' with similarity == 'euclidean'.*take",
        ),
        ({"memories": np.ones((2, 3))}, "memories has 3 columns and queries 2: pass"),
        ({"values": np.ones((3, 1))}, "values has 3 rows and memories 2: pass"),
        ({"values": [[np.nan], [0]]}, "values contains NaN"),
    ],
)
def test_arguments_are_checked(arguments, message):
    arguments = {"queries": np.ones((1, 2)), "memories": np.ones((2, 2))} | arguments
    with pytest.raises(ValueError, match=message):
        hopfield_retrieve(**arguments)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"beta": 0.0}, "beta == 0.0, must be > 0"),
        ({"n_steps": -1}, "n_steps == -1, must be >= 0"),
        ({"step_size": 2.0}, "step_size == 2.0, must be < 2"),
        ({"device": "tpu"}, "device == 'tpu', must be one of"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        ModernHopfieldNetwork(**parameters).fit([[0.0]])
