"""Rows and directions on the sphere, dense and sparse, and what is true of them."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp, softmax

from amcluster.kernels import Directions, NonZeros, target

# n_rows, n_features, n_clusters: few and many features, no multiples of four, no full
# tile and more than one, more features than are added at a time.
SHAPES = [(1, 2, 1), (7, 2, 3), (130, 5, 6), (9, 67, 4), (140, 150, 5), (300, 70, 21)]
TOLERANCE = {np.float64: 1e-11, np.float32: 2e-4}
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
# Of a large concentration rows belong to one memory, and few of their shares count.
sharpness = pytest.mark.parametrize("sharpness", [3.0, 300.0])
kinds = pytest.mark.parametrize("kind", ["dense", "int32", "int64"])


class SphereCase:
    """Random rows with a third of non-zeros, and a row of zeros if there are many."""

    def __init__(self, shape, dtype, kind="dense", sharpness=3.0):
        self.n_rows, self.n_features, self.n_clusters = shape
        rng = np.random.default_rng(0)
        X = rng.normal(size=shape[:2]) * rng.uniform(0.1, 10, (self.n_rows, 1))
        X[rng.random(X.shape) < 2 / 3] = 0
        X[:, 0] += X[:, 0] == 0
        if self.n_rows > 2:
            X[2] = 0
        self.X = X.astype(dtype)
        self.dtype, self.kind = dtype, kind
        self.weights = rng.uniform(0.5, 2.0, self.n_rows)
        m = rng.normal(size=(self.n_clusters, self.n_features))
        m /= np.linalg.norm(m, axis=1, keepdims=True)
        kappa = sharpness * rng.uniform(0.5, 2.0, self.n_clusters)
        offsets = np.log(rng.dirichlet(np.ones(self.n_clusters)))
        self.memories = Directions(m, kappa, offsets).astype(dtype)
        x = self.X.astype(float)
        lengths = np.linalg.norm(x, axis=1)
        self.unit = x / np.where(lengths > 0, lengths, 1)[:, None]
        self.m, self.kappa, self.offsets = (a.astype(float) for a in self.memories)
        self.cosines = self.unit @ self.m.T
        self.logits = self.offsets + self.kappa * self.cosines
        self.posteriors = softmax(self.logits, axis=1)
        self.evidence = logsumexp(self.logits, axis=1)
        with np.errstate(divide="ignore"):
            self.inverse_norms = 1 / lengths

    def matrix(self):
        """The rows as SciPy's CSR."""
        matrix = sparse.csr_matrix(self.X)
        matrix.indices = matrix.indices.astype(self.kind)
        matrix.indptr = matrix.indptr.astype(self.kind)
        return matrix

    def block(self, rows=slice(None)):
        """Some rows, as kernels take them."""
        if self.kind == "dense":
            return np.ascontiguousarray(self.X[rows])
        matrix = self.matrix()
        first, beyond, _ = rows.indices(self.n_rows)
        starts = matrix.indptr[first : beyond + 1].astype(np.int64)
        return NonZeros(matrix.data, matrix.indices, starts)

    def prepared(self):
        """The directions in the form that kernels share, and room to meet them."""
        kernels, directions = target(), self.memories.directions
        if self.kind == "dense":
            prepared = kernels.sphere_directions(directions)
            return prepared, kernels.sphere_way_of(prepared)
        prepared = kernels.sparse_directions(directions)
        return prepared, kernels.sparse_way_of(prepared)

    def of_clusters(self, sums):
        """Sums of kernels as (n_clusters, n_features)."""
        sums = sums if self.kind == "dense" else sums.T
        return sums[: self.n_clusters, : self.n_features]

    def close(self, actual, expected):
        """Whether numbers agree within the rounding of the dtype."""
        tolerance = TOLERANCE[self.dtype]
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def clear(logits, margin=1e-3):
    """The rows in which the largest logit is so by a margin."""
    if logits.shape[1] == 1:
        return np.ones(len(logits), bool)
    second, first = np.sort(logits, axis=1)[:, -2:].T
    return first - second > margin
