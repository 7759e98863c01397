"""The hidden coordinates of one row under a learned metric.

The mathematics is in `cpu/metric.py`. A block of threads works on one row at a time,
in float64. Instead of the Cholesky root of A_hh it computes A_hh = L D L^T, where L has
ones on its diagonal: that needs only one barrier per column. It stores

    factor[c, a] = L[a, c] D[c]    for c <= a,    reciprocal[c] = 1 / D[c]

so that neighbouring threads read neighbouring numbers. All right-hand sides are solved
together: between two barriers one hidden coordinate of each of them is computed.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import SIMULATED, cuda, part
from .energies import weight
from .reduce import logit
from .tiles import THREADS, thread
from .warps import WARP, sum_of_warp

N_WARPS = THREADS // WARP
# Up to so many hidden coordinates have their factor in shared memory. Its rows are one
# number longer, so that neighbours in a column are in different banks.
FEW = 2 if SIMULATED else 48
OF_FEW = FEW, FEW + 1
# A memory with a smaller posterior changes no sum by more than its rounding error.
NEGLIGIBLE = 1e-17


class Row(NamedTuple):
    """Intermediate results of a block for one row."""

    filled: np.ndarray  # (n_features,) the row with 0 for missing values
    image: np.ndarray  # (n_features,) filled @ A
    projected: np.ndarray  # (n_features,) filled @ root
    mean: np.ndarray  # (n_features,) expected hidden values, 0 where a value is seen
    hidden: np.ndarray  # (n_features + 1,) indices of hidden ones; last: how many
    factor: np.ndarray  # (n_features, n_features), or OF_FEW in shared memory
    reciprocal: np.ndarray  # (n_features,)
    inverse: np.ndarray  # (n_features, n_features) inverse of A_hh
    toward: np.ndarray  # (n_clusters, n_features) see `expected_hidden`
    squared: np.ndarray  # (n_clusters,)
    posterior: np.ndarray  # (n_clusters,)
    weights: np.ndarray  # (n_clusters,) u


def room_for(metric):
    """Shapes and dtypes of the arrays from which `prepare` makes a `Row`."""
    n_clusters, n_features = metric.images.shape
    return [
        ((5, n_features), np.float64),
        ((n_features + 1,), np.int64),
        ((2, n_features, n_features), np.float64),
        ((n_clusters, n_features), np.float64),
        ((3, n_clusters), np.float64),
    ]


@part
def prepare(row, vectors, hidden, matrices, toward, of_memories, few):
    """Start with a row: its factor will be in `few`, in shared memory, if it fits."""
    fill_zeros(row, vectors[0], hidden)
    factor = matrices[0]
    if hidden[row.shape[0]] <= FEW:
        factor = few
    return Row(
        vectors[0],
        vectors[1],
        vectors[2],
        vectors[3],
        hidden,
        factor,
        vectors[4],
        matrices[1],
        toward,
        of_memories[0],
        of_memories[1],
        of_memories[2],
    )


@part
def warp():
    """The index of a thread's warp."""
    return thread() // WARP


@part
def place():
    """The index of a thread in its warp."""
    return thread() % WARP


@part
def fill_zeros(row, filled, hidden):
    """Write the row with 0 for missing values, the indices of these, and how many."""
    n_features = row.shape[0]
    if thread() == 0:
        n_hidden = 0
        for j in range(n_features):
            if row[j] != row[j]:
                hidden[n_hidden] = j
                n_hidden += 1
        hidden[n_features] = n_hidden
    for j in range(thread(), n_features, THREADS):
        filled[j] = row[j] if row[j] == row[j] else 0.0
    cuda.syncthreads()


@part
def multiply(filled, metric, image, projected):
    """Write filled @ A and filled @ root."""
    n_features = filled.shape[0]
    for c in range(thread(), n_features, THREADS):
        of_matrix, of_root = 0.0, 0.0
        for j in range(n_features):
            if filled[j] != 0.0:
                of_matrix += filled[j] * metric.matrix[j, c]
                of_root += filled[j] * metric.root[j, c]
        image[c] = of_matrix
        projected[c] = of_root
    cuda.syncthreads()


