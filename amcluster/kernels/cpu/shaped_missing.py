"""Rows with missing values, for memories with shapes of their own.

As `metric`, with a matrix A_k for each memory. As log det A_hh differs between them, it
is part of the logits. Rows are met in the order of their patterns, of what is missing:
a pattern's linear systems are factored once.
"""

from typing import NamedTuple

import numpy as np

from ._jit import allocating, kernel
from .energies import weight
from .metric import (
    NEGLIGIBLE,
    add_hidden_covariance,
    hidden_root,
    solve_root,
    solve_transposed,
)
from .missing import fill_zeros
from .reduce import logit, softmax


class Room(NamedTuple):
    """Room for a pattern, and for one row."""

    seen: np.ndarray  # (D,) 1 where the pattern is seen, else 0
    hidden: np.ndarray  # (D,) where it is not
    factors: np.ndarray  # (K, D, D) the Cholesky root of A_hh
    log_determinants: np.ndarray  # (K,) log det A_hh
    filled: np.ndarray  # (D,) the row
    away: np.ndarray  # (K, D) row minus center, 0 where hidden
    turned: np.ndarray  # (D,)
    toward: np.ndarray  # (K, D)
    squared: np.ndarray  # (K,)
    p: np.ndarray  # (K,)

    @classmethod
    def empty(cls, shape):
        """Room for rows that meet centers of this shape."""
        n_clusters, n_features = shape
        return cls(
            seen=np.empty(n_features),
            hidden=np.empty(n_features, np.int64),
            factors=np.empty((n_clusters, n_features, n_features)),
            log_determinants=np.empty(n_clusters),
            filled=np.empty(n_features),
            away=np.empty(shape),
            turned=np.empty(n_features),
            toward=np.empty(shape),
            squared=np.empty(n_clusters),
            p=np.empty(n_clusters),
        )


def by_pattern(rows):
    """The rows' indices, in the order of what is missing."""
    bits = np.packbits(np.isnan(rows), axis=1)
    return np.lexsort(bits.T)


def shaped_seen_logits(rows, memories, shapes, out, log_determinants):
    """As `metric_logits`, with log det A_hh in the logits, and 0 instead of it."""
    log_determinants[:] = 0.0
    room = Room.empty(memories.centers.shape)
    write_logits(rows, by_pattern(rows), memories, shapes, room, out)


def shaped_complete(rows, memories, shapes, out):
    """Write the rows into `out`, with missing values replaced by their expectation."""
    room, mean = Room.empty(memories.centers.shape), np.empty(rows.shape[1])
    complete(rows, by_pattern(rows), memories, shapes, room, mean, out)


def shaped_seen_expectation(rows, weights, memories, shapes, pulled):
    """As `shaped_expectation`, for rows completed as each memory expects.

    Moments include the covariance of what is hidden.
    """
    n_clusters, n_features = shape = memories.centers.shape
    sums = Sums(
        *np.zeros((4, n_clusters)),
        np.zeros(shape),
        np.zeros((n_clusters, n_features, n_features)),
    )
    evidence = expect(
        rows,
        by_pattern(rows),
        weights,
        memories,
        shapes,
        Room.empty(shape),
        sums,
        pulled,
    )
    lower = np.tril(sums.moments)
    moments = lower + np.tril(lower, -1).transpose(0, 2, 1)
    return evidence, sums.counts, sums.weights, sums.of_x, sums.squares, moments


class Sums(NamedTuple):
    """Sums over rows."""

    counts: np.ndarray  # (K,) of w p
    weights: np.ndarray  # (K,) of u
    squares: np.ndarray  # (K,) of u times the squared distance
    of_pattern: np.ndarray  # (K,) of w p / (2 beta), over rows of one pattern
    of_x: np.ndarray  # (K, D) of u x
    moments: np.ndarray  # (K, D, D) of u (x - center) (x - center)^T, lower triangle


@kernel
def has_pattern(row, seen):
    """Whether the row has the pattern."""
    same = True
    for j in range(row.shape[0]):
        same = same and (row[j] == row[j]) == (seen[j] > 0.0)
    return same


@kernel
def take_pattern(row, shapes, room):
    """Take the pattern of a row, and factor each A_hh; return how many are hidden."""
    n_hidden = fill_zeros(row, room.filled, room.seen, room.hidden)
    for k in range(shapes.matrices.shape[0]):
        room.log_determinants[k] = hidden_root(
            shapes.matrices[k], room.hidden, n_hidden, room.factors[k]
        )
    return n_hidden


@kernel
def squared_length(away, root, turned):
    """|away @ root|^2; writes away @ root."""
    for c in range(away.shape[0]):
        turned[c] = 0.0
    for j in range(away.shape[0]):
        x = away[j]
        if x != 0.0:
            for c in range(away.shape[0]):
                turned[c] += x * root[j, c]
    total = 0.0
    for c in range(away.shape[0]):
        total += turned[c] * turned[c]
    # The difference of two infinities means a distance beyond the dtype's range.
    return total if total == total else np.inf


