"""Following a stream: collapsed passes over each batch, and merges."""

from typing import NamedTuple

import numpy as np

from ._coarsening import LEAST_COUNT
from ._collapsed import Collapsed, Tables, merge_all
from ._coordinates import HoledRows
from ._nonparametric import Grown
from .kernels import target

# Most passes over a batch.
PASSES = 10
# How often the holes of a batch are filled anew. The mean of a new memory comes nearer
# to that of what is seen by the part that is seen, each time.
FILLINGS = 4


class Seated(NamedTuple):
    """The memories after a batch, and where its rows went."""

    grown: Grown
    labels: np.ndarray  # (n_rows,)


def decayed(grown, factor, discount):
    """Memories with counts multiplied; those nearly forgotten are dropped."""
    counts = grown.counts * factor
    kept = counts > max(LEAST_COUNT, discount)
    if not kept.any():
        kept[counts.argmax()] = True
    return Grown(grown.centers[kept], counts[kept], grown.beta)


def follow(rows, grown, model, by_flow):
    """Seat the rows of a batch, in canonical order; then merge memories it made.

    Rows of the batch may change seats in further passes, since the first see memories
    that later ones have not yet come to; earlier rows stay. Counts and sums are exact.
    A new memory is merged with another where that gains; two old ones are left alone,
    as soft memories may overlap more than seats can tell. Beta follows the scatter
    about the memories.

    A row with holes is seated with them filled as its likeliest memory expects them,
    first of the old ones, then of those that this made.

    Parameters
    ----------
    rows : DistinctRows or HoledRows
        About the base mean, in float64.
    grown : Grown
        Centers about the base mean.
    model : Nonparametric
    by_flow : bool
        Whether a row makes a memory where its state flows to the base measure.

    Returns
    -------
    Seated
    """
    if not isinstance(rows, HoledRows):
        return _seat(rows, grown, model, by_flow)
    now = grown
    for _ in range(FILLINGS):
        seated = _seat(rows.filled_by(model.memories(now)), grown, model, by_flow)
        now = seated.grown
    return seated


def _seat(rows, grown, model, by_flow):
    n_old, n_before = len(grown.counts), grown.counts.sum()
    never_leave = np.full(n_old, np.iinfo(np.int64).max // 2)
    old = Tables(grown.counts, never_leave, grown.centers * grown.counts[:, None])
    total = n_before + rows.total_weight
    evidence = Collapsed(model, total, 0.0, seen_weight=total)
    seat_model = evidence.seat_model(grown.beta, by_flow)
    tables, labels = old, np.full(len(rows.values), -1)
    for _ in range(PASSES):
        roomy = tables.with_room(len(labels))
        moved = target("cpu").seat(
            rows.values, rows.weights, seat_model, labels, tuple(roomy)
        )
        tables, labels = roomy.live(labels)
        is_new = np.arange(len(tables.counts)) >= n_old
        tables, names = merge_all(evidence, tables, grown.beta, movable=is_new)
        labels = names[labels]
        if not moved:
            break
    scatter = model.scatter(grown.beta, n_before, n_old)
    scatter += rows.weights @ np.square(rows.values).sum(axis=1)
    scatter += (old.squares / old.counts).sum() - (tables.squares / tables.counts).sum()
    beta = model.fitted_beta(
        scatter,
        tables.counts.sum() - (rows.total_weight - rows.seen_weight),
        len(tables.counts),
        least_variance=np.finfo(np.float64).eps / model.base_precision,
    )
    centers = tables.sums / tables.counts[:, None]
    return Seated(Grown(centers, tables.counts, beta), labels)
