"""Every kernel of each target against plain NumPy, on the smallest, oddest shapes."""

import numba
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax

from amcluster.energies import StudentT
from amcluster.kernels import Dynamics, Memories, Metric, target
from amcluster.kernels.cpu import elementary, expansion, gram_dynamics, pairwise

from .. import reference

# n_rows, n_features, n_clusters, n_steps
SMALL_SHAPES = [
    (7, 3, 4, 10),
    (1, 1, 1, 1),
    (1, 5, 3, 2),
    (4, 1, 3, 5),
    (5, 4, 1, 3),
    (6, 2, 9, 4),
]
# Wider than what is taken at a time, which in the simulator is less.
SHAPES = {
    "cpu": [*SMALL_SHAPES, (9, 67, 33, 2), (5, 70, 4, 3)],
    "cuda": [*SMALL_SHAPES, (9, 19, 17, 2), (5, 18, 4, 3)],
}
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}
cases = pytest.mark.parametrize(
    ("kernels", "shape"),
    [(name, shape) for name, shapes in SHAPES.items() for shape in shapes],
    indirect=["kernels"],
    ids=str,
)
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
holes = pytest.mark.parametrize("holes", [False, True])


@pytest.fixture(params=SHAPES)
def kernels(request):
    """The kernels of one target; those for CUDA run in numba's simulator."""
    return target(request.param)


class Case:
    """Random rows and memories; every second memory equals a row."""

    def __init__(self, shape, dtype, seed=0, beta=None):
        self.n_rows, self.n_features, self.n_clusters, self.n_steps = shape
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(self.n_rows, self.n_features)).astype(dtype)
        self.weights = rng.uniform(0.5, 2.0, self.n_rows)
        centers = rng.normal(size=(self.n_clusters, self.n_features)).astype(dtype)
        some = min(self.n_rows, len(centers[::2]))
        centers[::2][:some] = self.X[:some]
        log_weights = np.log(rng.dirichlet(np.ones(self.n_clusters)))
        beta = beta or 1.7 / self.n_features
        self.memories = Memories(centers, log_weights, beta).astype(dtype)
        self.dtype = dtype
        self.mu = self.memories.centers.astype(float)
        self.log_w = self.memories.log_weights.astype(float)
        self.beta = float(self.memories.beta)
        self.step_size = float(dtype(0.3))

    def free(self):
        return Dynamics.free(self.n_features, self.n_steps, self.step_size, self.dtype)

    def clamped(self, hidden):
        return Dynamics.clamped(hidden, self.n_steps, self.step_size, self.dtype)

    def close(self, actual, expected):
        tolerance = TOLERANCE[self.dtype]
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)

    def reference_arguments(self):
        rows = self.X.astype(float), self.weights
        return *rows, self.mu, self.log_w, self.beta, self.step_size, self.n_steps


def case_with_rows_between(dtype):
    """Some rows lie between memories, where adjoints grow."""
    case = Case((30, 4, 3, 8), dtype, seed=10, beta=3.0)
    case.X, case.weights = case.X[12:22].copy(), case.weights[12:22].copy()
    return case


def hidden_features(n_features):
    """Hide every third feature, from the second."""
    hidden = np.zeros(n_features, dtype=bool)
    hidden[1::3] = True
    return hidden


@cases
@dtypes
def test_posterior_and_log_evidence(kernels, shape, dtype):
    case = Case(shape, dtype)
    logits = case.log_w - case.beta * cdist(case.X, case.mu, "sqeuclidean")
    proba = np.empty((case.n_rows, case.n_clusters), dtype)
    evidence = np.empty(case.n_rows, dtype)
    labels = np.empty(case.n_rows, np.intp)
    kernels.posterior(case.X, case.memories, proba)
    kernels.log_evidence(case.X, case.memories, evidence)
    kernels.label(case.X, case.memories, labels)
    case.close(proba, softmax(logits, axis=1))
    case.close(evidence, logsumexp(logits, axis=1))
    np.testing.assert_array_equal(labels, proba.argmax(axis=1))


