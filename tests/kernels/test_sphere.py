"""Cosines, posteriors and sums of rows on the sphere, against plain NumPy.

Dense rows and sparse ones; `test_sparse` has what only sparse ones have.
"""

import numpy as np
import pytest

from amcluster.kernels import target
from amcluster.kernels.cpu import ways

from .sphere_cases import SphereCase, clear, dtypes, kinds, shapes, sharpness

kernels = target()


@shapes
@dtypes
@kinds
def test_what_is_written_for_each_row(shape, dtype, kind):
    case = SphereCase(shape, dtype, kind)
    arguments = case.block(), case.inverse_norms, case.memories, case.prepared()[1]
    logits, posteriors = np.empty((2, case.n_rows, case.n_clusters), dtype)
    evidence, labels = np.empty(case.n_rows, dtype), np.empty(case.n_rows, np.intp)
    kernels.sphere_logits(*arguments, logits)
    kernels.sphere_posterior(*arguments, posteriors)
    kernels.sphere_evidence(*arguments, evidence)
    kernels.sphere_label(*arguments, labels)
    case.close(logits, case.logits)
    case.close(posteriors, case.posteriors)
    case.close(evidence, case.evidence)
    sure = clear(case.logits)
    np.testing.assert_array_equal(labels[sure], case.logits.argmax(axis=1)[sure])


@shapes
@dtypes
@kinds
@sharpness
def test_expectation(shape, dtype, kind, sharpness):
    case = SphereCase(shape, dtype, kind, sharpness)
    prepared, way = case.prepared()
    sums = np.zeros(prepared.shape)
    evidence, counts = kernels.sphere_expectation(
        case.block(), case.inverse_norms, case.weights, case.memories, way, sums
    )
    p = case.weights[:, None] * case.posteriors
    case.close(evidence, case.weights @ case.evidence)
    case.close(counts, p.sum(axis=0))
    case.close(case.of_clusters(sums), p.T @ case.unit)


