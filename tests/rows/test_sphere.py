"""Rows on the sphere, dense and sparse: canonical order, sums, states."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array, csr_matrix
from scipy.special import logsumexp

from amcluster.execution import threads
from amcluster.kernels import Directions
from amcluster.kernels import target as kernels_of
from amcluster.rows import sphere
from amcluster.rows.sphere import distinct_unit_rows, unit_rows

kinds = pytest.mark.parametrize("kind", [np.asarray, csr_matrix], ids=["dense", "csr"])
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def network(n_clusters, n_features, seed=0, tied=False, level=0.0):
    """Random memories; `level` is added to all offsets."""
    rng = np.random.default_rng(seed)
    m = rng.normal(size=(n_clusters, n_features))
    m /= np.linalg.norm(m, axis=1, keepdims=True)
    kappa = np.full(n_clusters, 4.0) if tied else rng.uniform(0.5, 30, n_clusters)
    offsets = np.log(rng.dirichlet(np.ones(n_clusters))) + level
    return Directions(m, kappa, offsets)


def table(n_rows, n_features, dtype=np.float64, seed=0):
    """Rows with two thirds of zeros, none of them all zeros."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.3)
    X[:, 0] += X[:, 0] == 0
    return X.astype(dtype)


def dense(rows):
    values = rows.values
    return values if isinstance(values, np.ndarray) else values.toarray()


def same(rows, others):
    np.testing.assert_array_equal(dense(rows), dense(others))
    np.testing.assert_array_equal(rows.weights, others.weights)
    np.testing.assert_array_equal(rows.inverse_norms, others.inverse_norms)


def same_sums(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@kinds
@dtypes
def test_what_rows_say_of_themselves(kind, dtype):
    X = table(40, 6, dtype)
    rows = unit_rows(kind(X))
    assert len(rows) == 40
    assert rows.n_features == 6
    assert rows.dtype == dtype
    assert rows.total_weight == 40
    lengths = np.linalg.norm(X.astype(float), axis=1)
    np.testing.assert_allclose(rows.inverse_norms, 1 / lengths, rtol=1e-12)
    some = rows.directions([3, 3, 0])
    assert some.dtype == dtype
    expected = (X / lengths[:, None])[[3, 3, 0]]
    np.testing.assert_allclose(some, expected, rtol=1e-6)
    drawn = rows.drawn([3, 0], np.array([2.0, 0.5]))
    np.testing.assert_array_equal(dense(drawn), X[[3, 0]])
    np.testing.assert_array_equal(drawn.directions([0]), some[:1])
    assert drawn.total_weight == 2.5


@kinds
@dtypes
def test_offsets_may_be_large(kind, dtype):
    """Those of many features are, and would be rounded where only differences count."""
    rows, memories = unit_rows(kind(table(60, 6, dtype))), network(4, 6)
    memories = memories._replace(offsets=memories.offsets.astype(np.float16))
    far = memories._replace(offsets=memories.offsets.astype(float) + 2.0**20)
    np.testing.assert_array_equal(rows.posteriors(far), rows.posteriors(memories))
    np.testing.assert_array_equal(rows.labels(far), rows.labels(memories))
    near, away = rows.expectation(memories), rows.expectation(far)
    np.testing.assert_array_equal(away.sums, near.sums)
    np.testing.assert_allclose(away.evidence - 60 * 2.0**20, near.evidence, atol=1e-7)
    for call in "logits", "log_evidence":
        found = getattr(rows, call)(far) - getattr(rows, call)(memories)
        np.testing.assert_allclose(found, 2.0**20, rtol=1e-6)
    ends, _ = rows.at_rest(far, 1.0)
    np.testing.assert_array_equal(ends, rows.at_rest(memories, 1.0)[0])


@dtypes
def test_dense_and_sparse_rows_agree(dtype):
    X, memories = table(700, 90, dtype), network(7, 90)
    X[5] = 0
    of_dense, of_sparse = unit_rows(X), unit_rows(csr_array(X))
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is np.float32 else {"atol": 1e-11}
    for call in "logits", "posteriors", "log_evidence":
        found = (getattr(rows, call)(memories) for rows in (of_dense, of_sparse))
        np.testing.assert_allclose(*found, **close)
    found = (rows.expectation(memories) for rows in (of_dense, of_sparse))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, **close)
    cosines = of_sparse.cosines(memories.directions)
    np.testing.assert_allclose(of_dense.cosines(memories.directions), cosines, **close)
    assert not cosines[5].any()
    labels = np.full((2, 700), -1, np.intp)
    found = [
        rows.assignment(memories.directions, of)
        for rows, of in zip((of_dense, of_sparse), labels, strict=True)
    ]
    assert (labels[0] == labels[1]).mean() > 0.99
    assert found[0][1] == found[1][1] == 700
    np.testing.assert_allclose(found[0][0].evidence, found[1][0].evidence, rtol=1e-5)