@dtypes
def test_posterior_of_far_and_sharp_states_is_finite(kernels, dtype):
    memories = Memories(np.array([[0.0], [1.0], [1.0]]), np.log([0.2, 0.3, 0.5]), 1e9)
    proba = np.empty((3, 3), dtype)
    beyond = np.finfo(dtype).max
    X = np.array([[-1e6], [0.4], [beyond]], dtype=dtype)
    kernels.posterior(X, memories.astype(dtype), proba)
    np.testing.assert_allclose(proba[:2], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(proba[2].sum(), 1)


def test_of_equal_posteriors_the_first_is_the_label(kernels):
    memories = Memories(np.array([[1.0], [-1.0], [1.0]]), np.zeros(3), 1.0)
    labels = np.empty(2, np.intp)
    kernels.label(np.array([[0.0], [2.0]]), memories.astype(float), labels)
    np.testing.assert_array_equal(labels, [0, 0])


@cases
@dtypes
def test_squared_error(kernels, shape, dtype):
    case = Case(shape, dtype)
    labels = np.arange(case.n_rows, dtype=np.intp) % case.n_clusters
    (total,) = kernels.squared_error(case.X, case.weights, case.memories, labels)
    squares = ((case.X.astype(float) - case.mu[labels]) ** 2).sum(axis=1)
    case.close(total, case.weights @ squares)


@cases
@dtypes
def test_trajectory_and_retrieve(kernels, shape, dtype):
    case = Case(shape, dtype)
    out = np.empty((case.n_rows, case.n_steps + 1, case.n_features), dtype)
    last, shift = np.empty_like(case.X), np.empty(case.n_rows, dtype)
    kernels.trajectory(case.X, case.memories, case.free(), out)
    kernels.retrieve(case.X, case.memories, case.free(), last)
    for x, states in zip(case.X, out, strict=True):
        expected = reference.trajectory(x, *case.reference_arguments()[2:])
        case.close(states, expected)
    case.close(last, out[:, -1])
    kernels.rest(case.X, case.memories, case.free(), dtype(-1.0), last, shift)
    case.close(last, out[:, -1])
    moved = np.linalg.norm(out[:, -1] - out[:, -2], axis=1) / case.step_size
    np.testing.assert_allclose(shift, moved, atol=1e-9 if dtype is np.float64 else 1e-5)


def test_states_rest_at_the_tolerance(kernels):
    case = Case((7, 3, 4, 10_000), np.float64)
    last, shift = np.empty_like(case.X), np.empty(case.n_rows)
    kernels.rest(case.X, case.memories, case.free(), 1e-3, last, shift)
    assert np.all((shift > 1e-4) & (shift <= 1e-3))


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
    X, dynamics = with_holes(case), case.free()._replace(holes=True)
    found = {
        (name, growth): target(name).reconstruction_gradient(
            *(X, case.weights, case.memories, dynamics._replace(growth=growth))
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
    dynamics = dynamics._replace(holes=holes, growth=np.inf)
    X = with_holes(case) if holes else case.X

    def loss(theta):
        centers = theta[: case.mu.size].reshape(case.mu.shape)
        memories = Memories(centers, theta[case.mu.size :], case.beta)
        return target().reconstruction_loss(X, case.weights, memories, dynamics)[0]

    theta = np.concatenate([case.mu.ravel(), case.log_w])
    _, d_centers, d_log_weights = target().reconstruction_gradient(
        X, case.weights, case.memories, dynamics
    )
    actual = np.concatenate([d_centers.ravel(), d_log_weights])
    numerical = approx_fprime(theta, loss, 1e-7)
    np.testing.assert_allclose(actual, numerical, rtol=2e-4, atol=2e-4)


def with_holes(case):
    """Its rows with a third of the values missing, and all of the first row."""
    X = case.X.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    X[0] = np.nan
    return X


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
    dynamics = case.free()._replace(holes=True)
    (loss,) = kernels.reconstruction_loss(X, case.weights, case.memories, dynamics)
    np.testing.assert_allclose(loss, expected)


@cases
@dtypes
def test_states_of_rows_with_holes(kernels, shape, dtype):
    """What is there is clamped; the rest starts where it is expected."""
    case = Case(shape, dtype)
    X, dynamics = with_holes(case), case.free()._replace(holes=True)
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


def seen_squares(X, mu):
    """Squared distances over what is seen."""
    return np.nansum((X[:, None].astype(float) - mu) ** 2, axis=2)


@cases
@dtypes
@holes
def test_nearest(kernels, shape, dtype, holes):
    case = Case(shape, dtype)
    X = with_holes(case) if holes else case.X
    out = [np.empty(case.n_rows, t) for t in (np.int32, dtype, dtype)]
    counts, sums, inertia, seen = kernels.nearest(
        X, case.weights, case.memories, holes, *out
    )
    labels, first, second = out
    squares = np.sort(seen_squares(X, case.mu), axis=1)
    given = np.eye(case.n_clusters)[labels] * case.weights[:, None]
    case.close(first, squares[:, 0])
    case.close(second, squares[:, 1] if case.n_clusters > 1 else np.inf)
    case.close(np.nansum((X - case.mu[labels]) ** 2, axis=1), squares[:, 0])
    case.close(counts, given.sum(axis=0))
    case.close(sums, given.T @ np.nan_to_num(X))
    case.close(inertia, given.T @ squares[:, 0])
    if holes:
        case.close(seen, given.T @ ~np.isnan(X))


@holes
def test_of_equally_near_centers_the_first_is_taken(kernels, holes):
    centers = np.array([[2.0], [-1.0], [1.0], [-1.0]])
    memories = Memories(centers, np.zeros(4), 1.0).astype(float)
    out = [np.empty(2, t) for t in (np.int32, float, float)]
    X = np.array([[0.0], [-1.0]])
    kernels.nearest(X, np.ones(2), memories, holes, *out)
    np.testing.assert_array_equal(out, [[1, 1], [1, 0], [1, 0]])


@cases
@dtypes
@holes
def test_potentials(kernels, shape, dtype, holes):
    case = Case(shape, dtype)
    X = with_holes(case) if holes else case.X
    squares = seen_squares(X, case.mu)
    closest = np.full(case.n_rows, 0.9 * case.n_features, dtype)
    nearer = np.empty(squares.shape, dtype)
    (potentials,) = kernels.potentials(
        X, case.weights, case.memories, holes, closest, nearer
    )
    case.close(nearer, np.minimum(closest[:, None], squares))
    case.close(potentials, case.weights @ np.minimum(closest[:, None], squares))


@dtypes
@holes
def test_swap_costs_are_the_inertia_after_the_swap(kernels, dtype, holes):
    case = Case((40, 3, 5, 1), dtype)
    X = with_holes(case) if holes else case.X
    out = [np.empty(case.n_rows, t) for t in (np.int32, dtype, dtype)]
    kernels.nearest(X, case.weights, case.memories, holes, *out)
    candidates = Memories(case.X[:4].copy(), *case.memories[1:])
    kept, extra = kernels.swap_costs(X, case.weights, candidates, 5, holes, *out)
    for c, candidate in enumerate(case.X[:4]):
        for k in range(5):
            centers = case.mu.copy()
            centers[k] = candidate
            swapped = case.weights @ seen_squares(X, centers).min(axis=1)
            case.close(kept[c] + extra[c, k], swapped)


def student_t(memories, nu, n_features):
    changed = memories._replace(energy=StudentT(nu), dimension=n_features)
    return changed.astype(memories.centers.dtype)


@cases
@dtypes
@pytest.mark.parametrize("robust", [False, True])
def test_logits_and_expectation(kernels, shape, dtype, robust):
    case = Case(shape, dtype)
    squared = cdist(case.X, case.mu, "sqeuclidean")
    logits, pull = case.log_w - case.beta * squared, np.ones_like(squared)
    memories = case.memories
    if robust:
        nu, n_features = 3.0, case.n_features
        memories = student_t(memories, nu, n_features)
        tails = np.log1p(2 * case.beta * squared / nu)
        logits = case.log_w - (nu + n_features) / 2 * tails
        pull = (nu + n_features) / (nu + 2 * case.beta * squared)
    out, pulled = np.empty(squared.shape, dtype), np.empty(case.n_rows)
    kernels.logits(case.X, memories, out)
    case.close(out, logits)
    evidence, counts, pulls, sums, squares = kernels.expectation(
        case.X, case.weights, memories, pulled
    )
    p = case.weights[:, None] * softmax(logits, axis=1)
    u = p * pull
    case.close(evidence, case.weights @ logsumexp(logits, axis=1))
    case.close(counts, p.sum(axis=0))
    case.close(pulls, u.sum(axis=0))
    case.close(pulled, u.sum(axis=1))
    case.close(sums, u.T @ case.X)
    case.close(squares, (u * squared).sum())


@cases
@dtypes
def test_project(kernels, shape, dtype):
    case = Case(shape, dtype)
    matrix = np.random.default_rng(1).normal(size=(case.n_features, 3)).astype(dtype)
    out = np.empty((case.n_rows, 3), dtype)
    kernels.project(case.X, case.memories, matrix, out)
    case.close(out, case.X @ matrix)


# Rows with holes


def metric_root(n_features):
    """Root of a metric of determinant 1 that is not the identity."""
    root = np.tril(np.random.default_rng(2).normal(size=(n_features, n_features)))
    root /= n_features
    root[np.diag_indices(n_features)] = np.linspace(0.5, 2, n_features)
    return root / np.exp(np.log(root.diagonal()).mean())


@cases
@dtypes
@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_rows_with_holes(kernels, shape, dtype, robust, learned):
    case = Case(shape, dtype)
    X, n_features = with_holes(case), case.n_features
    nu = 3.0 if robust else None
    memories = student_t(case.memories, nu, n_features) if robust else case.memories
    root = metric_root(n_features) if learned else np.eye(n_features)
    expected = reference.EStepWithHoles(
        *(X.astype(float), case.weights, case.mu, case.log_w, case.beta),
        *(root @ root.T, nu),
    )
    settings = ()
    if learned:
        memories = memories.astype(np.float64)
        settings = (Metric.of(root, memories.centers),)
    logits = np.empty((case.n_rows, case.n_clusters), dtype)
    pulled = np.empty(case.n_rows)
    if learned:
        determinants = np.empty(case.n_rows)
        kernels.metric_logits(X, memories, *settings, logits, determinants)
        case.close(determinants, expected.log_determinants)
        completed = np.empty(X.shape, dtype)
        kernels.metric_complete(X, memories, *settings, completed)
        case.close(completed, expected.completed)
        np.testing.assert_array_equal(completed[~np.isnan(X)], X[~np.isnan(X)])
        sums_of = kernels.metric_expectation
    else:
        kernels.seen_logits(X, memories, logits)
        sums_of = kernels.seen_expectation
    case.close(logits, expected.logits)
    evidence, counts, pulls, sums, squares, *rest = sums_of(
        X, case.weights, memories, *settings, pulled
    )
    case.close(evidence, expected.evidence)
    case.close(counts, expected.counts)
    case.close(squares, expected.squares)
    case.close(pulled, expected.u.sum(axis=1))
    if learned:
        case.close(pulls, expected.u.sum(axis=0))
        case.close(sums, expected.sums)
        case.close(rest[0], expected.moment)
        case.close(rest[1], case.weights @ expected.log_determinants)
    else:
        case.close(pulls, expected.u.T @ ~np.isnan(X))
        case.close(sums, expected.u.T @ np.nan_to_num(X))


# What the kernels are made of


@dtypes
@pytest.mark.parametrize(
    ("name", "function", "values"),
    [
        ("exp", np.exp, -np.geomspace(1e-30, 80, 1001)),
        ("log", np.log, np.geomspace(1e-30, 1e30, 1001)),
        ("log1p", np.log1p, np.geomspace(1e-30, 1e30, 1001)),
    ],
)
def test_elementary_functions(dtype, name, function, values):
    x = values.astype(dtype)
    actual = CALLS[name](x)
    expected = function(x.astype(np.longdouble))
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(dtype).eps)


@numba.njit
def call_exp(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.exp(x[i])
    return out


@numba.njit
def call_log(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.log(x[i])
    return out


@numba.njit
def call_log1p(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = elementary.log1p(x[i])
    return out


CALLS = {"exp": call_exp, "log": call_log, "log1p": call_log1p}


@dtypes
def test_elementary_functions_at_the_ends(dtype):
    ends = np.array([-np.inf, -1e30, 0], dtype)
    np.testing.assert_array_equal(call_exp(ends), [0, 0, 1])
    for call in (call_log, call_log1p):
        beyond = np.array([np.inf, np.nan], dtype)
        np.testing.assert_array_equal(call(beyond), beyond)


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


def test_where_inner_products_would_cancel_they_are_not_used():
    far = Case((9, 4, 3, 5), np.float32)
    assert gram_dynamics.pays(far.memories, far.free())
    moved = far.memories._replace(centers=far.memories.centers + np.float32(1e3))
    assert not gram_dynamics.pays(moved, far.free())
    proba, expected = np.empty((2, 9, 3), np.float32)
    target().posterior(far.X, far.memories, expected)
    target().posterior(far.X + np.float32(1e3), moved, proba)
    np.testing.assert_allclose(proba, expected, atol=1e-3)


@dtypes
@pytest.mark.parametrize(
    ("n_features", "n_clusters", "way"),
    [
        (64, 6, pairwise.AlongFeatures),  # six centers are padded to eight
        (63, 6, pairwise.InTiles),
        (128, 45, pairwise.AlongFeatures),
        (127, 45, pairwise.InTiles),
    ],
)
def test_rows_meet_centers_as_they_lie_or_as_lanes(dtype, n_features, n_clusters, way):
    rng, n_rows = np.random.default_rng(0), 300
    X = rng.normal(size=(n_rows, n_features)).astype(dtype)
    centers = rng.normal(size=(n_clusters, n_features)).astype(dtype)
    assert isinstance(pairwise.meeting_of(centers), way)
    memories = Memories(centers, np.zeros(n_clusters), 1.0).astype(dtype)
    far, ones = np.full(n_rows, np.inf, dtype), np.ones(n_rows)
    squared, backwards = np.empty((2, n_rows, n_clusters), dtype)
    target().potentials(X, ones, memories, False, far, squared)
    expected = cdist(X, centers, "sqeuclidean")
    np.testing.assert_allclose(squared, expected, rtol=TOLERANCE[dtype])
    reverse = np.ascontiguousarray(X[::-1])
    target().potentials(reverse, ones, memories, False, far, backwards)
    np.testing.assert_array_equal(backwards[::-1], squared)  # wherever a row lies


def test_rows_with_holes_beyond_all_squares_are_infinitely_far(kernels):
    """Not at distance 0, though two infinities cancel."""
    memories = Memories(np.zeros((2, 3)), np.log([0.4, 0.6]), 1.0).astype(float)
    root = np.linalg.cholesky([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    metric = Metric.of(root, memories.centers)
    X = np.array([[1e200, np.nan, 1e200], [1e200, 1e200, 1e200], [1.0, np.nan, 1.0]])
    logits, determinants = np.empty((3, 2)), np.empty(3)
    kernels.metric_logits(X, memories, metric, logits, determinants)
    np.testing.assert_array_equal(logits[:2], -np.inf)
    assert np.isfinite(logits[2]).all()
    completed = np.empty(X.shape)
    kernels.metric_complete(np.clip(X, -1e150, 1e150), memories, metric, completed)
    assert np.isfinite(completed).all()
