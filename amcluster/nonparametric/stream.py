"""Following a stream: collapsed passes over each batch, and merges.

What the first rows of a stream tell of scale and metric may be wrong: they may be all
equal, or hold rows that are no data. So rows far beyond the spread of the others are
not learned from, unless there are many of them; where many rows are unlike all that
was learned, the stream is learned anew.
"""

from math import exp, floor, log, log2
from typing import NamedTuple

import numpy as np

from ..network import Network
from ..rows.complete import DistinctRows
from ..rows.missing import Missing
from ..spaces.metric import LearnedMetric
from .hard import Collapsed, Tables, merge_all, seat
from .model import Grown
from .soft import LEAST_COUNT, SoftObjective, coarsen

# A batch is seated in so many passes at most.
PASSES = 10
# Of the EM that looks for new memories among rows with missing values: it ends where a
# step gains no more than this, in nats per row and feature.
TOLERANCE = 1e-4
# A row is no data if some column is further than this many spreads of it from all
# memories.
FAR = 1e4
# Beta is not learned from a row whose squared distance to its memory is this many times
# the mean one.
OUTLYING = 25.0
# A row that came more than so many times as often as others in the mean weighs less
# in a fit than it came.
REPEATED = 4.0
# The stream is learned anew if more than MOST_STRANGE of about the last RECENT_ROWS
# rows are strange: far from their memories, or alone in a new one.
RECENT_ROWS, MOST_STRANGE = 100, 0.2


class Seated(NamedTuple):
    """The memories after a batch, and where its rows went."""

    grown: Grown
    labels: np.ndarray  # (n_rows,)
    is_strange: np.ndarray  # (n_rows,) alone in a new memory, or far from theirs


class Buffer(NamedTuple):
    """Rows that are fitted anew as more come."""

    rows: np.ndarray  # (n_rows, n_features)
    weights: np.ndarray  # (n_rows,)
    others: np.ndarray  # (n_rows,) weight of what is not learned from, but counts
    n_fitted: int  # rows in the last fit
    whole: bool  # whether these are all rows of the stream

    @classmethod
    def of_memories(cls, centers, counts, most):
        """Memories as one row each, which weigh no more than `most`."""
        weights = np.minimum(counts, power_of_two(most))
        return cls(centers, weights, counts - weights, 0, whole=False)

    def decayed(self, factor):
        """With weights multiplied; rows nearly forgotten are not learned from."""
        if factor == 1:
            return self
        weights = self.weights * factor
        weights[weights < LEAST_COUNT] = 0.0
        return self._replace(weights=weights, others=self.others * factor)

    def joined(self, rows, weights, learned):
        """With further rows, from some of which is learned."""
        return self._replace(
            rows=np.concatenate([self.rows, rows]),
            weights=np.concatenate([self.weights, np.where(learned, weights, 0.0)]),
            others=np.concatenate([self.others, np.where(learned, 0.0, weights)]),
        )


def decayed(grown, factor, discount):
    """Memories with counts multiplied; those nearly forgotten are dropped.

    The largest is kept in any case, to start from: `_without_forgotten` drops it if no
    row of the batch comes to it.
    """
    counts = grown.counts * factor
    least = discount + LEAST_COUNT
    kept = counts > least
    if not kept.any():
        kept[grown.counts.argmax()] = True
    return Grown(grown.centers[kept], np.maximum(counts[kept], least), grown.beta)


def spreads(values):
    """How far values of each column are from its middle: half of those that differ.

    Values are rows of a block, NaN where missing; 0 where a column is constant.
    """
    return _medians(_differences(values))


def strays(values):
    """Which rows are no data: far beyond the spread of the others, in some column.

    None are, if they are most of the rows or all that is seen of a column. Copies of a
    row count once.
    """
    values, copies = distinct(values)
    differences = _differences(values)
    spread = _medians(differences)
    with np.errstate(invalid="ignore", over="ignore"):
        found = (differences > FAR * spread).any(axis=1)
    others = ~np.isnan(values[~found])
    few = 2 * np.count_nonzero(found) < len(found) and others.any(axis=0).all()
    return (found & few)[copies]


def learned_weights(rows, weights, most):
    """What rows of a buffer weigh in a fit: all, but for strays and repeated rows.

    Strays weigh nothing. A row that came many times, as from an idle sensor, weighs
    about `most`, or a few times the mean: more would tell that clusters have no width.
    It is a power of two, with which the mean of copies of a row is that row.
    """
    learned, used = np.zeros(len(weights)), weights > 0
    _, copies = distinct(rows[used])
    totals = np.bincount(copies, weights[used])
    most = power_of_two(max(most, REPEATED * totals.mean()))
    first = np.unique(copies, return_index=True)[1]
    some = np.where((totals > most)[copies], 0.0, weights[used])
    some[first[totals > most]] = most
    learned[used] = np.where(strays(rows[used]), 0.0, some)
    return learned


def power_of_two(number):
    """The largest one that is not more than a number."""
    return 2.0 ** floor(log2(number))


def far_rows(X, middle, centers, spread):
    """Which rows are no data: far beyond `spread` from a middle and all centers.

    Constant columns do not matter, unless all are: then what differs is far.
    """
    eps = np.finfo(X.dtype).eps
    limit = FAR * spread
    limit = np.where(limit > 0, limit, np.inf if limit.any() else 0.0)
    found = np.ones(len(X), bool)
    for center in [middle, *centers]:
        near = np.abs(X[found] - center) > limit + 8 * eps * np.abs(center)
        found[found] = near.any(axis=1)
        if not found.any():
            break
    return found


