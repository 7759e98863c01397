"""Following a stream: one collapsed pass over each batch, then merges."""

from typing import NamedTuple

import numpy as np

from ._collapsed import Collapsed, Tables, merge_all
from ._nonparametric import Grown
from .kernels import target

# A memory that has decayed to less than this many rows is dropped.
LEAST_COUNT = 1e-3


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
    """Seat the rows of a batch in canonical order; then merge memories it made.

    Counts and sums are exact. A new memory is merged with another where that gains; two
    old ones are left alone, as soft memories may overlap more than seats can tell. Beta
    follows the scatter about the memories.

    Parameters
    ----------
    rows : DistinctRows
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
    n_old, n_rows = len(grown.counts), len(rows.values)
    never_leave = np.full(n_old, np.iinfo(np.int64).max // 2)
    old = Tables(grown.counts, never_leave, grown.centers * grown.counts[:, None])
    tables, labels = old.with_room(n_rows), np.full(n_rows, -1)
    evidence = Collapsed(model, old.counts.sum() + rows.total_weight, 0.0)
    seat_model = evidence.seat_model(grown.beta, by_flow)
    target("cpu").seat(rows.values, rows.weights, seat_model, labels, tuple(tables))
    tables = Tables(*(array[: labels.max(initial=n_old - 1) + 1] for array in tables))
    is_new = np.arange(len(tables.counts)) >= n_old
    tables, names = merge_all(evidence, tables, grown.beta, movable=is_new)

    scatter = model.scatter(grown.beta, old.counts.sum(), n_old)
    scatter += rows.weights @ np.square(rows.values).sum(axis=1)
    scatter += (old.squares / old.counts).sum() - (tables.squares / tables.counts).sum()
    least = np.finfo(np.float64).eps / model.base_precision
    beta = model.fitted_beta(
        scatter, tables.counts.sum(), len(tables.counts), least_variance=least
    )
    centers = tables.sums / tables.counts[:, None]
    return Seated(Grown(centers, tables.counts, beta), names[labels])
