"""Rows as points on the unit sphere, dense or sparse: the same calls for both.

They are never copied to be normalised: kernels multiply by their inverse lengths. All
calls with memories take `Directions`, best in float64: their offsets are as large as
the number of features, so that the largest is subtracted before they are rounded to the
dtype of the rows.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from scipy.sparse import issparse

from ..execution.sums import merged
from ..execution.threads import (
    MAX_PARTS,
    THREAD_WORK,
    blocks_of,
    in_blocks,
)
from ..kernels import Directions, NonZeros, plain, target
from .distinct import canonical_order
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
        memories, kernels = memories.astype(self.dtype), target("cpu")

        def run(rows):
            way = self._way_of(memories.directions)
            sums = self._room_for_sums(way)
            evidence, counts = kernels.sphere_expectation(
                self._block(rows),
                plain(self.inverse_norms[rows]),
                plain(self.weights[rows]),
                memories,
                way,
                sums,
            )
            return evidence, counts, sums

        blocks = self._blocks(len(memories.offsets), passes=4, sums=True)
        evidence, counts, sums = reduce(merged, in_blocks(run, *blocks))
        weight = self.total_weight
        sums = self._of_clusters(sums, len(counts))
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
        directions, kernels = plain(directions, self.dtype), target("cpu")

        def run(rows):
            way = self._way_of(directions)
            sums = self._room_for_sums(way)
            here = plain(labels[rows])
            evidence, counts, n_changed = kernels.sphere_assignment(
                self._block(rows),
                plain(self.inverse_norms[rows]),
                plain(self.weights[rows]),
                way,
                len(directions),
                sums,
                here,
            )
            labels[rows] = here
            return evidence, counts, n_changed, sums

        blocks = self._blocks(len(directions), passes=1, sums=True)
        evidence, counts, n_changed, sums = reduce(merged, in_blocks(run, *blocks))
        sums = self._of_clusters(sums, len(counts))
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
        memories, kernel = memories.astype(self.dtype), getattr(target("cpu"), kernel)
        out = np.empty((len(self), *shape), dtype or self.dtype)

        def run(rows):
            norms, way = plain(self.inverse_norms[rows]), self._way_of(memories[0])
            kernel(self._block(rows), norms, memories, way, out[rows])

        for _ in in_blocks(run, *self._blocks(len(memories.offsets))):
            pass
        return out

    def _dense(self, index):
        return np.array(self.values[index])

    def _block(self, rows):
        return plain(self.values[rows])

    def _blocks(self, n_clusters, passes=1, sums=False):
        return blocks_of(len(self), (n_clusters, self.n_features), passes)

    def _way_of(self, directions):
        return target("cpu").way_of(directions)

    def _room_for_sums(self, way):
        return np.zeros(way.directions.shape)

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
        return block_of(self.values, rows)

    def _blocks(self, n_clusters, passes=1, sums=False):
        """As `blocks_of`, alike in their numbers of stored values."""
        starts, n_rows = self.values.indptr, len(self)
        per_stored = passes * n_clusters * STORED_WORK
        per_row = passes * n_clusters * POSTERIOR_WORK

        def work(row):
            return per_stored * int(starts[row] - starts[0]) + per_row * row

        total = work(n_rows)
        parts = min(total // THREAD_WORK, MAX_PARTS)
        if sums:
            least = STORED_PER_FEATURE * self.n_features
            parts = min(parts, self.values.nnz // least)
        parts = max(parts, 1)
        every = range(n_rows + 1)
        borders = [
            bisect_left(every, total * i // parts, key=work) for i in range(parts)
        ]
        borders = [*borders, n_rows]
        blocks = [slice(*pair) for pair in zip(borders[:-1], borders[1:], strict=True)]
        return blocks, parts > 1

    def _way_of(self, directions):
        return target("cpu").sparse_way_of(directions)

    def _room_for_sums(self, way):
        return np.zeros(way.transposed.shape)

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
    canonical = sparse_order if issparse(X) else canonical_order
    order, is_first = canonical(X, weights)
    starts = np.flatnonzero(is_first)
    weights = np.add.reduceat(weights[order], starts)
    X = X[order[starts]]
    if issparse(X):
        X.eliminate_zeros()
    return _of_kind(X, weights)


def _of_kind(X, weights):
    """Rows of X, with their inverse lengths."""
    norms = np.empty(X.shape[0])
    if not issparse(X):
        for _ in in_blocks(
            lambda rows: target("cpu").inverse_lengths(plain(X[rows]), norms[rows]),
            *blocks_of(*X.shape[:1], (1, X.shape[1])),
        ):
            pass
        return UnitRows(X, norms, weights)
    target("cpu").sparse_inverse_lengths(block_of(X), norms)
    return SparseUnitRows(X, norms, weights)


def block_of(X, rows=slice(None)):
    """Some rows of a CSR matrix, for kernels."""
    first, beyond, _ = rows.indices(X.shape[0])
    starts = plain(X.indptr[first : beyond + 1], np.int64)
    return NonZeros(plain(X.data), plain(X.indices), starts)


def sparse_order(X, weights):
    """As `canonical_order`, by a hash of the rows.

    Different rows of one hash, which next to never exist, are sorted by what they have.
    """
    rows, kernels = block_of(X), target("cpu")
    codes = np.empty(X.shape[0], np.uint64)
    kernels.hash_rows(rows, codes)
    order = np.lexsort((weights, codes))
    codes = codes[order]
    is_first = np.append(True, codes[1:] != codes[:-1])
    differs = np.ones(len(order), bool)
    kernels.differ_from_previous(rows, order, differs)
    for start in np.unique(np.cumsum(is_first)[differs & ~is_first]) - 1:
        first = np.flatnonzero(is_first)[start]
        _sort_by_content(X, weights, order, is_first, first)
    return order, is_first


def _sort_by_content(X, weights, order, is_first, first):
    """Sort the rows of one hash, the first of which is at a position of the order."""
    beyond = first + 1
    while beyond < len(order) and not is_first[beyond]:
        beyond += 1

    def content(row):
        here = slice(X.indptr[row], X.indptr[row + 1])
        stored = zip(X.indices[here].tolist(), X.data[here].tolist(), strict=True)
        return [pair for pair in stored if pair[1] != 0]

    keys = {row: content(row) for row in order[first:beyond].tolist()}
    here = sorted(keys, key=lambda row: (keys[row], weights[row]))
    order[first:beyond] = here
    for position in range(first + 1, beyond):
        before, row = here[position - first - 1], here[position - first]
        is_first[position] = keys[before] != keys[row]


def relative(memories):
    """The memories with offsets below the largest, and that."""
    offsets = np.asarray(memories.offsets, dtype=np.float64)
    largest = offsets.max()
    return memories._replace(offsets=offsets - largest), largest


def move(states, memories, n_steps, step_size, tolerance=-1.0):
    """Move unit rows, in place, until they rest; return how far the last step went."""
    number, kernels = states.dtype.type, target("cpu")
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
