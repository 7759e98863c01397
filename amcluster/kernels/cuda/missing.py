"""Rows with holes on a device: the mathematics is that of `cpu/missing.py`.

Where the metric is Euclidean, rows are lanes of tiles. In a learned metric a block of
threads takes one row after the other, in float64. The root of A_hh is not taken: with
A_hh = L D L^T, where L has ones on its diagonal, there is one barrier a column. What is
kept of it is

    factor[c, a] = L[a, c] D[c]    for c <= a,    reciprocal[c] = 1 / D[c]

so that neighbouring threads find their numbers side by side. Right-hand sides are
solved together: each barrier settles one hidden coordinate of all of them.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import SIMULATED, cuda, kernel, part
from ._launch import launch, launch_on
from .energies import weight
from .expectation import weight_of_lane
from .reduce import logit, to_logits, to_posteriors
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    THREADS,
    add_products_of_filled,
    add_products_of_seen,
    add_sums,
    lane_of,
    squares_of_seen,
    store,
    sum_of_lane,
    thread,
    tile_at,
    tiles_of,
)
from .warps import WARP, sum_of_warp

N_WARPS = THREADS // WARP
# So many hidden coordinates have their factor in shared memory. A row of it has one
# number more, so that neighbours in a column are in different banks.
FEW = 2 if SIMULATED else 48
OF_FEW = FEW, FEW + 1
# A posterior less than this adds nothing that rounding leaves of the others.
NEGLIGIBLE = 1e-17


@part
def hidden_of_lane(tile, dtype):
    """How many coordinates are not seen of this thread's lane."""
    n_hidden, lane = dtype.type(0), lane_of(tile)
    for j in range(tile.shape[0]):
        if tile[j, lane] != tile[j, lane]:
            n_hidden += dtype.type(1)
    return n_hidden


@kernel
def write_seen_logits(rows, memories, room, out):
    """`seen_logits`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values = room[cuda.blockIdx.x]
    for start in tiles_of(rows):
        x = tile_at(rows, start)
        squares_of_seen(memories.centers, x, values, shared)
        to_logits(values, hidden_of_lane(x, rows.dtype), memories, values)
        store(values, start, out)


@kernel
def sum_seen_expectation(
    rows, weights, memories, room, pulled, evidence, counts, seen, sums, squared_sums
):
    """`seen_expectation`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, number = cuda.blockIdx.x, cuda.threadIdx.x, cuda.threadIdx.y
    squared, p = room[block, 0], room[block, 1]
    n_clusters = memories.log_weights.shape[0]
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        n_hidden = hidden_of_lane(x, rows.dtype)
        n_seen = memories.dimension - n_hidden
        squares_of_seen(memories.centers, x, squared, shared)
        to_logits(squared, n_hidden, memories, p)
        of_lane = to_posteriors(p, n_clusters, shared)
        total, error = rows.dtype.type(0), rows.dtype.type(0)
        for k in range(number, n_clusters, PARTS):
            square = squared[k, lane]
            p[k, lane] *= w
            scaled = memories.beta * square
            u = p[k, lane] * weight(memories.energy, scaled, n_seen, n_hidden)
            squared[k, lane] = u
            total += u
            error += u * square
        squared_sums[block, number, lane] += error
        total = sum_of_lane(total, shared)
        if number == 0 and start + lane < rows.shape[0]:
            pulled[start + lane] = total
            evidence[block, lane] += w * of_lane
        add_sums(p, counts[block], shared)
        add_products_of_seen(squared, x, seen[block], shared)
        add_products_of_filled(squared, x, sums[block], shared)


def seen_logits(rows, memories, out):
    """Write the logits over the seen coordinates into out (n_rows, n_clusters)."""
    launch(
        write_seen_logits, rows, memories, room=[(len(memories.centers),)], out=[out]
    )


def seen_expectation(rows, weights, memories, pulled):
    """As `expectation`, over the seen coordinates; the sums of u are (K, D)."""
    n_clusters, n_features = memories.centers.shape
    evidence, counts, seen, sums, squared_sums = launch(
        *(sum_seen_expectation, rows, weights, memories),
        room=[(2, n_clusters)],
        out=[pulled],
        sums=[
            *((LANES,), (n_clusters,), (n_clusters, n_features)),
            *((n_clusters, n_features), (PARTS, LANES)),
        ],
    )
    return evidence.sum(), counts, seen, sums, squared_sums.sum()


