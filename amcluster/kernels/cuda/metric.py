"""Kernels for rows with missing values, with a learned metric.

A block of threads works on one row at a time; `hidden` has its steps.
"""

import numpy as np

from ._jit import cuda, kernel
from ._launch import launch_on
from .hidden import (
    OF_FEW,
    add_hidden,
    add_rows,
    add_seen,
    add_weights,
    expect,
    expected_hidden,
    invert,
    log_determinant,
    mean_of,
    prepare,
    room_for,
    softmax,
    write_logits,
)
from .tiles import THREADS, thread


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
        row = prepare(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_hidden(metric, row, shared)
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
        row = prepare(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_hidden(metric, row, shared)
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
    totals,
    sums,
    squares,
    moment,
    determinants,
):
    """`metric_expectation`."""
    few = cuda.shared.array(OF_FEW, np.float64)
    shared, block = cuda.shared.array(THREADS, np.float64), cuda.blockIdx.x
    for i in range(block, rows.shape[0], cuda.gridDim.x):
        row = prepare(
            rows[i],
            vectors[block],
            hidden[block],
            matrices[block],
            toward[block],
            of_memories[block],
            few,
        )
        n_hidden = expected_hidden(metric, row, shared)
        write_logits(row.squared, n_hidden, memories, row.posterior)
        of_row = softmax(row.posterior)
        determinant = log_determinant(row.reciprocal, n_hidden, shared)
        add_weights(weights[i], n_hidden, memories, row, counts[block], totals[block])
        total, square = 0.0, 0.0
        for k in range(row.weights.shape[0]):
            total += row.weights[k]
            square += row.weights[k] * row.squared[k]
        if thread() == 0:
            pulled[i] = total
            evidence[block] += weights[i] * of_row
            squares[block] += square
            determinants[block] += weights[i] * determinant
        expect(n_hidden, row)
        mean_of(row.weights, n_hidden, row)
        add_rows(n_hidden, row, sums[block])
        add_seen(total, row.filled, row.mean, moment[block])
        invert(n_hidden, row)
        scale = 0.0
        for k in range(row.weights.shape[0]):
            mass = weights[i] * row.posterior[k]
            scale += mass / (memories.beta[k] + memories.beta[k])
        add_hidden(scale, n_hidden, row, moment[block])


def metric_logits(rows, memories, metric, out, log_determinants):
    """As `seen_logits`, in a metric; also writes log det A_hh (n_rows,)."""
    launch_on(
        write_metric_logits,
        rows.shape[0],
        (rows, memories, metric),
        room=room_for(metric),
        out=[out, log_determinants],
    )


def metric_complete(rows, memories, metric, out):
    """Write the rows into `out`, with missing values replaced by their expectation."""
    launch_on(
        write_completed,
        rows.shape[0],
        (rows, memories, metric),
        room=room_for(metric),
        out=[out],
    )


def metric_expectation(rows, weights, memories, metric, pulled):
    """As `expectation`, in a metric and for rows completed as each memory expects.

    Also returns the sum of u x x^T, with the covariance of the hidden coordinates, and
    the weighted sum of log det A_hh.
    """
    n_clusters, n_features = metric.images.shape
    evidence, counts, totals, sums, squares, moment, determinants = launch_on(
        sum_metric_expectation,
        rows.shape[0],
        (rows, memories, metric, weights),
        room=room_for(metric),
        out=[pulled],
        sums=[
            (),
            (n_clusters,),
            (n_clusters,),
            (n_clusters, n_features),
            (),
            (n_features, n_features),
            (),
        ],
    )
    moment = (moment + moment.T) / 2
    numbers = (float(number) for number in (evidence, squares, determinants))
    evidence, squares, determinants = numbers
    return evidence, counts, totals, sums, squares, moment, determinants
