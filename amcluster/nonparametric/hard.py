"""CLAM+CRP with hard assignments: the collapsed objective, and how it is lowered.

Centers are integrated out, so the objective is a function of the partition: of each
memory's count n and sum S of rows. Sweeps move single rows, and make and drop memories;
closed-form merges and two-means splits move many rows at once.
"""

from math import log
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from ..kernels import target
from ..learning.seeding import k_means
from .model import Grown, Outcome
from .soft import most_memories

# The best inverse temperature is within this factor, in logs, of the unbiased one.
BRACKET = 2.0
# Rows are seated in blocks of about BLOCK_WORK, counted in features of memories that a
# row is compared with. Each row adds as much work as SEAT_WORK memories, and where its
# state flows it is compared FLOW_WORK times.
BLOCK_WORK = 10_000_000
SEAT_WORK, FLOW_WORK = 30, 30
# Least variance within memories, in units of the variance of the data.
LEAST = float(np.finfo(np.float64).eps)


class SeatModel(NamedTuple):
    """The model as the kernel `seat` takes it: numbers only."""

    beta: float
    base_precision: float
    tempering: float
    effective_dimension: float
    misfit: float
    concentration: float
    discount: float
    by_flow: bool


class Tables(NamedTuple):
    """What is kept of the rows of each memory."""

    counts: np.ndarray  # (n_memories,) weight
    members: np.ndarray  # (n_memories,) number of distinct rows
    sums: np.ndarray  # (n_memories, n_features) weighted sum of rows, about base mean

    @classmethod
    def count(cls, rows, labels, n_memories):
        """The tables of a partition."""
        weights = rows.weights
        sums = np.zeros((n_memories, rows.values.shape[1]))
        np.add.at(sums, labels, rows.values * weights[:, None])
        return cls(
            np.bincount(labels, weights, n_memories),
            np.bincount(labels, minlength=n_memories),
            sums,
        )

    def with_room(self, n_more):
        """Copies with free slots at the end."""
        return Tables(
            np.append(self.counts, np.zeros(n_more)),
            np.append(self.members, np.zeros(n_more, self.members.dtype)),
            np.vstack([self.sums, np.zeros((n_more, self.sums.shape[1]))]),
        )

    def merged(self, first, last):
        """With the rows of the last of two memories given to the first."""
        tables = []
        for array in self:
            joined = array.copy()
            joined[first] += joined[last]
            tables.append(np.delete(joined, last, axis=0))
        return Tables(*tables)

    def live(self, labels):
        """Without free slots, and the labels in these tables."""
        is_live = self.members > 0
        names = np.cumsum(is_live) - 1
        return Tables(*(array[is_live] for array in self)), names[labels]

    @property
    def squares(self):
        """|S|^2 of each memory."""
        return np.square(self.sums).sum(axis=1)


