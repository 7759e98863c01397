"""The E-step: the sums over rows that the closed-form M-step needs."""

from ._jit import cuda, kernel
from ._launch import launch
from .energies import weight
from .reduce import to_logits, to_posteriors
from .tiles import (
    LANES,
    PARTS,
    SHARED,
    add_products,
    add_sums,
    own,
    product,
    squares,
    store,
    sum_of_lane,
    tile_at,
    tiles_of,
    weight_of_lane,
)


@kernel
def sum_expectation(
    rows, weights, memories, room, pulled, evidence, counts, totals, sums, squared_sums
):
    """The sums that `expectation` returns."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    block, lane, number = cuda.blockIdx.x, cuda.threadIdx.x, cuda.threadIdx.y
    squared, p = room[block, 0], room[block, 1]
    n_clusters, none = memories.log_weights.shape[0], rows.dtype.type(0)
    for start in tiles_of(rows):
        x, w = tile_at(rows, start), weight_of_lane(weights, start, rows.dtype)
        squares(memories.centers, x, squared, shared)
        to_logits(squared, none, memories, p)
        of_lane = to_posteriors(p, n_clusters, shared)
        total, error = rows.dtype.type(0), rows.dtype.type(0)
        for k in own(n_clusters):
            square = squared[k, lane]
            p[k, lane] *= w
            scaled = memories.beta[k] * square
            g = weight(memories.energy, scaled, memories.dimension, none)
            u = p[k, lane] * g
            squared[k, lane] = u
            total += u
            error += u * square
        squared_sums[block, number, lane] += error
        total = sum_of_lane(total, shared)
        if number == 0 and start + lane < rows.shape[0]:
            pulled[start + lane] = total
            evidence[block, lane] += w * of_lane
        add_sums(p, counts[block], shared)
        add_sums(squared, totals[block], shared)
        add_products(squared, x, sums[block], shared)


@kernel
def write_projection(rows, matrix, room, out):
    """rows @ matrix."""
    shared = cuda.shared.array(SHARED, rows.dtype, alignment=16)
    values = room[cuda.blockIdx.x]
    for start in tiles_of(rows):
        product(matrix.T, tile_at(rows, start), values, shared)
        store(values, start, out)


def expectation(rows, weights, memories, pulled):
    """Sums over rows of the posterior p and of u = w p g, with the IRLS weight g.

    Writes sum_k u_nk into pulled (n_rows,). Returns the weighted sum of the log
    evidence, the sums of w p and of u (K,), of u x (K, D), and of u |x - center|^2.
    """
    n_clusters, n_features = memories.centers.shape
    evidence, counts, totals, sums, squared_sums = launch(
        sum_expectation,
        rows,
        weights,
        memories,
        room=[(2, n_clusters)],
        out=[pulled],
        sums=[
            (LANES,),
            (n_clusters,),
            (n_clusters,),
            (n_clusters, n_features),
            (PARTS, LANES),
        ],
    )
    return float(evidence.sum()), counts, totals, sums, float(squared_sums.sum())


def project(rows, memories, matrix, out):
    """Write rows @ matrix into `out`; the result of a row is the same in any block."""
    launch(write_projection, rows, matrix, room=[(matrix.shape[1],)], out=[out])
