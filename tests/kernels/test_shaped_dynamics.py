"""Steps among memories with shapes, against plain NumPy and what must hold of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from amcluster.energies import ENERGIES
from amcluster.energies.laplace import LEAST
from amcluster.kernels import Memories, Shapes, target

from ..strategies import seeds
from .cases import SHAPES, Case, dtypes, in_shapes, random_roots, student_t, with_holes

KERNELS = target("cpu")
FALLING = [name for name, energy in ENERGIES.items() if not energy.bounded]


def weights_at(v, memories):
    """Logits, and posterior times IRLS weight: by the energy, in plain Python.

    Also whether all weights are slopes: Laplace bounds its own near a center.
    """
    energy, dimension = memories.energy, memories.dimension
    away = np.einsum("kd,kde->ke", v - memories.centers, memories.roots)
    scaled = memories.beta * np.square(away).sum(axis=1)
    logits = memories.log_weights + dimension * memories.log_scales
    logits = logits + [energy.log_kernel(t, dimension, 0.0) for t in scaled]
    pulls = [energy.weight(t, dimension, 0.0) for t in scaled]
    return logits, softmax(logits) * pulls, scaled.min() > LEAST


def step(v, memories, moves):
    """Where a step of size 1 ends."""
    _, shares, _ = weights_at(v, memories)
    matrices = memories.roots @ memories.roots.transpose(0, 2, 1)
    precisions = 2 * (shares * memories.beta)[:, None, None] * matrices
    force = np.einsum("kde,ke->d", precisions, memories.centers - v)
    system = precisions.sum(axis=0)[np.ix_(moves, moves)]
    end = v.copy()
    end[moves] += np.linalg.solve(system, force[moves])
    return end


@pytest.mark.parametrize("shape", SHAPES["cpu"], ids=str)
@dtypes
@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("holes", [False, True])
def test_steps(shape, dtype, robust, holes):
    case = Case(shape, dtype, own=True)
    memories = in_shapes(case)
    if robust:
        memories = student_t(memories, 3.0, case.n_features)
    memories = memories.astype(float)
    X = with_holes(case) if holes else case.X
    start = np.where(np.isnan(X), dtype(0.1), X)
    path = np.repeat(start[:, None], case.n_steps + 1, axis=1)
    shapes = Shapes.of(memories)
    KERNELS.shaped_trajectory(X, memories, shapes, case.step_size, path)
    for x, v, states in zip(X, start.astype(float), path, strict=True):
        moves = np.isnan(x) if np.isnan(x).any() else np.ones(len(x), bool)
        case.close(states[0], v)
        for state in states[1:]:
            v = v + case.step_size * (step(v, memories, moves) - v)
            case.close(state, v)
    ends, shift = start.copy(), np.empty(len(X))
    settings = case.n_steps, case.step_size, -1.0
    KERNELS.shaped_rest(X, memories, shapes, *settings, ends, shift)
    np.testing.assert_array_equal(ends, path[:, -1])


@given(
    seeds,
    st.sampled_from(FALLING),
    st.floats(0.05, 1.95),
    st.integers(1, 5),
    st.booleans(),
)
def test_the_energy_never_rises_and_rest_is_stationary(
    seed, name, size, n_features, holes
):
    rng = np.random.default_rng(seed)
    n_clusters, n_rows = rng.integers(1, 6), 8
    roots = random_roots(n_clusters, n_features, seed)
    centers = 3 * rng.normal(size=(n_clusters, n_features))
    beta = rng.uniform(0.1, 3, n_clusters)
    memories = Memories(
        centers,
        np.log(rng.dirichlet(np.ones(n_clusters))),
        beta,
        ENERGIES[name](),
        float(n_features),
        np.log(beta / beta[0]) / 2,
        roots,
    ).astype(float)
    X = 4 * rng.normal(size=(n_rows, n_features))
    start = X.copy()
    if holes:
        X[rng.random(X.shape) < 0.5] = np.nan
    shapes, path = Shapes.of(memories), np.repeat(start[:, None], 8, axis=1)
    KERNELS.shaped_trajectory(X, memories, shapes, size, path)

    for states in path:
        met = [weights_at(v, memories) for v in states]
        energies = np.array([-np.logaddexp.reduce(logits) for logits, *_ in met])
        exact = np.array([exact for *_, exact in met[:-1]])
        rises = np.diff(energies)[exact]
        assert (rises <= 1e-9 * (1 + abs(energies[1:][exact]))).all()
    ends, shift = start.copy(), np.empty(n_rows)
    KERNELS.shaped_rest(X, memories, shapes, 5000, 1.0, 1e-10, ends, shift)
    for x, v, left in zip(X, ends, shift, strict=True):
        moves = np.isnan(x) if np.isnan(x).any() else np.ones(n_features, bool)
        np.testing.assert_array_equal(v[~moves], x[~moves])
        if left <= 1e-10:
            np.testing.assert_allclose(step(v, memories, moves), v, atol=1e-8)
    assert np.mean(shift <= 1e-10) > 0.5


def test_no_state_depends_on_the_others():
    case = Case((40, 5, 4, 6), np.float64, own=True)
    memories, X = in_shapes(case), with_holes(case)
    shapes, start = Shapes.of(memories), np.nan_to_num(X)
    ends, shift = start.copy(), np.empty(40)
    KERNELS.shaped_rest(X, memories, shapes, 100, 1.0, 1e-9, ends, shift)
    for i in range(40):
        rows, one = slice(i, i + 1), start[i : i + 1].copy()
        KERNELS.shaped_rest(
            X[rows].copy(), memories, shapes, 100, 1.0, 1e-9, one, np.empty(1)
        )
        np.testing.assert_array_equal(one[0], ends[i])


def test_out_of_reach_of_all_memories_a_state_stays():
    memories = Memories(np.zeros((2, 2)), np.zeros(2), 1.0, ENERGIES["uniform"]())
    roots = np.array([np.eye(2), np.diag([2, 0.5])])
    memories = memories._replace(roots=roots, dimension=2).astype(float)
    X, shift = np.array([[5.0, 5.0], [0.1, 0.1]]), np.empty(2)
    ends = X.copy()
    KERNELS.shaped_rest(X, memories, Shapes.of(memories), 9, 1.0, 1e-9, ends, shift)
    np.testing.assert_array_equal(ends[0], X[0])
    assert shift[0] == 0