def distinct(values):
    """Distinct rows, NaN where missing, and the index that each row has there.

    They are in canonical order.
    """
    _, first, copies = np.unique(
        np.where(np.isnan(values), np.inf, values),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    return values[first], copies.ravel()


def strangeness(before, rows, is_strange):
    """The part of recent distinct rows that is strange, after a batch."""
    copies = distinct(rows)[1]
    part = is_strange[np.unique(copies, return_index=True)[1]]
    kept = exp(-len(part) / RECENT_ROWS)
    return kept * before + (1 - kept) * part.mean()


def _differences(values):
    """Distances from the middle value of each column."""
    return np.abs(values - _medians(np.asarray(values, np.float64), least=-np.inf))


def _medians(values, least=0.0):
    """The middle one of what is more than `least` in each column; 0 if nothing is."""
    ordered = np.sort(np.where(values > least, values, np.nan), axis=0)
    n_values = np.count_nonzero(~np.isnan(ordered), axis=0)
    middle = np.take_along_axis(ordered, (n_values[None] - 1).clip(0) // 2, axis=0)[0]
    return np.where(n_values > 0, middle, 0.0)


def follow(rows, grown, model, by_flow, random_state=None):
    """Seat the rows of a batch, in canonical order; then merge memories it made.

    Rows of the batch may change seats in further passes, since the first see memories
    that later ones have not yet come to; earlier rows stay. Counts and sums are exact.
    A new memory is merged with another where that gains; two old ones are left alone,
    as soft memories may overlap more than seats can tell. Beta follows the scatter
    about the memories.

    A row with missing values is seated as its likeliest memory completes it.
    New kinds of such rows are found by the soft path first: filled as old memories
    expect them they would not look alike.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
        About the base mean, in float64.
    grown : Grown
        Centers about the base mean.
    model : Nonparametric
    by_flow : bool
        Whether a row makes a memory where its state flows to the base measure.
    random_state : RandomState
        For rows with missing values.

    Returns
    -------
    Seated
    """

    def fill(rows):
        now = with_new_kinds(rows, grown, model, random_state)
        return rows.filled_by(model.memories(now))

    return _seat(rows.filled(fill), grown, model, by_flow)


def with_new_kinds(rows, grown, model, random_state):
    """The memories, and those that the soft path finds in rows novel to them."""
    memories = rows.in_features(model.memories(grown))
    origin, metric = np.zeros(len(rows.offset)), None
    if rows.root is not None:
        metric = LearnedMetric(np.ones(len(rows.root)), None, rows.root)
    both = Network(memories, metric, origin, rows.device).with_base(
        origin,
        log(model.restaurant.new_weight(len(grown.counts))),
        model.tempering * model.base_beta(grown.beta),
        model.effective_dimension,
    )
    seen = Missing(rows.features)
    known, new = seen.log_evidence(both.known), seen.log_evidence(both.base)
    novel = (new > known) & ~np.isnan(rows.features).all(axis=1)
    if not novel.any():
        return grown
    strange = rows.drawn(novel, rows.weights[novel]).filled_by_each_other()
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
    old_names = np.arange(n_old)
    for _ in range(PASSES):
        roomy = tables.with_room(len(labels))
        moved = seat(rows, seat_model, labels, roomy)
        tables, labels = roomy.live(labels)
        is_new = np.arange(len(tables.counts)) >= n_old
        tables, names = merge_all(evidence, tables, grown.beta, movable=is_new)
        labels, old_names = names[labels], names[old_names]
        if not moved:
            break
    centers = tables.sums / tables.counts[:, None]
    squares = np.square(rows.values - centers[labels]).sum(axis=1)
    outlying = squares > OUTLYING * 0.5 * model.n_features / grown.beta
    beta = grown.beta
    if model.beta is None:
        weights = np.where(outlying, 0.0, rows.weights)
        beta = _followed_beta(rows, weights, labels, old_names, grown, model)
    after = Grown(centers, tables.counts, beta)
    is_strange = outlying | (tables.members[labels] == 1)
    return Seated(*_without_forgotten(after, labels, old_names, model), is_strange)


def _followed_beta(rows, weights, labels, old_names, grown, model):
    """Inverse temperature for the scatter about the memories, old and new.

    A row gives as many degrees of freedom as it has features that are seen, but the
    first of a new memory none, and less where an old one is nearly forgotten. Rows that
    tell nothing have a weight of 0 here.
    """
    points = np.vstack([grown.centers, rows.values])
    all_weights = np.append(grown.counts, weights)
    names = np.append(old_names, labels)
    both = DistinctRows(points, all_weights, None)
    tables = Tables.count(both, names, names.max() + 1)
    means = tables.sums / np.where(tables.counts > 0, tables.counts, 1)[:, None]
    squares = all_weights @ np.square(points - means[names]).sum(axis=1)

    old_counts = np.bincount(old_names, grown.counts, len(means))
    gained = np.bincount(labels, weights * rows.seen_part, len(means))
    gained = np.maximum(gained - np.maximum(1 - old_counts, 0), 0).sum()

    mean_square = 0.5 * model.n_features / grown.beta
    scatter = model.scatter(grown.beta, grown.counts.sum(), len(grown.counts))
    freedom = scatter / mean_square + gained
    least = np.finfo(np.float64).eps / model.base_precision
    return 0.5 / max((scatter + squares) / (model.n_features * freedom), least)


def _without_forgotten(grown, labels, old_names, model):
    """Without an old memory that is forgotten, and that no row has come to."""
    least = model.restaurant.discount + LEAST_COUNT
    kept = np.ones(len(grown.counts), bool)
    kept[old_names] = grown.counts[old_names] > least
    if kept.all() or not kept.any():
        return grown, labels
    names = np.cumsum(kept) - 1
    return Grown(grown.centers[kept], grown.counts[kept], grown.beta), names[labels]