@kinds
def test_statistics_merge_and_decay(kind):
    X, memories = table(300, 8), network(5, 8)
    rows, parts = unit_rows(kind(X)), [unit_rows(kind(x)) for x in np.split(X, [100])]
    whole = rows.expectation(memories)
    one, other = (part.expectation(memories) for part in parts)
    for a, b in zip(one.merge(other).decayed(0.5), whole, strict=True):
        np.testing.assert_allclose(a, b / 2)


@kinds
@dtypes
def test_threads_do_not_matter(monkeypatch, kind, dtype):
    rows, memories = unit_rows(kind(table(3000, 20, dtype))), network(5, 20)
    monkeypatch.setattr(threads, "THREAD_WORK", 1 << 12)
    monkeypatch.setattr(sphere, "THREAD_WORK", 1 << 12)
    found = []
    for n_threads in 1, 3:
        monkeypatch.setattr(threads, "n_threads", lambda n=n_threads: n)
        assert len(rows._blocks(5, with_sums=True)[0]) > 3
        labels = np.full(3000, -1, np.intp)
        sums, n_changed = rows.assignment(memories.directions, labels)
        more = rows.posteriors(memories), rows.retrieved(memories, 2, 0.5)
        found.append([*sums, labels, n_changed, *rows.expectation(memories), *more])
    same_sums(*found)
    monkeypatch.setattr(sphere, "THREAD_WORK", 1 << 60)
    monkeypatch.setattr(threads, "THREAD_WORK", 1 << 60)
    whole = rows.expectation(memories)
    np.testing.assert_allclose(found[0][-3], whole.sums, rtol=1e-4, atol=1e-4)


def test_blocks_of_sparse_rows_are_alike_in_stored_values(monkeypatch):
    lengths = np.r_[np.full(50, 1000), np.zeros(950, int)]
    starts = np.r_[0, np.cumsum(lengths)]
    indices = np.concatenate([np.arange(n) for n in lengths])
    X = csr_matrix((np.ones(50_000), indices, starts), shape=(1000, 1000))
    monkeypatch.setattr(sphere, "THREAD_WORK", 1 << 10)
    rows = unit_rows(X)
    blocks, by_threads = rows._blocks(20)
    assert by_threads
    assert blocks[0].start == 0
    assert blocks[-1].stop == 1000
    stored = [starts[block.stop] - starts[block.start] for block in blocks]
    assert max(stored) < 3 * 50_000 / len(blocks)
    blocks, _ = rows._blocks(20, with_sums=True)
    assert len(blocks) <= 50_000 // (sphere.STORED_PER_FEATURE * 1000)


@kinds
@dtypes
def test_distinct_rows_are_those_of_numpy(kind, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (200, 4)).astype(dtype)
    weights = rng.uniform(0.1, 1, 200)
    rows = distinct_unit_rows(kind(X), weights)
    values, inverse = np.unique(X, axis=0, return_inverse=True)
    found = np.lexsort(dense(rows).T[::-1])
    np.testing.assert_array_equal(dense(rows)[found], values)
    expected = np.bincount(inverse.ravel(), weights)
    np.testing.assert_allclose(rows.weights[found], expected)


few = st.integers(-1, 1) | st.floats(-2, 2, width=32)
tables = hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(3)), elements=few)


