"""Where states move, against plain NumPy; two ways to compute it agree."""

import numpy as np
import pytest

from amcluster.kernels import target
from amcluster.kernels.cpu import expansion, gram_dynamics

from .. import reference
from .cases import (
    SHAPES,
    Case,
    cases,
    dtypes,
    hidden_features,
    own_betas,
    with_holes,
)


@cases
@dtypes
@own_betas
def test_trajectory_and_retrieve(kernels, shape, dtype, own):
    case = Case(shape, dtype, own=own)
    out = np.empty((case.n_rows, case.n_steps + 1, case.n_features), dtype)
    last, shift = np.empty_like(case.X), np.empty(case.n_rows, dtype)
    kernels.trajectory(case.X, case.memories, case.free(), out)
    kernels.retrieve(case.X, case.memories, case.free(), last)
    for x, states in zip(case.X, out, strict=True):
        expected = reference.trajectory(x, *case.reference_arguments()[2:])
        case.close(states, expected)
    case.close(last, out[:, -1])
    if own:
        return
    kernels.rest(case.X, case.memories, case.free(), dtype(-1.0), last, shift)
    case.close(last, out[:, -1])
    moved = np.linalg.norm(out[:, -1] - out[:, -2], axis=1) / case.step_size
    np.testing.assert_allclose(shift, moved, atol=1e-9 if dtype is np.float64 else 1e-5)


def test_states_rest_at_the_tolerance(kernels):
    case = Case((7, 3, 4, 10_000), np.float64)
    last, shift = np.empty_like(case.X), np.empty(case.n_rows)
    kernels.rest(case.X, case.memories, case.free(), 1e-3, last, shift)
    assert np.all((shift > 1e-4) & (shift <= 1e-3))
    # Rows that rest sooner than the others of their tile stay where they rest.
    for x, end in zip(case.X, last, strict=True):
        alone = np.empty((1, 3))
        kernels.rest(x[None], case.memories, case.free(), 1e-3, alone, np.empty(1))
        np.testing.assert_allclose(end, alone[0], rtol=1e-9)


@cases
@dtypes
def test_states_of_rows_with_holes(kernels, shape, dtype):
    """What is there is clamped; the rest starts where it is expected."""
    case = Case(shape, dtype)
    X, dynamics = with_holes(case), case.free()._replace(missing=True)
    states = np.empty((case.n_rows, case.n_steps + 1, case.n_features), dtype)
    kernels.trajectory(X, case.memories, dynamics, states)
    settings = case.mu, case.log_w, case.beta, case.step_size, case.n_steps + 1
    for x, path in zip(X, states, strict=True):
        hidden = np.isnan(x)
        if hidden.any():
            full = np.nan_to_num(x).astype(float)
            case.close(path, reference.trajectory(full, *settings, hidden)[1:])
        else:
            case.close(path, reference.trajectory(x, *settings)[:-1])
    ends, shift = np.empty(X.shape, dtype), np.empty(case.n_rows, dtype)
    kernels.retrieve(X, case.memories, dynamics, ends)
    case.close(ends, states[:, -1])
    kernels.rest(X, case.memories, dynamics, dtype(-1), ends, shift)
    case.close(ends, states[:, -1])


@dtypes
@pytest.mark.parametrize("masked", [False, True])
def test_both_spaces_agree(monkeypatch, dtype, masked):
    case = Case((150, 6, 5, 7), dtype)
    dynamics = case.clamped(hidden_features(6)) if masked else case.free()
    found = []
    for error in (0.0, np.inf):
        monkeypatch.setattr(expansion, "LOGIT_ERROR", error)
        assert gram_dynamics.pays(case.memories, dynamics) == (error > 0)
        arguments = (case.X, case.weights, case.memories, dynamics)
        ends = np.empty_like(case.X)
        target().retrieve(case.X, case.memories, case.free(), ends)
        found.append([*target().reconstruction_gradient(*arguments), ends])
    for of_data, of_memories in zip(*found, strict=True):
        case.close(of_memories, of_data)


@pytest.mark.parametrize("shape", SHAPES["cpu"], ids=str)
@dtypes
def test_steps_by_products_and_by_differences_agree(monkeypatch, shape, dtype):
    case, found = Case(shape, dtype), []
    dynamics = case.free()._replace(n_steps=1)  # not in the space of memories
    for error in (0.0, np.inf):
        monkeypatch.setattr(expansion, "LOGIT_ERROR", error)
        assert expansion.expands(case.memories) == (error > 0)
        ends = np.empty_like(case.X)
        target().retrieve(case.X, case.memories, dynamics, ends)
        found.append(ends)
    case.close(*found)


@dtypes
def test_memories_of_several_betas_lower_the_energy_and_rest_at_a_stationary_state(
    kernels, dtype
):
    case = Case((9, 3, 4, 6), dtype, own=True)
    settings = case.mu, case.log_w, case.beta
    out = np.empty((9, 7, 3), dtype)
    kernels.trajectory(case.X, case.memories, case.free(), out)
    energies = np.apply_along_axis(reference.energy, 2, out.astype(float), *settings)
    assert (np.diff(energies, axis=1) <= 1e-6).all()
    ends, shift = np.empty((9, 3), dtype), np.empty(9, dtype)
    long = case.free()._replace(n_steps=1000)
    kernels.rest(case.X, case.memories, long, dtype(1e-5), ends, shift)
    assert (shift <= 1e-5).all()
    still = [reference.pulled(v, *settings, 1.0) for v in ends.astype(float)]
    np.testing.assert_allclose(ends, still, atol=2e-5)
    below = np.apply_along_axis(reference.energy, 1, ends.astype(float), *settings)
    assert (below <= energies[:, 0] + 1e-6).all()


def test_learning_through_the_dynamics_refuses_several_betas(kernels):
    case = Case((7, 3, 4, 10), np.float64, own=True)
    with pytest.raises(NotImplementedError, match="one beta, not of several"):
        kernels.reconstruction_loss(case.X, case.weights, case.memories, case.free())