@part
def factorise(matrix, hidden, n_hidden, factor, reciprocal):
    """Write the factor and the reciprocals of matrix[hidden, hidden]."""
    for b in range(n_hidden):
        for a in range(b + thread(), n_hidden, THREADS):
            total = matrix[hidden[b], hidden[a]]
            for c in range(b):
                total -= factor[c, a] * (factor[c, b] * reciprocal[c])
            factor[b, a] = total
            if a == b:
                reciprocal[b] = 1.0 / total
        cuda.syncthreads()


@part
def solve_unit(factor, reciprocal, n_hidden, values):
    """Solve L x = values, for each row of values, in place."""
    for c in range(n_hidden):
        for k in range(warp(), values.shape[0], N_WARPS):
            settled = values[k, c] * reciprocal[c]
            if settled != 0.0:
                for a in range(c + 1 + place(), n_hidden, WARP):
                    values[k, a] -= factor[c, a] * settled
        cuda.syncthreads()


@part
def solve_transposed(factor, reciprocal, n_hidden, values):
    """Solve D L^T x = values, for each row of values, in place."""
    for k in range(warp(), values.shape[0], N_WARPS):
        for a in range(place(), n_hidden, WARP):
            values[k, a] *= reciprocal[a]
    cuda.syncthreads()
    for c in range(n_hidden - 1, 0, -1):
        for k in range(warp(), values.shape[0], N_WARPS):
            settled = values[k, c]
            if settled != 0.0:
                for a in range(place(), c, WARP):
                    values[k, a] -= factor[a, c] * reciprocal[a] * settled
        cuda.syncthreads()


@part
def log_determinant(reciprocal, n_hidden, shared):
    """The log determinant of A_hh."""
    total = 0.0
    for a in range(place(), n_hidden, WARP):
        total -= math.log(reciprocal[a])
    return sum_of_warp(total, thread(), shared)


@part
def least_squares(metric, n_hidden, row, shared):
    """Write the squared distances at the hidden values that the memories expect."""
    n_clusters, n_features = metric.projected.shape
    for first in range(0, n_clusters, N_WARPS):
        k, total = first + warp(), 0.0
        if k < n_clusters:
            for c in range(place(), n_features, WARP):
                away = row.projected[c] - metric.projected[k, c]
                total += away * away
            for a in range(place(), n_hidden, WARP):
                total -= row.toward[k, a] * row.toward[k, a] * row.reciprocal[a]
        total = sum_of_warp(total, thread(), shared)
        if k < n_clusters and place() == 0:
            # The difference of two infinities means a distance beyond the dtype.
            row.squared[k] = max(total, 0.0) if total == total else math.inf
    cuda.syncthreads()


