"""Rows and memories for kernels: the smallest, oddest shapes, for each target."""

import numpy as np
import pytest

from amcluster.energies import StudentT
from amcluster.kernels import Dynamics, Memories

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
own_betas = pytest.mark.parametrize("own", [False, True], ids=["alike", "own"])


class Case:
    """Random rows and memories; every second memory equals a row."""

    def __init__(self, shape, dtype, seed=0, beta=None, own=False):
        self.n_rows, self.n_features, self.n_clusters, self.n_steps = shape
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(self.n_rows, self.n_features)).astype(dtype)
        self.weights = rng.uniform(0.5, 2.0, self.n_rows)
        centers = rng.normal(size=(self.n_clusters, self.n_features)).astype(dtype)
        some = min(self.n_rows, len(centers[::2]))
        centers[::2][:some] = self.X[:some]
        log_weights = np.log(rng.dirichlet(np.ones(self.n_clusters)))
        beta = beta or 1.7 / self.n_features
        memories = Memories(centers, log_weights, beta, dimension=self.n_features)
        if own:
            betas = beta * rng.uniform(0.4, 2.5, self.n_clusters)
            scales = np.log(betas / betas[0]) / 2
            memories = memories._replace(beta=betas, log_scales=scales)
        self.memories = memories.astype(dtype)
        self.dtype = dtype
        self.mu = self.memories.centers.astype(float)
        self.log_w = self.memories.log_weights.astype(float)
        self.log_w += self.n_features * self.memories.log_scales.astype(float)
        self.beta = self.memories.beta.astype(float)
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


def random_roots(n_clusters, n_features, seed=3):
    """Lower triangular roots of determinant 1, one for each memory."""
    rng = np.random.default_rng(seed)
    roots = np.tril(rng.normal(size=(n_clusters, n_features, n_features)))
    roots /= n_features
    diagonals = rng.uniform(0.5, 2, (n_clusters, n_features))
    diagonals /= np.exp(np.log(diagonals).mean(axis=1, keepdims=True))
    roots[:, np.arange(n_features), np.arange(n_features)] = diagonals
    return roots


def in_shapes(case):
    """The case's memories with roots, in its dtype."""
    roots = random_roots(case.n_clusters, case.n_features)
    return case.memories._replace(roots=roots).astype(case.dtype)


def hidden_features(n_features):
    """Hide every third feature, from the second."""
    hidden = np.zeros(n_features, dtype=bool)
    hidden[1::3] = True
    return hidden


def with_holes(case):
    """Its rows with a third of the values missing, and all of the first row."""
    X = case.X.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    X[0] = np.nan
    return X


def seen_squares(X, mu):
    """Squared distances over what is seen."""
    return np.nansum((X[:, None].astype(float) - mu) ** 2, axis=2)


def student_t(memories, nu, n_features):
    changed = memories._replace(energy=StudentT(nu), dimension=n_features)
    return changed.astype(memories.centers.dtype)