class Collapsed:
    """The collapsed log evidence L of a partition.

    ::

        L = sum_k [t (D / (2 w) log(rho / (rho + n beta)) + beta^2 |S|^2 / (rho + n
            beta)) + lnGamma(n - d) - lnGamma(1 - d)] + sum_{0<i<K} ln(alpha + i d) / w
            + t (N D / 2 log(beta / pi) - beta Q) - lnGamma(alpha + N) + lnGamma(
            alpha + 1)

    with t = effective_dimension / D, w the misfit and Q the sum of squares. For t = w =
    1 it is the log probability of the rows and their partition, the product of the
    sequential predictives in any order.

    Parameters
    ----------
    model : Nonparametric
    total_weight : float
        N.
    total_squares : float
        Q.
    seen_weight : float
        The weight of what was seen, in rows, which is N of ND / 2; missing values that
        were filled say nothing of beta.
    """

    def __init__(self, model, total_weight, total_squares, seen_weight):
        self.model = model
        self.total_weight = total_weight
        self.total_squares = total_squares
        self.seen_weight = seen_weight

    def value(self, tables, beta):
        """L."""
        restaurant, n_memories = self.model.restaurant, len(tables.counts)
        likelihood = self.memories(tables.counts, tables.squares, beta).sum()
        prior = restaurant.log_tables(n_memories) / self.model.misfit
        prior += restaurant.log_total(self.total_weight)
        return likelihood + prior + self._rest(beta)

    def memories(self, counts, squares, beta):
        """The terms of L that belong to each memory."""
        model = self.model
        precision = model.base_precision + counts * beta
        fit = model.tempering * beta**2 * squares / precision
        spread = np.log(precision / model.base_precision) / model.misfit
        sizes = model.restaurant.log_sizes(counts)
        return fit - model.effective_dimension / 2 * spread + sizes

    def merge_gains(self, tables, beta):
        """What L gains by merging each pair of memories (n_memories, n_memories)."""
        counts, squares, model = tables.counts, tables.squares, self.model
        alone = self.memories(counts, squares, beta)
        both = squares[:, None] + squares + 2 * tables.sums @ tables.sums.T
        together = self.memories(counts[:, None] + counts, both, beta)
        last = log(model.restaurant.new_weight(len(counts) - 1))
        return together - alone[:, None] - alone - last / model.misfit

    def restricted_beta(self, tables):
        """The inverse temperature that maximises the evidence of the exact model.

        Restricted maximum likelihood: centers are integrated out; tempering and misfit
        are left out. The search is about the unbiased estimate.
        """
        model = self.model
        counts, squares = tables.counts, tables.squares
        scatter = self.total_squares - (squares / counts).sum()
        guess = model.fitted_beta(scatter, self.seen_weight, len(counts), LEAST)
        if model.beta is not None:
            return guess
        exact = model._replace(effective_dimension=float(model.n_features), misfit=1.0)
        exact = Collapsed(
            exact, self.total_weight, self.total_squares, self.seen_weight
        )

        def loss(log_beta):
            return -exact.value(tables, np.exp(log_beta))

        bounds = log(guess) - BRACKET, log(guess) + BRACKET
        return np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)

    def seat_model(self, beta, by_flow):
        """The model for the kernel."""
        model = self.model
        return SeatModel(
            beta=float(beta),
            base_precision=float(model.base_precision),
            tempering=float(model.tempering),
            effective_dimension=float(model.effective_dimension),
            misfit=float(model.misfit),
            concentration=float(model.restaurant.concentration),
            discount=float(model.restaurant.discount),
            by_flow=bool(by_flow),
        )

    def _rest(self, beta):
        """The terms of L that do not depend on the partition."""
        model = self.model
        half = self.seen_weight * model.effective_dimension / 2
        fit = model.tempering * beta * self.total_squares
        return half * log(beta / np.pi) - fit


class Run(NamedTuple):
    """Where a start has come to."""

    history: list  # -L / N at the start and after each round
    labels: np.ndarray  # (n_rows,)
    tables: Tables
    beta: float

    @property
    def grown(self):
        """Its memories, at the means of their rows."""
        counts = self.tables.counts
        return Grown(self.tables.sums / counts[:, None], counts, self.beta)


def first_numbers(total_weight, n_rows):
    """Numbers of memories to start from: 1, 2, 4, ... up to what rows can carry."""
    return [2**i for i in range(most_memories(total_weight, n_rows).bit_length())]


def lower(collapsed, rows, random_state, n_memories, watch, *, by_flow, max_iter, tol):
    """Lower -L / N from a k-means partition, in rounds, until one gains too little.

    A round is a sweep over the rows, then all merges that pay, then, if the sweep moved
    nothing, all splits that pay, then a better inverse temperature.

    Parameters
    ----------
    collapsed : Collapsed
    rows : DistinctRows or FilledRows
        In float64.
    random_state : RandomState
    n_memories : int
        To start from.
    watch : callable
        ``watch(n_rounds, objective, grown)`` is called for each round and may return
        True to stop.
    by_flow : bool
        Whether a row makes a memory where its state flows to the base measure. Such a
        sweep may lose; it is then not taken, and the run ends.
    max_iter : int
        Most rounds.
    tol : float
        Least gain of a round, in nats per row and feature.

    Returns
    -------
    Outcome
    """
    labels = k_means(rows.whole, n_memories, random_state).labels.astype(np.int64)
    labels, tables = _recount(rows, labels)
    beta = collapsed.restricted_beta(tables)
    run = Run([_loss(collapsed, tables, beta)], labels, tables, beta)
    while len(run.history) <= max_iter:
        if watch(len(run.history), run.history[-1], run.grown):
            break
        following = _round(collapsed, rows, run, random_state, by_flow)
        gain = run.history[-1] - following.history[-1]
        if gain < 0:
            break
        settled = np.array_equal(run.labels, following.labels)
        run = following
        if settled and gain <= tol * rows.values.shape[1]:
            break
    tried = [(len(run.tables.counts), run.history[-1])]
    return Outcome(run.grown, run.history, tried)