@shapes
@dtypes
@kinds
def test_assignment(shape, dtype, kind):
    case = SphereCase(shape, dtype, kind)
    prepared, way = case.prepared()
    arguments = case.block(), case.inverse_norms, case.weights, way, case.n_clusters
    labels = np.full(case.n_rows, -1, np.intp)
    sums, again = np.zeros((2, *prepared.shape))
    evidence, counts, n_changed = kernels.sphere_assignment(*arguments, sums, labels)
    assert n_changed == case.n_rows
    sure = clear(case.cosines, 1e-6)
    np.testing.assert_array_equal(labels[sure], case.cosines.argmax(axis=1)[sure])
    case.close(evidence, case.weights @ case.cosines.max(axis=1))
    p = case.weights[:, None] * np.eye(case.n_clusters)[labels]
    case.close(counts, p.sum(axis=0))
    case.close(case.of_clusters(sums), p.T @ case.unit)
    labels[: case.n_rows // 2] = -1
    *_, n_changed = kernels.sphere_assignment(*arguments, again, labels)
    assert n_changed == case.n_rows // 2
    np.testing.assert_array_equal(again, sums)


@dtypes
@kinds
@sharpness
@pytest.mark.parametrize("border", [1, 100, 128, 299])
def test_sums_of_two_parts_add_up(dtype, kind, sharpness, border):
    case = SphereCase((300, 70, 21), dtype, kind, sharpness)
    found = []
    for borders in [(0, 300)], [(0, border), (border, 300)]:
        prepared, way = case.prepared()
        sums, totals = np.zeros(prepared.shape), 0.0
        for part in borders:
            here = slice(*part)
            rows = case.block(here), case.inverse_norms[here], case.weights[here]
            totals += kernels.sphere_expectation(*rows, case.memories, way, sums)[0]
        found.append((totals, sums))
    for one, other in zip(*found, strict=True):
        case.close(one, other)


@dtypes
@kinds
def test_of_equal_cosines_the_first_is_the_label(dtype, kind):
    case = SphereCase((7, 2, 3), dtype, kind)
    equal = case.memories.directions[[0, 0, 0]]
    case.memories = case.memories._replace(directions=equal)
    prepared, way = case.prepared()
    labels = np.full(7, -1, np.intp)
    kernels.sphere_assignment(
        *(case.block(), case.inverse_norms, case.weights, way, 3),
        *(np.zeros(prepared.shape), labels),
    )
    np.testing.assert_array_equal(labels, 0)


@dtypes
def test_ways_to_read_rows_agree(monkeypatch, dtype):
    case, found = SphereCase((300, 70, 21), dtype), []
    for many in 10, 1000:
        monkeypatch.setattr(ways, "MANY", many)
        prepared, way = case.prepared()
        assert isinstance(way, ways.InTiles) == (many == 1000)
        sums = np.zeros(prepared.shape)
        arguments = case.block(), case.inverse_norms, case.weights, case.memories
        found.append([*kernels.sphere_expectation(*arguments, way, sums), sums])
    for one, other in zip(*found, strict=True):
        case.close(one, other)


@dtypes
def test_a_row_has_the_same_cosines_in_any_block(dtype):
    case = SphereCase((300, 70, 21), dtype)
    zeros = np.zeros(21, dtype)
    memories = case.memories._replace(concentrations=zeros + 1, offsets=zeros)
    whole, parts = np.empty((2, 300, 21), dtype)
    for out, size in (whole, 300), (parts, 13):
        for start in range(0, 300, size):
            here = slice(start, start + size)
            rows = case.block(here), case.inverse_norms[here]
            kernels.sphere_logits(*rows, memories, case.prepared()[1], out[here])
    np.testing.assert_array_equal(parts, whole)


@dtypes
def test_inverse_lengths(dtype):
    large, small = float(np.finfo(dtype).max) / 4, float(np.finfo(dtype).tiny) * 16
    X = np.array([[3, 4], [0, 0], [large, large], [small, 0], [0, -1]], dtype)
    out = np.empty(5)
    kernels.sphere_inverse_lengths(X, out)
    expected = [0.2, np.inf, 1 / np.hypot(X[2, 0], X[2, 1].astype(float)), 1 / small, 1]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def by_hand(x, m, kappa, offsets, n_steps, step_size):
    """States of one row, from the definition."""
    states = [x]
    for _ in range(n_steps):
        logits = offsets + kappa * (m @ x)
        p = np.exp(logits - logits.max()) * kappa
        x = (1 - step_size) * x + step_size * (p @ m) / p.sum()
        x = x / np.linalg.norm(x)
        states.append(x)
    return np.array(states)


@shapes
@dtypes
def test_states_move_as_defined(shape, dtype):
    case = SphereCase(shape, dtype)
    some = np.flatnonzero(np.isfinite(case.inverse_norms))
    states = case.unit[some].astype(dtype)
    ends, shift = np.empty_like(states), np.empty(len(states), dtype)
    step_size = dtype(0.3)
    kernels.sphere_rest(states, case.memories, 6, step_size, dtype(-1), ends, shift)
    network = case.m, case.kappa, case.offsets
    for x, end, moved in zip(states.astype(float), ends, shift, strict=True):
        path = by_hand(x, *network, 6, float(step_size))
        case.close(end, path[-1])
        length = np.linalg.norm(path[-1] - path[-2]) / float(step_size)
        np.testing.assert_allclose(moved, length, atol=1e-5)


@dtypes
def test_states_that_nothing_pulls_stay(dtype):
    case = SphereCase((9, 67, 4), dtype)
    states = case.unit[3:].astype(dtype)
    states[0] = np.eye(67)[1]
    nothing = case.memories._replace(concentrations=np.zeros(4, dtype))
    opposite = case.memories._replace(
        directions=-states[[0, 0, 0, 0]], concentrations=np.ones(4, dtype)
    )
    for memories, step_size in (nothing, 0.5), (nothing, 1.0), (opposite, 0.5):
        ends, shift = np.empty_like(states), np.empty(len(states), dtype)
        settings = 3, dtype(step_size), dtype(-1)
        kernels.sphere_rest(states, memories, *settings, ends, shift)
        np.testing.assert_allclose(ends[0], states[0], atol=1e-6)
        assert shift[0] == 0
        np.testing.assert_allclose(np.linalg.norm(ends, axis=1), 1, atol=1e-6)


def test_rows_that_rest_stay_while_others_of_their_tile_move():
    case = SphereCase((140, 5, 3), np.float64)
    states = np.delete(case.unit, 2, axis=0)
    ends, shift = np.empty_like(states), np.empty(len(states))
    kernels.sphere_rest(states, case.memories, 10_000, 0.5, 1e-3, ends, shift)
    assert np.all(shift <= 1e-3)
    alone, moved = np.empty((1, 5)), np.empty(1)
    for x, end in zip(states, ends, strict=True):
        kernels.sphere_rest(x[None], case.memories, 10_000, 0.5, 1e-3, alone, moved)
        np.testing.assert_array_equal(alone[0], end)
