"""Following a stream: collapsed passes over each batch, and merges."""

from math import log
from typing import NamedTuple

import numpy as np

from ._coarsening import LEAST_COUNT, SoftObjective, coarsen
from ._collapsed import Collapsed, Tables, merge_all, seat
from ._coordinates import HoledRows
from ._landscape import Landscape
from ._nonparametric import Grown

# Most passes over a batch.
PASSES = 10
# Where EM ends that looks for new kinds, in nats per row and feature.
TOLERANCE = 1e-4


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


def follow(rows, grown, model, by_flow, random_state=None):
    """Seat the rows of a batch, in canonical order; then merge memories it made.

    Rows of the batch may change seats in further passes, since the first see memories
    that later ones have not yet come to; earlier rows stay. Counts and sums are exact.
    A new memory is merged with another where that gains; two old ones are left alone,
    as soft memories may overlap more than seats can tell. Beta follows the scatter
    about the memories.

    A row with holes is seated with them filled as its likeliest memory expects them.
    New kinds of such rows are found by the soft path first: filled as old memories
    expect them they would not look alike.

    Parameters
    ----------
    rows : DistinctRows or HoledRows
        About the base mean, in float64.
    grown : Grown
        Centers about the base mean.
    model : Nonparametric
    by_flow : bool
        Whether a row makes a memory where its state flows to the base measure.
    random_state : RandomState
        For rows with holes.

    Returns
    -------
    Seated
    """
    if not isinstance(rows, HoledRows):
        return _seat(rows, grown, model, by_flow)
    now = with_new_kinds(rows, grown, model, random_state)
    return _seat(rows.filled_by(model.memories(now)), grown, model, by_flow)


def with_new_kinds(rows, grown, model, random_state):
    """The memories, and those that the soft path finds in rows novel to them."""
    memories = rows.in_features(model.memories(grown))
    log_new = log(model.restaurant.new_weight(len(grown.counts)))
    landscape = Landscape.of(
        *(memories.centers, memories.log_weights, np.zeros(len(rows.offset)), log_new),
        *(
            memories.beta,
            model.tempering * model.base_beta(grown.beta),
            model.effective_dimension / 2,
        ),
        dtype=np.float64,
    )._replace(device=rows.device)
    known, new, _ = landscape.marginal_evidences(rows.features, rows.root)
    if not (new > known).any():
        return grown
    strange = rows.drawn(new > known, rows.weights[new > known]).filled_by_each_other()
    fixed = model._replace(beta=grown.beta)
    objective = SoftObjective(strange, fixed, tol=TOLERANCE)
    found = coarsen(objective, random_state, watch=lambda *_: False).grown
    return Grown(
        np.vstack([grown.centers, found.centers]),
        np.append(grown.counts, found.counts),
        grown.beta,
    )


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
        moved = seat(rows, seat_model, labels, roomy)
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