@part
def expected_hidden(metric, row, shared):
    """Squared distances of a row from the memories, minimised over hidden coordinates.

    Writes them and `toward`, which `expect` turns into the hidden coordinates that each
    memory expects. Returns the number of these.
    """
    n_clusters, n_features = metric.images.shape
    n_hidden = row.hidden[n_features]
    multiply(row.filled, metric, row.image, row.projected)
    factorise(metric.matrix, row.hidden, n_hidden, row.factor, row.reciprocal)
    for k in range(warp(), n_clusters, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            j = row.hidden[a]
            row.toward[k, a] = metric.images[k, j] - row.image[j]
    cuda.syncthreads()
    solve_unit(row.factor, row.reciprocal, n_hidden, row.toward)
    least_squares(metric, n_hidden, row, shared)
    return n_hidden


@part
def expect(n_hidden, row):
    """Turn `toward` into the hidden coordinates that each memory expects.

    Those of negligible memories become 0, without being solved for.
    """
    for k in range(warp(), row.posterior.shape[0], N_WARPS):
        if row.posterior[k] < NEGLIGIBLE:
            for a in range(place(), n_hidden, WARP):
                row.toward[k, a] = 0.0
    solve_transposed(row.factor, row.reciprocal, n_hidden, row.toward)


@part
def mean_of(weights, n_hidden, row):
    """Write the weighted sum of the expected hidden values; 0 for seen features."""
    for j in range(thread(), row.mean.shape[0], THREADS):
        row.mean[j] = 0.0
    cuda.syncthreads()
    for a in range(thread(), n_hidden, THREADS):
        total = 0.0
        for k in range(weights.shape[0]):
            total += weights[k] * row.toward[k, a]
        row.mean[row.hidden[a]] = total
    cuda.syncthreads()


@part
def write_logits(squared, n_hidden, memories, out):
    """Write the logits of a row at squared distances."""
    for k in range(thread(), squared.shape[0], THREADS):
        out[k] = logit(k, squared[k], float(n_hidden), memories)
    cuda.syncthreads()


@part
def softmax(logits):
    """Replace logits by their softmax; return their logsumexp.

    If all are -infinity, because distances exceed the dtype's range, it is uniform.
    """
    n_clusters, largest, total = logits.shape[0], logits[0], 0.0
    for k in range(1, n_clusters):
        largest = max(largest, logits[k])
    cuda.syncthreads()
    for k in range(thread(), n_clusters, THREADS):
        below = 0.0 if largest == -math.inf else logits[k] - largest
        logits[k] = math.exp(below)
    cuda.syncthreads()
    for k in range(n_clusters):
        total += logits[k]
    cuda.syncthreads()
    for k in range(thread(), n_clusters, THREADS):
        logits[k] /= total
    cuda.syncthreads()
    return largest + math.log(total)


@part
def add_weights(w, n_hidden, memories, row, counts, totals):
    """Write u of each memory; add u to totals and the weighted posterior to counts."""
    missing = float(n_hidden)
    n_seen = memories.dimension - missing
    for k in range(thread(), counts.shape[0], THREADS):
        mass, scaled = w * row.posterior[k], memories.beta[k] * row.squared[k]
        row.weights[k] = mass * weight(memories.energy, scaled, n_seen, missing)
        counts[k] += mass
        totals[k] += row.weights[k]
    cuda.syncthreads()


@part
def add_rows(n_hidden, row, sums):
    """Add u times the row, completed as each memory expects."""
    n_clusters, n_features = sums.shape
    for k in range(warp(), n_clusters, N_WARPS):
        for j in range(place(), n_features, WARP):
            sums[k, j] += row.weights[k] * row.filled[j]
    cuda.syncthreads()
    for k in range(warp(), n_clusters, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            sums[k, row.hidden[a]] += row.weights[k] * row.toward[k, a]


@part
def add_seen(weight, filled, mean, moment):
    """Add the outer products of the seen part, and of the hidden mean with it."""
    n_features = filled.shape[0]
    for j in range(warp(), n_features, N_WARPS):
        both = weight * filled[j] + mean[j]
        for c in range(place(), n_features, WARP):
            moment[j, c] += both * filled[c] + filled[j] * mean[c]
    cuda.syncthreads()


@part
def invert(n_hidden, row):
    """Write the inverse of A_hh, by solving for the columns of the identity."""
    inverse = row.inverse[:n_hidden]
    for b in range(warp(), n_hidden, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            inverse[b, a] = 1.0 if a == b else 0.0
    cuda.syncthreads()
    solve_unit(row.factor, row.reciprocal, n_hidden, inverse)
    solve_transposed(row.factor, row.reciprocal, n_hidden, inverse)


@part
def add_hidden(scale, n_hidden, row, moment):
    """Add the outer products of expected hidden values, and scale * inv(A_hh)."""
    for b in range(warp(), n_hidden, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            total = scale * row.inverse[b, a]
            for k in range(row.weights.shape[0]):
                total += row.weights[k] * row.toward[k, b] * row.toward[k, a]
            moment[row.hidden[b], row.hidden[a]] += total
    cuda.syncthreads()