@kernel
def meet(row, n_hidden, memories, shapes, room):
    """Write posteriors of a row that has the pattern; return its log evidence.

    Writes its squared distances, minimised over what is hidden, and room.toward, which
    `expect_hidden` turns into the values there.
    """
    to_distances(row, n_hidden, memories, shapes, room)
    to_logits(n_hidden, memories, room, room.p)
    return softmax(room.p)


@kernel
def to_distances(row, n_hidden, memories, shapes, room):
    """Write differences, squared distances and room.toward, as `meet`."""
    n_clusters, n_features = shapes.matrices.shape[0], row.shape[0]
    for k in range(n_clusters):
        away, values = room.away[k], room.toward[k]
        for j in range(n_features):
            away[j] = row[j] - memories.centers[k, j] if room.seen[j] > 0.0 else 0.0
        total = squared_length(away, shapes.roots[k], room.turned)
        for a in range(n_hidden):
            values[a] = 0.0
            for j in range(n_features):
                values[a] -= shapes.matrices[k, room.hidden[a], j] * away[j]
        solve_root(room.factors[k], n_hidden, values)
        for a in range(n_hidden):
            total -= values[a] * values[a]
        room.squared[k] = max(total, 0.0) if total == total else np.inf


@kernel
def to_logits(n_hidden, memories, room, out):
    """Write the marginal logits, given squared distances."""
    for k in range(room.squared.shape[0]):
        value = logit(k, room.squared[k], float(n_hidden), memories)
        out[k] = value - 0.5 * room.log_determinants[k]


@kernel
def expect_hidden(k, n_hidden, room):
    """Write what a memory expects, minus its center, where `away` is hidden."""
    solve_transposed(room.factors[k], n_hidden, room.toward[k])
    for a in range(n_hidden):
        room.away[k, room.hidden[a]] = room.toward[k, a]


@kernel
def write_logits(rows, order, memories, shapes, room, out):
    """`shaped_seen_logits`, in an order."""
    n_hidden = 0
    for n in range(order.shape[0]):
        row = rows[order[n]]
        if n == 0 or not has_pattern(row, room.seen):
            n_hidden = take_pattern(row, shapes, room)
        to_distances(row, n_hidden, memories, shapes, room)
        to_logits(n_hidden, memories, room, out[order[n]])


@kernel
def complete(rows, order, memories, shapes, room, mean, out):
    """`shaped_complete`, in an order."""
    n_hidden = 0
    for n in range(order.shape[0]):
        row, completed = rows[order[n]], out[order[n]]
        if n == 0 or not has_pattern(row, room.seen):
            n_hidden = take_pattern(row, shapes, room)
        meet(row, n_hidden, memories, shapes, room)
        for j in range(row.shape[0]):
            completed[j], mean[j] = row[j], 0.0
        for k in range(room.p.shape[0]):
            if room.p[k] < NEGLIGIBLE:
                continue
            expect_hidden(k, n_hidden, room)
            for a in range(n_hidden):
                j = room.hidden[a]
                mean[j] += room.p[k] * (memories.centers[k, j] + room.away[k, j])
        for a in range(n_hidden):
            completed[room.hidden[a]] = mean[room.hidden[a]]


@allocating
def expect(rows, order, weights, memories, shapes, room, sums, pulled):
    """Add to the sums, in an order; return the sum of w log evidence."""
    n_hidden, evidence = 0, 0.0
    for n in range(order.shape[0]):
        i = order[n]
        if n == 0 or not has_pattern(rows[i], room.seen):
            spread(n_hidden, room, sums)
            n_hidden = take_pattern(rows[i], shapes, room)
        evidence += weights[i] * meet(rows[i], n_hidden, memories, shapes, room)
        pulled[i] = 0.0
        for k in range(room.p.shape[0]):
            pulled[i] += add_row(k, weights[i], n_hidden, memories, room, sums)
    spread(n_hidden, room, sums)
    return evidence


@kernel
def add_row(k, w, n_hidden, memories, room, sums):
    """Add what a row is to a memory; return u."""
    n_features, scaled = room.away.shape[1], memories.beta[k] * room.squared[k]
    seen, missing = memories.dimension - n_hidden, float(n_hidden)
    share = w * room.p[k]
    u = share * weight(memories.energy, scaled, seen, missing)
    sums.counts[k] += share
    sums.weights[k] += u
    sums.squares[k] += u * room.squared[k]
    if room.p[k] < NEGLIGIBLE:
        return u
    expect_hidden(k, n_hidden, room)
    sums.of_pattern[k] += share / (memories.beta[k] + memories.beta[k])
    for j in range(n_features):
        scaled = u * room.away[k, j]
        sums.of_x[k, j] += scaled + u * memories.centers[k, j]
        moment = sums.moments[k, j]
        for c in range(j + 1):
            moment[c] += scaled * room.away[k, c]
    return u


@allocating
def spread(n_hidden, room, sums):
    """Add the covariances of what is hidden, for all rows of a pattern."""
    for k in range(sums.of_pattern.shape[0]):
        if n_hidden > 0 and sums.of_pattern[k] > 0.0:
            add_hidden_covariance(
                room.factors[k],
                room.hidden,
                n_hidden,
                sums.of_pattern[k],
                sums.moments[k],
            )
        sums.of_pattern[k] = 0.0
