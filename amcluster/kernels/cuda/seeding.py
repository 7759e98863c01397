"""Distances for the first memories: k-means++ draws, hard (k-means) phase, swaps.

The hard phase is the limit beta -> infinity, where the posterior of the nearest memory
is 1 and only the centers matter. With `missing`, distances run over the coordinates
of a row that are not NaN.
"""

import numpy as np

from ._jit import cuda, kernel, part
from ._launch import launch
from .tiles import (
    SHARED,
    add_products,
    add_products_of_filled,
    add_products_of_seen,
    add_sums,
    own,
    squares,
    squares_of_seen,
    store,
    tile_at,
    tiles_of,
    weight_of_lane,
)


@part
def distances(centers, tile, missing, out, shared):
    """Write the squared distances of a tile to the centers."""
    if missing:
        squares_of_seen(centers, tile, out, shared)
    else:
        squares(centers, tile, out, shared)


@kernel
def sum_potentials(rows, weights, memories, missing, closest, room, nearer, potentials):
    """`potentials`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values, lane = room[cuda.blockIdx.x], cuda.threadIdx.x
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        distances(memories.centers, x, missing, values, shared)
        near = closest[min(start + lane, closest.shape[0] - 1)]
        for k in own(values.shape[0]):
            values[k, lane] = min(values[k, lane], near)
        store(values, start, nearer)
        cuda.syncthreads()
        for k in own(values.shape[0]):
            values[k, lane] *= w
        add_sums(values, potentials[cuda.blockIdx.x], shared)


@kernel
def sum_nearest(
    rows,
    weights,
    memories,
    missing,
    room,
    labels,
    first,
    second,
    counts,
    sums,
    inertia,
    seen,
):
    """`nearest`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, number = cuda.blockIdx.x, cuda.threadIdx.x, cuda.threadIdx.y
    values, zero = room[block], rows.dtype.type(0)
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        distances(memories.centers, x, missing, values, shared)
        best, nearer, next_one = 0, values[0, lane], rows.dtype.type(np.inf)
        for k in range(1, values.shape[0]):
            distance = values[k, lane]
            next_one = min(next_one, max(distance, nearer))
            best = k if distance < nearer else best
            nearer = min(distance, nearer)
        if number == 0 and start + lane < rows.shape[0]:
            labels[start + lane] = best
            first[start + lane], second[start + lane] = nearer, next_one
        cuda.syncthreads()
        for k in own(values.shape[0]):
            values[k, lane] = w if k == best else zero
        add_sums(values, counts[block], shared)
        if missing:
            add_products_of_filled(values, x, sums[block], shared)
            add_products_of_seen(values, x, seen[block], shared)
        else:
            add_products(values, x, sums[block], shared)
        for k in own(values.shape[0]):
            values[k, lane] = w * nearer if k == best else zero
        add_sums(values, inertia[block], shared)


@kernel
def sum_swap_costs(
    rows, weights, memories, missing, labels, first, second, room, given, kept, extra
):
    """`swap_costs`."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane = cuda.blockIdx.x, cuda.threadIdx.x
    stays, moves, of_label = room[block, 0], room[block, 1], given[block]
    zero = rows.dtype.type(0)
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        distances(memories.centers, x, missing, stays, shared)
        row = min(start + lane, rows.shape[0] - 1)
        for c in own(stays.shape[0]):
            stay = min(stays[c, lane], first[row])
            moves[c, lane] = min(stays[c, lane], second[row]) - stay
            stays[c, lane] = w * stay
        for k in own(of_label.shape[0]):
            of_label[k, lane] = w if k == labels[row] else zero
        add_sums(stays, kept[block], shared)
        add_products(moves, of_label, extra[block], shared)


def potentials(rows, weights, memories, missing, closest, nearer):
    """Return sum_n w_n min(closest_n, |x_n - c|^2) for each center c, in a tuple.

    Writes those minima into nearer (n_rows, n_centers).
    """
    of_centers = (len(memories.centers),)
    return launch(
        sum_potentials,
        rows,
        weights,
        memories,
        missing,
        closest,
        room=[of_centers],
        out=[nearer],
        sums=[of_centers],
    )


def nearest(rows, weights, memories, missing, labels, first, second):
    """Write the nearest center and the squared distances to it and to the next one.

    Returns, over the rows nearest to each center, the weight, the weighted sum of rows,
    the inertia and, with missing values, the weight of the seen values of each feature:
    (K,), (K, D), (K,), (K, D).
    """
    shape, of_centers = memories.centers.shape, memories.centers.shape[:1]
    return launch(
        sum_nearest,
        rows,
        weights,
        memories,
        missing,
        room=[of_centers],
        out=[labels, first, second],
        sums=[of_centers, shape, of_centers, shape],
    )


def swap_costs(rows, weights, memories, n_clusters, missing, labels, first, second):
    """The inertia of a partition after candidate c replaces center k, for all c and k.

    The candidates are the centers of `memories`; labels, first and second are those
    that `nearest` wrote for the partition. Returns kept (C,), the inertia with the
    candidate added and no center removed, and extra (C, K), by how much removing center
    k then raises it: rows of k move to the candidate or to their second nearest center,
    whichever is nearer.
    """
    n_candidates = len(memories.centers)
    return launch(
        sum_swap_costs,
        rows,
        weights,
        memories,
        missing,
        labels,
        first,
        second,
        room=[(2, n_candidates), (n_clusters,)],
        sums=[(n_candidates,), (n_candidates, n_clusters)],
    )
