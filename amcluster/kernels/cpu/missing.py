"""Rows with missing values, over the seen coordinates.

Coordinates that are NaN are hidden and integrated out, which leaves distances over the
others, the seen ones. `metric` does the same with a learned metric.
"""

import numpy as np

from ._jit import kernel, lanewise
from .energies import weight
from .reduce import logit, to_posteriors
from .tiles import (
    LANES,
    add_products,
    load,
    load_lanes,
    padded_matrix,
    room,
    squares_of_seen,
    store,
    weighted_sums,
)


@kernel
def fill_zeros(row, filled, seen, hidden):
    """Write the row with 0 for missing values, and 1 into `seen` for the others.

    Writes the indices of the hidden coordinates into `hidden`; returns how many.
    """
    n_hidden = 0
    for j in range(row.shape[0]):
        is_seen = row[j] == row[j]
        filled[j] = row[j] if is_seen else row.dtype.type(0.0)
        seen[j] = row.dtype.type(1.0) if is_seen else row.dtype.type(0.0)
        if not is_seen:
            hidden[n_hidden] = j
            n_hidden += 1
    return n_hidden


@kernel
def seen_squares(filled, seen, centers, squared):
    """Write the squared distances over the seen coordinates."""
    for k in range(centers.shape[0]):
        total = filled.dtype.type(0.0)
        for j in range(filled.shape[0]):
            difference = seen[j] * (filled[j] - centers[k, j])
            total += difference * difference
        squared[k] = total


def seen_logits(rows, memories, out):
    """Write the logits over the seen coordinates into out (n_rows, n_clusters)."""
    logits, *_ = _seen_logits(load(rows), memories)
    store(logits, out)


def _seen_logits(tiles, memories):
    """Logits, squared distances and numbers of hidden coordinates, in tiles."""
    squared = room(tiles, len(memories.centers))
    squares_of_seen(tiles, padded_matrix(memories.centers), squared)
    logits, hidden = squared.copy(), np.zeros((len(tiles), LANES), tiles.dtype)
    count_hidden(tiles, hidden)
    to_seen_logits(logits, hidden, memories)
    return logits, squared, hidden


@lanewise
def count_hidden(tiles, hidden):
    """Add up the number of hidden coordinates of each row."""
    one, zero = tiles.dtype.type(1.0), tiles.dtype.type(0.0)
    for tile in range(tiles.shape[0]):
        for j in range(tiles.shape[1]):
            for lane in range(LANES):
                x = tiles[tile, j, lane]
                hidden[tile, lane] += zero if x == x else one


@lanewise
def to_seen_logits(values, hidden, memories):
    """Turn squared distances over the seen coordinates into logits, in place."""
    for tile in range(values.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            lanes = values[tile, k]
            for lane in range(LANES):
                lanes[lane] = logit(k, lanes[lane], hidden[tile, lane], memories)


@lanewise
def to_seen_weights(p, w, squared, hidden, memories):
    """Turn posteriors into u = w p g, and squared distances into u times these."""
    for tile in range(p.shape[0]):
        for k in range(memories.log_weights.shape[0]):
            posteriors, squares = p[tile, k], squared[tile, k]
            beta = memories.beta[k]
            for lane in range(LANES):
                scaled, n_hidden = beta * squares[lane], hidden[tile, lane]
                n_seen = memories.dimension - n_hidden
                g = weight(memories.energy, scaled, n_seen, n_hidden)
                posteriors[lane] *= w[tile, lane] * g
                squares[lane] *= posteriors[lane]


def seen_expectation(rows, weights, memories, pulled):
    """As `expectation`, over the seen coordinates; the sums of u are (K, D)."""
    n_clusters, n_features = memories.centers.shape
    tiles = load(rows)
    u, squared, hidden = _seen_logits(tiles, memories)
    w, evidence = load_lanes(weights, len(tiles)), np.empty_like(tiles[:, 0])
    to_posteriors(u, n_clusters, evidence, np.empty_like(evidence[0]))
    counts = weighted_sums(u, w, n_clusters)
    to_seen_weights(u, w, squared, hidden, memories)
    pulled[:] = u[:, :n_clusters].sum(axis=1).ravel()[: len(pulled)]
    missing, ones = np.isnan(tiles), np.ones_like(w)
    shape = len(u[0]), len(tiles[0])
    sums, seen = np.zeros(shape), np.zeros(shape)
    add_products(u, np.where(missing, tiles.dtype.type(0), tiles), sums)
    add_products(u, (~missing).astype(tiles.dtype), seen)
    with np.errstate(invalid="ignore"):  # evidence may be -infinity, and its weight 0
        total = (w * evidence).sum()
    return (
        total,
        counts,
        seen[:n_clusters, :n_features],
        sums[:n_clusters, :n_features],
        weighted_sums(squared, ones, n_clusters).sum(),
    )