class Row(NamedTuple):
    """What a block writes down of a row."""

    filled: np.ndarray  # (n_features,) the row with 0 in its holes
    image: np.ndarray  # (n_features,) filled @ A
    projected: np.ndarray  # (n_features,) filled @ root
    mean: np.ndarray  # (n_features,) what is expected, 0 where it is seen
    hidden: np.ndarray  # (n_features + 1,) which are hidden; last: how many
    factor: np.ndarray  # (n_features, n_features), or of FEW
    reciprocal: np.ndarray  # (n_features,)
    inverse: np.ndarray  # (n_features, n_features) of A_hh
    toward: np.ndarray  # (n_clusters, n_features) see `expected_holes`
    squared: np.ndarray  # (n_clusters,)
    posterior: np.ndarray  # (n_clusters,)
    pulled: np.ndarray  # (n_clusters,) u


def room_for(metric):
    """Shapes and dtypes of what `meet` makes a row of."""
    n_clusters, n_features = metric.images.shape
    return [
        ((5, n_features), np.float64),
        ((n_features + 1,), np.int64),
        ((2, n_features, n_features), np.float64),
        ((n_clusters, n_features), np.float64),
        ((3, n_clusters), np.float64),
    ]


@part
def meet(row, vectors, hidden, matrices, toward, of_memories, few):
    """Fill a row with zeros; its factor goes into shared memory if it fits."""
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
    """The number of a thread's warp."""
    return thread() // WARP


@part
def place():
    """The number of a thread in its warp."""
    return thread() % WARP


@part
def fill_zeros(row, filled, hidden):
    """Write the row with 0 in its holes, which are hidden, and how many."""
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
    """Write the factor of matrix[hidden, hidden]."""
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
    """Log det A_hh."""
    total = 0.0
    for a in range(place(), n_hidden, WARP):
        total -= math.log(reciprocal[a])
    return sum_of_warp(total, thread(), shared)


@part
def least_squares(metric, n_hidden, row, shared):
    """Write the squared distances where the memories expect what is hidden."""
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
            # The difference of two infinities is too far away for the dtype.
            row.squared[k] = max(total, 0.0) if total == total else math.inf
    cuda.syncthreads()


