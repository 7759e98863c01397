"""Rows as points on the unit sphere, dense or sparse: the same calls for both.

They are never copied to be normalised: kernels multiply by their inverse lengths. All
calls with memories take `Directions`, best in float64: their offsets are as large as
the number of features, so that the largest is subtracted before they are rounded to the
dtype of the rows.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy.sparse import issparse

from ..execution.sums import merged
from ..execution.threads import (
    MAX_PARTS,
    THREAD_WORK,
    blocks_of,
    in_blocks,
)
from ..kernels import Directions, plain, target
from . import distinct, sparse
from .states import MAX_RETRIEVAL_STEPS
from .statistics import SphericalStatistics

# The work of one stored value compared with one direction, and of one posterior.
STORED_WORK, POSTERIOR_WORK = 8, 64
# Stored values of a block for each feature, at least: the sums of a block have as many
# numbers for each direction as there are features.
STORED_PER_FEATURE = 8


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Dense rows, as points on the sphere."""

    values: np.ndarray  # (n_rows, n_features), of any length
    inverse_norms: np.ndarray  # (n_rows,) float64, infinite for rows of zeros
    weights: np.ndarray  # (n_rows,) float64

    def __len__(self):
        return len(self.weights)

    @property
    def n_features(self):
        """The number of features."""
        return self.values.shape[1]

    @property
    def dtype(self):
        """The dtype of the rows."""
        return self.values.dtype

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.weights.sum()

    def drawn(self, index, weights):
        """Some of the rows, with other weights."""
        norms = self.inverse_norms[index]
        return replace(
            self, values=self.values[index], inverse_norms=norms, weights=weights
        )

    def directions(self, index):
        """Some of the rows, dense and of length 1 (len(index), n_features)."""
        values, scale = self._dense(index), self.inverse_norms[index]
        scale = np.where(scale < np.inf, scale, 0.0)[:, None]
        return np.multiply(values, scale, out=values, casting="same_kind")

    def cosines(self, directions):
        """The cosine of each direction (n_rows, n_clusters)."""
        n_clusters = len(directions)
        return self._written(
            "sphere_logits",
            Directions(directions, np.ones(n_clusters), np.zeros(n_clusters)),
            n_clusters,
        )

    def logits(self, memories):
        """The logit of each memory (n_rows, n_clusters)."""
        memories, largest = relative(memories)
        out = self._written("sphere_logits", memories, len(memories.offsets))
        out += self.dtype.type(largest)
        return out

    def posteriors(self, memories):
        """The posterior of each memory (n_rows, n_clusters)."""
        memories, _ = relative(memories)
        return self._written("sphere_posterior", memories, len(memories.offsets))

    def labels(self, memories):
        """The memory of largest posterior (n_rows,), of equal ones the first."""
        memories, _ = relative(memories)
        return self._written("sphere_label", memories, dtype=np.intp)

    def log_evidence(self, memories):
        """The logsumexp of the logits (n_rows,)."""
        memories, largest = relative(memories)
        out = self._written("sphere_evidence", memories)
        out += self.dtype.type(largest)
        return out

    def expectation(self, memories):
        """Sums over the rows under the posteriors of memories: SphericalStatistics."""
        memories, largest = relative(memories)
        memories, kernel = memories.astype(self.dtype), target().sphere_expectation

        def run(rows, block, way, sums):
            return kernel(*block, memories, way, sums)

        evidence, counts, sums = self._summed(run, memories.directions, passes=4)
        weight = self.total_weight
        return SphericalStatistics(weight, evidence + weight * largest, counts, sums)

    def assignment(self, directions, labels):
        """Sums over the rows, each of which belongs to the direction of largest cosine.

        Parameters
        ----------
        directions : ndarray of shape (n_clusters, n_features)
        labels : ndarray of shape (n_rows,), intp
            Overwritten with the index of that direction, the first of equal ones.

        Returns
        -------
        statistics : SphericalStatistics
            With the weighted sum of the largest cosines as evidence.
        n_changed : int
            How many labels are not what they were.
        """
        directions, kernel = plain(directions, self.dtype), target().sphere_assignment

        def run(rows, block, way, sums):
            here = plain(labels[rows])
            found = kernel(*block, way, len(directions), sums, here)
            labels[rows] = here
            return found

        evidence, counts, n_changed, sums = self._summed(run, directions)
        statistics = SphericalStatistics(self.total_weight, evidence, counts, sums)
        return statistics, n_changed

    def retrieved(self, memories, n_steps, step_size):
        """The states after so many steps (n_rows, n_features)."""
        states = self.directions(slice(None))
        move(states, memories, n_steps, step_size)
        return states

    def at_rest(self, memories, step_size):
        """The states where they rest, and whether they still moved in the end."""
        states = self.directions(slice(None))
        tolerance = rest_tolerance(memories, step_size, self.dtype)
        shift = move(states, memories, MAX_RETRIEVAL_STEPS, step_size, tolerance)
        return states, shift > tolerance

    def path(self, memories, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_features)."""
        states = self.directions(slice(None))
        out = np.empty((len(states), n_steps + 1, self.n_features), self.dtype)
        out[:, 0] = states
        for step in range(1, n_steps + 1):
            move(states, memories, 1, step_size)
            out[:, step] = states
        return out

    def _written(self, kernel, memories, *shape, dtype=None):
        """What a kernel writes for each row."""
        memories, kernel = memories.astype(self.dtype), getattr(target(), kernel)
        prepared = self._prepared(memories.directions)
        out = np.empty((len(self), *shape), dtype or self.dtype)

        def run(rows):
            norms, way = plain(self.inverse_norms[rows]), self._way_of(prepared)
            kernel(self._block(rows), norms, memories, way, out[rows])

        for _ in in_blocks(run, *self._blocks(len(memories.offsets))):
            pass
        return out

    def _summed(self, run, directions, passes=1):
        """What a kernel returns, and its sums (n_clusters, n_features)."""
        prepared, kernels = self._prepared(directions), target()

        def of_block(rows):
            norms, weights = plain(self.inverse_norms[rows]), plain(self.weights[rows])
            sums = kernels.sphere_sums(prepared)
            block = self._block(rows), norms, weights
            return *run(rows, block, self._way_of(prepared), sums), sums

        blocks = self._blocks(len(directions), passes, with_sums=True)
        *found, sums = reduce(merged, in_blocks(of_block, *blocks))
        return *found, self._of_clusters(sums, len(directions))

    def _dense(self, index):
        return np.array(self.values[index])

    def _block(self, rows):
        return plain(self.values[rows])

    def _blocks(self, n_clusters, passes=1, with_sums=False):
        return blocks_of(len(self), (n_clusters, self.n_features), passes)

    def _prepared(self, directions):
        """The directions in the form that all blocks share."""
        return target().sphere_directions(directions)

    def _way_of(self, prepared):
        """Room for one block."""
        return target().sphere_way_of(prepared)

    def _of_clusters(self, sums, n_clusters):
        return np.ascontiguousarray(sums[:n_clusters, : self.n_features])


@dataclass(frozen=True, eq=False)
class SparseUnitRows(UnitRows):
    """Rows of which only the non-zeros are stored, as points on the sphere."""

    values: object  # scipy CSR (n_rows, n_features)
    inverse_norms: np.ndarray  # (n_rows,) float64, infinite for rows of zeros
    weights: np.ndarray  # (n_rows,) float64

    def _dense(self, index):
        return self.values[index].toarray()

    def _block(self, rows):
        return sparse.block_of(self.values, rows)

    def _blocks(self, n_clusters, passes=1, with_sums=False):
        """As `blocks_of`, alike in the number of stored values."""
        starts, n_rows = self.values.indptr, len(self)
        per_stored = passes * n_clusters * STORED_WORK
        per_row = passes * n_clusters * POSTERIOR_WORK

        def work(row):
            return per_stored * int(starts[row] - starts[0]) + per_row * row

        total = work(n_rows)
        parts = min(total // THREAD_WORK, MAX_PARTS)
        if with_sums:
            least = STORED_PER_FEATURE * self.n_features
            parts = min(parts, self.values.nnz // least)
        parts = max(parts, 1)
        shares = [total * i // parts for i in range(parts)]
        borders = [bisect_left(range(n_rows + 1), share, key=work) for share in shares]
        blocks = [slice(*pair) for pair in pairwise([*borders, n_rows])]
        return blocks, parts > 1

    def _prepared(self, directions):
        return target().sparse_directions(directions)

    def _way_of(self, prepared):
        return target().sparse_way_of(prepared)

    def _of_clusters(self, sums, n_clusters):
        return np.ascontiguousarray(sums[:, :n_clusters].T)


def unit_rows(X):
    """The rows of X in their order, each of weight 1; X is not copied.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
        float32 or float64; CSR with sorted indices, without duplicates.

    Returns
    -------
    UnitRows or SparseUnitRows
    """
    return _of_kind(X, np.ones(X.shape[0]))


def distinct_unit_rows(X, weights):
    """The distinct rows of X in an order of their own, with summed weights.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
        As for `unit_rows`.
    weights : ndarray of shape (n_rows,), float64
        Not negative; rows of weight 0 are dropped.

    Returns
    -------
    UnitRows or SparseUnitRows
    """
    kept = weights > 0
    if not kept.all():
        X, weights = X[kept], weights[kept]
    kind = sparse if issparse(X) else distinct
    order, is_first = kind.canonical_order(X, weights)
    starts = np.flatnonzero(is_first)
    weights = np.add.reduceat(weights[order], starts)
    X = X[order[starts]]
    if issparse(X):
        X.eliminate_zeros()
    return _of_kind(X, weights)


def _of_kind(X, weights):
    """Rows of X, with their inverse lengths."""
    norms, kernels = np.empty(X.shape[0]), target()
    if issparse(X):
        X = sparse.plain_matrix(X)
        kernels.sparse_inverse_lengths(sparse.block_of(X), norms)
        return SparseUnitRows(X, norms, weights)

    def run(rows):
        kernels.sphere_inverse_lengths(plain(X[rows]), norms[rows])

    for _ in in_blocks(run, *blocks_of(len(X), (1, X.shape[1]))):
        pass
    return UnitRows(X, norms, weights)


def relative(memories):
    """The memories with offsets below the largest, and that."""
    offsets = np.asarray(memories.offsets, dtype=np.float64)
    largest = offsets.max()
    return memories._replace(offsets=offsets - largest), largest


def move(states, memories, n_steps, step_size, tolerance=-1.0):
    """Move unit rows, in place, until they rest; return how far the last step went."""
    number, kernels = states.dtype.type, target()
    memories = relative(memories)[0].astype(states.dtype)
    settings = memories, int(n_steps), number(step_size), number(tolerance)
    shift = np.zeros(len(states), states.dtype)

    def run(rows):
        here = states[rows]
        kernels.sphere_rest(here, *settings, here, shift[rows])

    passes = 2 * min(int(n_steps), 20)
    for _ in in_blocks(run, *blocks_of(len(states), memories.directions.shape, passes)):
        pass
    return shift


def rest_tolerance(memories, step_size, dtype):
    """The size of a step, over step_size, below which a state rests.

    Small beside the radius of a memory; the second part is what rounding leaves.
    """
    eps, sharpest = np.finfo(dtype).eps, np.max(memories.concentrations)
    radius = 1.0 / np.sqrt(max(sharpest, 1.0))
    return dtype.type(eps ** (2 / 3) * radius + 4 * eps / step_size)