@kinds
@settings(max_examples=60, deadline=None)
@given(X=tables, data=st.data())
def test_order_and_copies_do_not_matter(kind, X, data):
    weights = data.draw(
        hnp.arrays(np.float64, len(X), elements=st.sampled_from([1.0, 2.0, 0.0]))
    )
    weights[0] = 1.0
    order = np.array(data.draw(st.permutations(range(len(X)))))
    rows = distinct_unit_rows(kind(X), weights)
    same(distinct_unit_rows(kind(X[order]), weights[order]), rows)
    copies = np.repeat(X, weights.astype(int), axis=0)
    copied = distinct_unit_rows(kind(copies), np.ones(len(copies)))
    same(copied, rows)
    memories = network(3, 3)
    same_sums(copied.expectation(memories), rows.expectation(memories))


def test_different_rows_of_one_hash_are_told_apart(monkeypatch):
    rng = np.random.default_rng(0)
    X, weights = rng.integers(0, 2, (60, 3)) * 1.0, rng.uniform(0.1, 1, 60)
    expected = distinct_unit_rows(csr_matrix(X), weights)
    sparse_hash = kernels_of().sparse_hash

    def poor(rows, out):
        sparse_hash(rows, out)
        out %= 2

    monkeypatch.setattr(kernels_of(), "sparse_hash", poor)
    found = [
        distinct_unit_rows(csr_matrix(X[order]), weights[order])
        for order in (np.arange(60), rng.permutation(60))
    ]
    same(*found)
    assert sorted(found[0].weights) == sorted(expected.weights)


def test_stored_zeros_and_the_dtype_of_indices_do_not_matter():
    X = table(50, 9)
    X[10:20] = X[:10]
    plain = csr_matrix(X)
    stored = csr_matrix(np.where(X == 0, 9.0, X))
    stored.data[stored.data == 9.0] = -0.0
    wide = csr_matrix(X)
    wide.indices, wide.indptr = wide.indices.astype("l"), wide.indptr.astype("l")
    weights = np.random.default_rng(0).uniform(0.1, 1, 50)
    rows = distinct_unit_rows(plain, weights)
    assert len(rows) < 41
    memories = network(3, 9)
    for other in stored, wide:
        others = distinct_unit_rows(other, weights)
        same(others, rows)
        same_sums(others.expectation(memories), rows.expectation(memories))
    assert stored.nnz == 50 * 9  # as it was given


def test_rows_may_be_read_only():
    X = csr_matrix(table(50, 9))
    expected = unit_rows(X).expectation(network(3, 9))
    for array in X.data, X.indices, X.indptr:
        array.flags.writeable = False
    same_sums(unit_rows(X).expectation(network(3, 9)), expected)


@kinds
@dtypes
@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
@pytest.mark.parametrize("step_size", [0.1, 0.6, 1.0])
def test_the_energy_never_rises_on_a_path(kind, dtype, tied, step_size):
    X, memories = table(200, 6, dtype), network(5, 6, tied=tied)
    rows = unit_rows(kind(X))
    path = rows.path(memories, 12, step_size)
    lengths = np.linalg.norm(X.astype(float), axis=1, keepdims=True)
    np.testing.assert_allclose(path[:, 0], X / lengths, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 1, atol=1e-6)
    cosines = path.astype(float) @ memories.directions.T
    energies = -logsumexp(memories.offsets + memories.concentrations * cosines, axis=2)
    assert (np.diff(energies, axis=1) <= (1e-5 if dtype is np.float32 else 1e-13)).all()
    assert energies[:, -1].mean() < energies[:, 0].mean() - 1
    np.testing.assert_array_equal(path[:, -1], rows.retrieved(memories, 12, step_size))


@kinds
@dtypes
def test_states_rest_where_they_are_the_mean(kind, dtype):
    rows, memories = unit_rows(kind(table(200, 6, dtype))), network(5, 6)
    for step_size in 0.2, 1.0:
        states, moves = rows.at_rest(memories, step_size)
        assert not moves.any()
        cosines = states.astype(float) @ memories.directions.T
        logits = memories.offsets + memories.concentrations * cosines
        p = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        mean = (p * memories.concentrations) @ memories.directions
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        atol = 1e-3 if dtype is np.float32 else 1e-8
        np.testing.assert_allclose(states, mean, atol=atol)


def test_weights_count():
    X, memories = table(30, 4), network(3, 4)
    weights = np.random.default_rng(0).integers(1, 4, 30).astype(float)
    rows = replace(unit_rows(X), weights=weights)
    copies = unit_rows(np.repeat(X, weights.astype(int), axis=0))
    pairs = zip(rows.expectation(memories), copies.expectation(memories), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other)