@part
def expected_holes(metric, row, shared):
    """How far the memories are from a row, where they expect its hidden coordinates.

    Writes the least squared distances, and `toward`, of which `expect` makes what the
    memories expect of the hidden coordinates. Returns the number of these.
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
    """Make of `toward` what the memories expect of the hidden coordinates.

    What a negligible memory expects becomes 0, and costs nothing.
    """
    for k in range(warp(), row.posterior.shape[0], N_WARPS):
        if row.posterior[k] < NEGLIGIBLE:
            for a in range(place(), n_hidden, WARP):
                row.toward[k, a] = 0.0
    solve_transposed(row.factor, row.reciprocal, n_hidden, row.toward)


@part
def mean_of(weights, n_hidden, row):
    """Write the weighted sum of what the memories expect, in all features."""
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

    Where all are -infinity, too far away for the dtype, no memory is preferred.
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
def add_pulls(w, n_hidden, memories, row, counts, pulls):
    """Write u of each memory; add it, and the weighted posterior."""
    missing = float(n_hidden)
    n_seen = memories.dimension - missing
    for k in range(thread(), counts.shape[0], THREADS):
        mass, scaled = w * row.posterior[k], memories.beta * row.squared[k]
        row.pulled[k] = mass * weight(memories.energy, scaled, n_seen, missing)
        counts[k] += mass
        pulls[k] += row.pulled[k]
    cuda.syncthreads()


@part
def add_rows(n_hidden, row, sums):
    """Add u times the row as each memory expects it."""
    n_clusters, n_features = sums.shape
    for k in range(warp(), n_clusters, N_WARPS):
        for j in range(place(), n_features, WARP):
            sums[k, j] += row.pulled[k] * row.filled[j]
    cuda.syncthreads()
    for k in range(warp(), n_clusters, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            sums[k, row.hidden[a]] += row.pulled[k] * row.toward[k, a]


@part
def add_seen(weight, filled, mean, moment):
    """Add what is seen times what is seen, and the hidden means times what is seen."""
    n_features = filled.shape[0]
    for j in range(warp(), n_features, N_WARPS):
        both = weight * filled[j] + mean[j]
        for c in range(place(), n_features, WARP):
            moment[j, c] += both * filled[c] + filled[j] * mean[c]
    cuda.syncthreads()


@part
def invert(n_hidden, row):
    """Write the inverse of A_hh."""
    inverse = row.inverse[:n_hidden]
    for b in range(warp(), n_hidden, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            inverse[b, a] = 1.0 if a == b else 0.0
    cuda.syncthreads()
    solve_unit(row.factor, row.reciprocal, n_hidden, inverse)
    solve_transposed(row.factor, row.reciprocal, n_hidden, inverse)


@part
def add_hidden(scale, n_hidden, row, moment):
    """Add what is expected of the hidden times itself, and scale times inv(A_hh)."""
    for b in range(warp(), n_hidden, N_WARPS):
        for a in range(place(), n_hidden, WARP):
            total = scale * row.inverse[b, a]
            for k in range(row.pulled.shape[0]):
                total += row.pulled[k] * row.toward[k, b] * row.toward[k, a]
            moment[row.hidden[b], row.hidden[a]] += total
    cuda.syncthreads()


@kernel
def write_metric_logits(
    rows,
    memories,
    metric,
    vectors,
    hidden,
    matrices,
    toward,
    of_memories,
    out,
    log_determinants,
):
    """`metric_logits`."""
    few = cuda.shared.array(OF_FEW, np.float64)
    shared, block = cuda.shared.array(THREADS, np.float64), cuda.blockIdx.x
    for i in range(block, rows.shape[0], cuda.gridDim.x):
        row = meet(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_holes(metric, row, shared)
        write_logits(row.squared, n_hidden, memories, out[i])
        determinant = log_determinant(row.reciprocal, n_hidden, shared)
        if thread() == 0:
            log_determinants[i] = determinant


@kernel
def write_completed(
    rows, memories, metric, vectors, hidden, matrices, toward, of_memories, out
):
    """`metric_complete`."""
    few = cuda.shared.array(OF_FEW, np.float64)
    shared, block = cuda.shared.array(THREADS, np.float64), cuda.blockIdx.x
    for i in range(block, rows.shape[0], cuda.gridDim.x):
        row = meet(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_holes(metric, row, shared)
        write_logits(row.squared, n_hidden, memories, row.posterior)
        softmax(row.posterior)
        expect(n_hidden, row)
        mean_of(row.posterior, n_hidden, row)
        for j in range(thread(), rows.shape[1], THREADS):
            out[i, j] = rows[i, j] if rows[i, j] == rows[i, j] else row.mean[j]
        cuda.syncthreads()


@kernel
def sum_metric_expectation(
    rows,
    memories,
    metric,
    weights,
    vectors,
    hidden,
    matrices,
    toward,
    of_memories,
    pulled,
    evidence,
    counts,
    pulls,
    sums,
    squares,
    moment,
    determinants,
):
    """`metric_expectation`."""
    few = cuda.shared.array(OF_FEW, np.float64)
    shared, block = cuda.shared.array(THREADS, np.float64), cuda.blockIdx.x
    for i in range(block, rows.shape[0], cuda.gridDim.x):
        row = meet(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_holes(metric, row, shared)
        write_logits(row.squared, n_hidden, memories, row.posterior)
        of_row = softmax(row.posterior)
        determinant = log_determinant(row.reciprocal, n_hidden, shared)
        add_pulls(weights[i], n_hidden, memories, row, counts[block], pulls[block])
        total, square = 0.0, 0.0
        for k in range(row.pulled.shape[0]):
            total += row.pulled[k]
            square += row.pulled[k] * row.squared[k]
        if thread() == 0:
            pulled[i] = total
            evidence[block] += weights[i] * of_row
            squares[block] += square
            determinants[block] += weights[i] * determinant
        expect(n_hidden, row)
        mean_of(row.pulled, n_hidden, row)
        add_rows(n_hidden, row, sums[block])
        add_seen(total, row.filled, row.mean, moment[block])
        invert(n_hidden, row)
        scale = weights[i] / (memories.beta + memories.beta)
        add_hidden(scale, n_hidden, row, moment[block])


def metric_logits(rows, memories, metric, out, log_determinants):
    """As `seen_logits`, in a metric; writes log det A_hh too (n_rows,)."""
    launch_on(
        *(write_metric_logits, rows.shape[0], (rows, memories, metric)),
        room=room_for(metric),
        out=[out, log_determinants],
    )


def metric_complete(rows, memories, metric, out):
    """Write the rows, with their holes filled by what is expected, into `out`."""
    launch_on(
        *(write_completed, rows.shape[0], (rows, memories, metric)),
        room=room_for(metric),
        out=[out],
    )


def metric_expectation(rows, weights, memories, metric, pulled):
    """As `expectation`, in a metric and for rows filled as each memory expects them.

    Returns further the sum of u x x^T, with the covariance of what is hidden, and the
    sum of the log det A_hh.
    """
    n_clusters, n_features = metric.images.shape
    evidence, counts, pulls, sums, squares, moment, determinants = launch_on(
        *(sum_metric_expectation, rows.shape[0], (rows, memories, metric, weights)),
        room=room_for(metric),
        out=[pulled],
        sums=[
            *((), (n_clusters,), (n_clusters,), (n_clusters, n_features), ()),
            *((n_features, n_features), ()),
        ],
    )
    moment = (moment + moment.T) / 2
    numbers = (float(number) for number in (evidence, squares, determinants))
    evidence, squares, determinants = numbers
    return evidence, counts, pulls, sums, squares, moment, determinants
