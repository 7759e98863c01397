"""The loss of states that moved, and its gradient, against plain NumPy."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import softmax

from amcluster.kernels import Memories, target
from amcluster.kernels.cpu import expansion, gram_dynamics

from .. import reference
from .cases import SHAPES, Case, cases, dtypes, hidden_features, holes, with_holes


@cases
@dtypes
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradient(kernels, shape, dtype, masked):
    case = Case(shape, dtype)
    hidden = hidden_features(case.n_features) if masked else None
    dynamics = case.clamped(hidden) if masked else case.free()
    arguments = (case.X, case.weights, case.memories, dynamics)
    loss, d_centers, d_log_weights = kernels.reconstruction_gradient(*arguments)
    expected = reference.loss(*case.reference_arguments(), hidden)
    expected_d_mu, expected_d_log_w = reference.gradient(
        *case.reference_arguments(), hidden, growth=1.0
    )
    assert isinstance(loss, float)
    assert d_centers.dtype == d_log_weights.dtype == np.float64
    case.close(loss, expected)
    case.close(kernels.reconstruction_loss(*arguments)[0], expected)
    case.close(d_centers, expected_d_mu)
    case.close(d_log_weights, expected_d_log_w)
    case.close(d_log_weights.sum(), 0)


def case_with_rows_between(dtype):
    """Some rows lie between memories, where adjoints grow."""
    case = Case((30, 4, 3, 8), dtype, seed=10, beta=3.0)
    case.X, case.weights = case.X[12:22].copy(), case.weights[12:22].copy()
    return case


@dtypes
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("way", ["data", "memories"])
def test_gradient_is_damped_between_memories(kernels, monkeypatch, way, dtype, masked):
    case = case_with_rows_between(dtype)
    dynamics = case.clamped(hidden_features(4)) if masked else case.free()
    monkeypatch.setattr(expansion, "LOGIT_ERROR", 0.0 if way == "data" else np.inf)
    assert gram_dynamics.pays(case.memories, dynamics) == (way == "memories")
    arguments = (case.X, case.weights, case.memories)
    hidden = hidden_features(4) if masked else None
    found = {}
    for growth in (0.3, 1.0, np.inf):
        damped = dynamics._replace(growth=dtype(growth))
        _, *found[growth] = kernels.reconstruction_gradient(*arguments, damped)
        expected = reference.gradient(*case.reference_arguments(), hidden, growth)
        for actual, wanted in zip(found[growth], expected, strict=True):
            case.close(actual / np.abs(wanted).max(), wanted / np.abs(wanted).max())
    for growth in (0.3, 1.0):
        assert np.abs(found[growth][0] - found[np.inf][0]).max() > 1


def test_rows_with_holes_are_damped_alike_on_both():
    case = Case((30, 4, 3, 8), np.float64, seed=10, beta=3.0)
    X, dynamics = with_holes(case), case.free()._replace(missing=True)
    found = {
        (name, growth): target(name).reconstruction_gradient(
            X, case.weights, case.memories, dynamics._replace(growth=growth)
        )[1]
        for name in SHAPES
        for growth in (np.float64(1.0), np.float64(np.inf))
    }
    case.close(found["cpu", 1.0], found["cuda", 1.0])
    assert np.abs(found["cpu", 1.0] - found["cpu", np.inf]).max() > 0.1


@dtypes
def test_damping_does_not_depend_on_the_size_of_weights(kernels, dtype):
    case = case_with_rows_between(dtype)
    _, expected, _ = kernels.reconstruction_gradient(
        case.X, case.weights, case.memories, case.free()
    )
    _, tiny, _ = kernels.reconstruction_gradient(
        case.X, 1e-25 * case.weights, case.memories, case.free()
    )
    case.close(1e25 * tiny, expected)


@pytest.mark.parametrize("shape", SHAPES["cpu"], ids=str)
@pytest.mark.parametrize("masked", [False, True])
@holes
def test_gradient_against_finite_differences(shape, masked, holes):
    case = Case(shape, np.float64)
    hidden = hidden_features(case.n_features) if masked else None
    dynamics = case.clamped(hidden) if masked else case.free()
    dynamics = dynamics._replace(missing=holes, growth=np.inf)
    X = with_holes(case) if holes else case.X

    def loss(theta):
        centers = theta[: case.mu.size].reshape(case.mu.shape)
        memories = Memories(centers, theta[case.mu.size :], case.beta).astype(float)
        return target().reconstruction_loss(X, case.weights, memories, dynamics)[0]

    theta = np.concatenate([case.mu.ravel(), case.log_w])
    _, d_centers, d_log_weights = target().reconstruction_gradient(
        X, case.weights, case.memories, dynamics
    )
    actual = np.concatenate([d_centers.ravel(), d_log_weights])
    numerical = approx_fprime(theta, loss, 1e-7)
    np.testing.assert_allclose(actual, numerical, rtol=2e-4, atol=2e-4)


def test_loss_of_rows_with_holes_by_hand(kernels):
    """The first step sees what is there; all coordinates move; what is there counts."""
    case = Case((7, 4, 3, 5), np.float64)
    X, mu, beta, lam = with_holes(case), case.mu, case.beta, case.step_size
    expected = 0.0
    for x, weight in zip(X, case.weights, strict=True):
        seen, v = ~np.isnan(x), np.nan_to_num(x)
        u = softmax(reference.logits(v, mu, case.log_w, beta, seen)) @ mu
        v = np.where(seen, v + lam * (u - v), u)
        for _ in range(4):
            u = softmax(reference.logits(v, mu, case.log_w, beta)) @ mu
            v = v + lam * (u - v)
        expected += weight * np.square(v - x)[seen].sum()
    dynamics = case.free()._replace(missing=True)
    (loss,) = kernels.reconstruction_loss(X, case.weights, case.memories, dynamics)
    np.testing.assert_allclose(loss, expected)


def test_masked_loss_ignores_what_is_hidden(kernels):
    case = Case((7, 3, 4, 10), np.float64)
    hidden = hidden_features(3)
    filled = case.X.copy()
    filled[:, hidden] = 1e3
    states = [
        reference.trajectory(x, *case.reference_arguments()[2:], hidden)[-1]
        for x in case.X
    ]
    (loss,) = kernels.reconstruction_loss(
        filled, np.ones(7), case.memories, case.clamped(hidden)
    )
    expected = ((filled - states)[:, hidden] ** 2).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