def _round(collapsed, rows, run, random_state, by_flow):
    labels, beta = run.labels.copy(), run.beta
    tables = run.tables.with_room(len(rows.values))
    seat_model = collapsed.seat_model(beta, by_flow)
    moved = seat(rows, seat_model, labels, tables)
    labels, tables = _recount(rows, labels)
    tables, names = merge_all(collapsed, tables, beta)
    labels = names[labels]
    if not moved:
        labels, tables = split_all(collapsed, rows, labels, tables, beta, random_state)
    loss = _loss(collapsed, tables, beta)
    better = collapsed.restricted_beta(tables)
    if _loss(collapsed, tables, better) < loss:
        beta, loss = better, _loss(collapsed, tables, better)
    return Run([*run.history, loss], labels, tables, beta)


def seat(rows, seat_model, labels, tables):
    """Seat all rows, in order, by the kernel; returns how many labels changed.

    It is called for some rows at a time, since nothing interrupts it.
    """
    moved, start, n_features = 0, 0, rows.values.shape[1]
    while start < len(labels):
        n_used = int(np.flatnonzero(tables.counts).max(initial=-1)) + 1
        work = (n_used + SEAT_WORK) * n_features
        work *= FLOW_WORK if seat_model.by_flow else 1
        stop = min(start + max(1, BLOCK_WORK // work), len(labels))
        slots = n_used + stop - start
        moved += target("cpu").seat(
            rows.values[start:stop],
            rows.weights[start:stop],
            seat_model,
            labels[start:stop],
            tuple(array[:slots] for array in tables),
        )
        start = stop
    return moved


def merge_all(collapsed, tables, beta, movable=None):
    """Merge the pair of memories that gains most, while one gains.

    Parameters
    ----------
    collapsed : Collapsed
    tables : Tables
    beta : float
    movable : ndarray of shape (n_memories,), bool, default=None
        A pair needs one of these; None: all pairs may merge.

    Returns
    -------
    tables : Tables
    names : ndarray of shape (n_memories before,)
        The number that each memory has now.
    """
    names = np.arange(len(tables.counts))
    movable = np.ones(len(names), bool) if movable is None else movable
    while len(tables.counts) > 1:
        gains = np.tril(collapsed.merge_gains(tables, beta), -1)
        gains = np.where(movable[:, None] | movable, gains, 0)
        last, first = np.unravel_index(gains.argmax(), gains.shape)
        if gains[last, first] <= 0:
            break
        tables = tables.merged(first, last)
        movable = np.delete(movable, last)
        names[names == last] = first
        names[names > last] -= 1
    return tables, names


def split_all(collapsed, rows, labels, tables, beta, random_state):
    """Split in two, by k-means, every memory where that gains."""
    model, n_memories = collapsed.model, len(tables.counts)
    for k in range(n_memories):
        inside = np.flatnonzero(labels == k)
        halves = _halves(rows, inside, random_state)
        if halves is None:
            continue
        parts = Tables.count(*halves, 2)
        if parts.counts.min() <= model.restaurant.discount:
            continue
        one = Tables.count(halves[0], np.zeros(len(inside), int), 1)
        gain = collapsed.memories(parts.counts, parts.squares, beta).sum()
        gain -= collapsed.memories(one.counts, one.squares, beta).sum()
        gain += log(model.restaurant.new_weight(n_memories)) / model.misfit
        if gain > 0:
            labels[inside[halves[1] == 1]] = n_memories
            n_memories += 1
    return labels, Tables.count(rows, labels, n_memories)


def _halves(rows, inside, random_state):
    """The rows of one memory and a partition of them in two; None if they are equal."""
    if len(inside) < 2:
        return None
    part = rows.whole.drawn(inside, rows.weights[inside])
    partition = k_means(part, 2, random_state)
    return (part, partition.labels) if partition.counts.all() else None


def _recount(rows, labels):
    """Labels without gaps, and their tables."""
    live, labels = np.unique(labels, return_inverse=True)
    return labels, Tables.count(rows, labels, len(live))


def _loss(collapsed, tables, beta):
    return -collapsed.value(tables, beta) / collapsed.total_weight
