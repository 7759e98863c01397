"""The restaurant prior and the collapsed objective against their definitions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln, log_softmax, logsumexp
from scipy.stats import multivariate_normal

from amcluster.kernels import Memories, target
from amcluster.kernels.cpu.crp import flows_to_base
from amcluster.network import Network
from amcluster.nonparametric import hard
from amcluster.nonparametric.hard import Collapsed, Tables, lower, merge_all, split_all
from amcluster.nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from amcluster.nonparametric.soft import SoftObjective
from amcluster.nonparametric.stream import follow
from amcluster.rows.complete import Complete, DistinctRows

from .. import reference

seeds = st.integers(0, 2**31)
priors = st.builds(
    lambda d, more: ChineseRestaurant(more - d, d),
    st.sampled_from([0.0, 0.3, 0.8]),
    st.floats(0.01, 5.0),
)


def never(*_):
    return False


@st.composite
def partitions(draw, *, misfit=True, weighted=False):
    """Rows, labels without gaps, and a model, exact or tempered."""
    rng = np.random.default_rng(draw(seeds))
    n_rows, n_features = rng.integers(2, 15), rng.integers(1, 4)
    X = rng.normal(size=(n_rows, n_features))
    labels = np.unique(rng.integers(0, rng.integers(1, 6), n_rows), return_inverse=True)
    dimension, divisor = float(n_features), 1.0
    if misfit and draw(st.booleans()):
        dimension, divisor = rng.uniform(0.5, n_features), rng.uniform(0.1, 1)
    prior, rho = draw(priors), rng.uniform(0.1, 2)
    model = Nonparametric(prior, n_features, dimension, divisor, rho)
    weights = rng.integers(1, 4, n_rows).astype(float) if weighted else np.ones(n_rows)
    return DistinctRows(X, weights, np.zeros(n_features)), labels[1], model


def collapsed_of(rows, model):
    squares = rows.weights @ np.square(rows.values).sum(axis=1)
    return Collapsed(model, rows.total_weight, squares, rows.seen_weight)


def value(rows, labels, model, beta):
    labels = np.unique(labels, return_inverse=True)[1]
    tables = Tables.count(rows, labels, labels.max() + 1)
    return collapsed_of(rows, model).value(tables, beta)


# The prior


@pytest.mark.parametrize(("alpha", "d"), [(1.5, 0.0), (0.5, 0.4), (-0.2, 0.5)])
def test_expected_number_of_tables(alpha, d):
    total, n_runs = 40, 1000
    prior, rng = ChineseRestaurant(alpha, d), np.random.default_rng(0)
    found = np.empty(n_runs)
    for run in range(n_runs):
        counts = np.ones(1)
        for _ in range(total - 1):
            weights = np.append(counts - d, prior.new_weight(len(counts)))
            table = rng.choice(len(weights), p=weights / weights.sum())
            counts = np.append(counts, 0) if table == len(counts) else counts
            counts[table] += 1
        found[run] = len(counts)
    if d == 0:
        expected = alpha * (digamma(alpha + total) - digamma(alpha))
    else:
        ratio = gammaln(alpha + d + total) + gammaln(alpha + 1)
        ratio -= gammaln(alpha + d) + gammaln(alpha + total)
        expected = np.exp(ratio) / d - alpha / d
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(n_runs)


@pytest.mark.parametrize(("alpha", "d"), [(1.5, 0.0), (0.5, 0.4), (-0.2, 0.5)])
def test_probabilities_of_all_partitions_sum_to_one(alpha, d):
    prior = ChineseRestaurant(alpha, d)
    partitions = {(0,)}
    for _ in range(5):  # restricted growth strings: every partition of six rows
        partitions = {(*p, k) for p in partitions for k in range(max(p) + 2)}
    total = 0.0
    for partition in partitions:
        counts = np.bincount(partition)
        log_p = prior.log_sizes(counts).sum() + prior.log_tables(len(counts))
        total += np.exp(log_p + prior.log_total(6))
    np.testing.assert_allclose(total, 1)


# The soft objective


@given(partitions(), st.floats(0.1, 5), seeds)
def test_soft_objective_is_as_documented(partition, beta, seed):
    """From its terms: log evidence, entropy, and the cost of each memory."""
    rows, labels, model = partition
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2, len(labels))
    total, n_memories = weights.sum(), labels.max() + 1
    (alpha, d), rho = model.restaurant, model.base_precision
    counts = rng.dirichlet(np.full(n_memories, 5.0)) * total
    centers = rng.normal(size=(n_memories, model.n_features))

    squares = np.square(rows.values[:, None] - centers).sum(axis=2)
    joint = model.effective_dimension / 2 * np.log(beta / np.pi)
    joint = joint + np.log(counts / total) - model.tempering * beta * squares
    evidence = weights @ logsumexp(joint, axis=1)
    log_r = log_softmax(joint, axis=1)
    entropy = -weights @ (np.exp(log_r) * log_r).sum(axis=1)
    cost = model.effective_dimension / 2 * np.log1p(counts * beta / rho).sum()
    cost += n_memories / 2 * np.log(total) + d * np.log(counts).sum()
    cost += n_memories * gammaln(1 - d)
    cost -= sum(np.log(alpha + d * i) for i in range(1, n_memories))
    misfit = model.misfit
    expected = (cost / misfit + (1 - misfit) * entropy - evidence) / total

    objective = SoftObjective(rows._replace(weights=weights), model, tol=0.0)
    found = objective.value(Grown(centers, counts, beta))
    np.testing.assert_allclose(found, expected)


# The collapsed objective


@given(partitions(misfit=False), st.floats(0.1, 5), seeds)
def test_objective_is_the_product_of_predictives_in_any_order(partition, beta, seed):
    rows, labels, model = partition
    order = np.random.default_rng(seed).permutation(len(labels))
    prior, rho = model.restaurant, model.base_precision
    expected = reference.log_joint(
        rows.values[order],
        labels[order],
        prior.concentration,
        prior.discount,
        beta,
        rho,
    )
    np.testing.assert_allclose(value(rows, labels, model, beta), expected)


def test_objective_of_one_memory_is_a_normal_density():
    rng = np.random.default_rng(0)
    X, beta, rho = rng.normal(size=(5, 1)), 0.8, 0.3
    model = Nonparametric(ChineseRestaurant(1.0, 0.0), 1, 1.0, 1.0, rho)
    rows = DistinctRows(X, np.ones(5), np.zeros(1))
    covariance = np.full((5, 5), 0.5 / rho) + 0.5 / beta * np.eye(5)
    expected = multivariate_normal(np.zeros(5), covariance).logpdf(X[:, 0])
    expected += gammaln(5) - gammaln(6)  # all at one table, with concentration 1
    np.testing.assert_allclose(value(rows, np.zeros(5, int), model, beta), expected)


@given(partitions(), st.floats(0.1, 5))
def test_merge_gains_are_differences(partition, beta):
    rows, labels, model = partition
    assume(labels.max() > 0)
    tables = Tables.count(rows, labels, labels.max() + 1)
    gains = collapsed_of(rows, model).merge_gains(tables, beta)
    before = value(rows, labels, model, beta)
    for a in range(labels.max() + 1):
        for b in range(a):
            after = value(rows, np.where(labels == a, b, labels), model, beta)
            np.testing.assert_allclose(gains[a, b], after - before, atol=1e-8)


@given(partitions(), st.floats(0.1, 5))
def test_merges_and_splits_never_lose(partition, beta):
    rows, labels, model = partition
    collapsed = collapsed_of(rows, model)
    tables = Tables.count(rows, labels, labels.max() + 1)
    merged, names = merge_all(collapsed, tables, beta)
    at_start = value(rows, labels, model, beta)
    after_merges = value(rows, names[labels], model, beta)
    assert after_merges >= at_start - 1e-9
    recounted = Tables.count(rows, names[labels], len(merged.counts))
    for kept, counted in zip(merged, recounted, strict=True):
        np.testing.assert_allclose(kept, counted, atol=1e-10)

    split, split_tables = split_all(
        collapsed, rows, labels.copy(), tables, beta, np.random.RandomState(0)
    )
    assert value(rows, split, model, beta) >= at_start - 1e-9
    np.testing.assert_array_equal(
        split_tables.counts, np.bincount(split, minlength=len(split_tables.counts))
    )


def test_splits_separate_two_clusters():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-4, 1, (20, 1)), rng.normal(4, 1, (20, 1))])
    rows = DistinctRows(X, np.ones(40), np.zeros(1))
    model = Nonparametric(ChineseRestaurant(1e-3, 0.0), 1, 1.0, 1.0, 0.03)
    labels = np.zeros(40, int)
    tables = Tables.count(rows, labels, 1)
    labels, tables = split_all(
        collapsed_of(rows, model),
        rows,
        labels,
        tables,
        0.5,
        np.random.RandomState(0),
    )
    assert len(tables.counts) == 2
    assert len(set(labels[:20])) == len(set(labels[20:])) == 1


@given(partitions(weighted=True), st.floats(0.1, 5), st.booleans())
@settings(max_examples=100)
def test_a_sweep_takes_the_best_seat_for_each_row(partition, beta, arriving):
    """Against the objective, computed anew for every seat that a row could take."""
    rows, labels, model = partition
    expected = np.full(len(labels), -1) if arriving else labels.copy()
    n_memories = 0 if arriving else labels.max() + 1
    for i in range(len(labels)):
        others = np.delete(np.arange(len(labels)), i)
        others = others[expected[others] >= 0]
        seats = [*np.unique(expected[others]), expected.max() + 1]

        def after(seat, i=i, others=others):
            part = np.append(expected[others], seat)
            chosen = np.append(others, i)
            here = DistinctRows(rows.values[chosen], rows.weights[chosen], rows.offset)
            return value(here, part, model, beta)

        values = [after(seat) for seat in seats]
        assume(np.ptp(np.sort(values)[-2:]) > 1e-6 or len(values) == 1)
        expected[i] = seats[int(np.argmax(values))]

    found = np.full(len(labels), -1) if arriving else labels.copy()
    empty = Tables(np.zeros(0), np.zeros(0, int), np.zeros((0, rows.values.shape[1])))
    tables = empty if arriving else Tables.count(rows, labels, n_memories)
    tables = tables.with_room(len(labels))
    seat_model = collapsed_of(rows, model).seat_model(beta, by_flow=False)
    target("cpu").seat(rows.values, rows.weights, seat_model, found, tuple(tables))
    np.testing.assert_array_equal(
        *(
            np.unique(x, return_inverse=True)[1]
            for x in map(first_seen, (found, expected))
        )
    )
    recounted = Tables.count(rows, found, len(tables.counts))
    for kept, counted in zip(tables, recounted, strict=True):
        np.testing.assert_allclose(kept, counted, atol=1e-9)


def first_seen(labels):
    """Labels renamed by the first row that has them."""
    return np.array([np.flatnonzero(labels == label)[0] for label in labels])


def test_a_light_row_makes_no_memory():
    """With a discount, every memory needs a weight of more than that."""
    rows = DistinctRows(np.array([[0.0], [9.0]]), np.array([1.0, 0.2]), np.zeros(1))
    model = Nonparametric(ChineseRestaurant(1.0, 0.5), 1, 1.0, 1.0, 0.01)
    empty = Tables(np.zeros(0), np.zeros(0, int), np.zeros((0, 1))).with_room(2)
    labels = np.full(2, -1)
    seat_model = collapsed_of(rows, model).seat_model(2.0, by_flow=False)
    target("cpu").seat(rows.values, rows.weights, seat_model, labels, tuple(empty))
    assert labels.tolist() == [0, 0]
    # Nor does it stay behind when a heavy row leaves.
    tables = Tables.count(rows, labels, 1).with_room(2)
    moved = target("cpu").seat(
        rows.values, rows.weights, seat_model, labels, tuple(tables)
    )
    assert moved == 0
    assert labels.tolist() == [0, 0]
    # Nor is it split off.
    tables = Tables.count(rows, labels, 1)
    labels, _ = split_all(
        collapsed_of(rows, model),
        rows,
        labels,
        tables,
        2.0,
        np.random.RandomState(0),
    )
    assert labels.tolist() == [0, 0]


def network_of(tables, model, beta):
    """Memories at their means, and the base measure as one more."""
    rho, centers = model.base_precision, tables.sums / tables.counts[:, None]
    sizes = np.log(tables.counts - model.restaurant.discount)
    network = Network(Memories(centers, sizes, model.tempering * beta))
    return network.with_base(
        np.zeros(model.n_features),
        np.log(model.restaurant.new_weight(len(centers))),
        model.tempering * beta * rho / (beta + rho),
        model.effective_dimension,
    )


def margins(network, states):
    """How much likelier the base measure is than every memory, in nats."""
    logits = Complete(states).logits(network)
    return logits[:, -1] - logits[:, :-1].max(axis=1)


@given(partitions(), st.floats(0.1, 5))
def test_a_flow_ends_where_the_network_rests(partition, beta):
    rows, labels, model = partition
    tables = Tables.count(rows, labels, labels.max() + 1)
    network, n_tables = network_of(tables, model, beta), len(tables.counts)
    starts = 3 * rows.values
    rest, moving = network.states_at_rest(Complete(starts), 1.0)
    assume(not moving.any())
    margin = margins(network, rest)
    clear = np.abs(margin) > 1e-3
    seat_model = collapsed_of(rows, model).seat_model(beta, by_flow=True)
    found = [
        flows_to_base(x, seat_model, tables.counts, tables.sums, n_tables)
        for x in starts[clear]
    ]
    np.testing.assert_array_equal(found, margin[clear] > 0)


@given(partitions(), st.floats(0.1, 5), st.sampled_from([1e2, 1e4, 1e6]))
def test_a_far_row_flows_straight_until_a_memory_pulls(partition, beta, away):
    """Followed by halving, while the base measure is likelier by far; then as above."""
    rows, labels, model = partition
    tables = Tables.count(rows, labels, labels.max() + 1)
    network, n_tables = network_of(tables, model, beta), len(tables.counts)
    states = away * rows.values
    for _ in range(2000):
        margin = margins(network, states)
        straight = margin > 100
        states[straight] *= 0.98
    rest, moving = network.states_at_rest(Complete(states), 1.0)
    assume(not moving.any())
    margin = margins(network, rest)
    clear = np.abs(margin) > 1e-3
    seat_model = collapsed_of(rows, model).seat_model(beta, by_flow=True)
    found = [
        flows_to_base(x, seat_model, tables.counts, tables.sums, n_tables)
        for x in away * rows.values[clear]
    ]
    np.testing.assert_array_equal(found, margin[clear] > 0)


@given(partitions(weighted=True), st.booleans(), st.floats(0.1, 5))
def test_seating_in_blocks_changes_nothing(partition, by_flow, beta):
    rows, labels, model = partition
    seat_model = collapsed_of(rows, model).seat_model(beta, by_flow)
    seated = []
    for work in (1, 10**9):
        tables = Tables.count(rows, labels, labels.max() + 1).with_room(len(labels))
        found = labels.copy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hard, "BLOCK_WORK", work)
            moved = hard.seat(rows, seat_model, found, tables)
        seated.append((moved, found, *tables))
    for in_blocks, at_once in zip(*seated, strict=True):
        np.testing.assert_array_equal(in_blocks, at_once)


@given(partitions(), st.booleans())
def test_runs_never_rise(partition, by_flow):
    rows, _, model = partition
    outcome = lower(
        collapsed_of(rows, model),
        rows,
        np.random.RandomState(0),
        2,
        never,
        by_flow=by_flow,
        max_iter=20,
        tol=0.0,
    )
    assert (np.diff(outcome.history) <= 0).all()
    np.testing.assert_allclose(outcome.grown.counts.sum(), rows.total_weight)


@given(partitions())
def test_beta_maximises_the_exact_evidence(partition):
    rows, labels, model = partition
    exact = model._replace(effective_dimension=float(model.n_features), misfit=1.0)
    tables = Tables.count(rows, labels, labels.max() + 1)
    squares = np.square(tables.sums).sum(axis=1) / tables.counts
    assume(np.square(rows.values).sum() - squares.sum() > 0.1)
    collapsed = collapsed_of(rows, exact)
    best = collapsed_of(rows, model).restricted_beta(tables)
    there = collapsed.value(tables, best)
    for factor in (0.97, 1.03):
        assert collapsed.value(tables, best * factor) <= there + 1e-6


def test_a_run_stops_when_asked():
    rng = np.random.default_rng(0)
    rows = DistinctRows(rng.normal(size=(50, 2)), np.ones(50), np.zeros(2))
    model = Nonparametric(ChineseRestaurant(1.0, 0.0), 2, 2.0, 1.0)
    lengths = []
    for stop_at in (1, 2, 99):
        outcome = lower(
            collapsed_of(rows, model),
            rows,
            np.random.RandomState(0),
            8,
            lambda n_rounds, *_, stop_at=stop_at: n_rounds == stop_at,
            by_flow=False,
            max_iter=20,
            tol=0.0,
        )
        lengths.append(len(outcome.history))
    assert lengths[:2] == [1, 2]
    assert lengths[2] > 2


# A stream


def test_rows_of_a_batch_change_seats():
    """The first row of the second cluster has no memory to go to yet."""
    rng = np.random.default_rng(0)
    second = np.arange(60) % 2
    X = rng.normal(20.0, 1.0, size=(60, 2)) + np.outer(second, [0.0, 6.0])
    order = X[:, 0].argsort()
    rows = DistinctRows(X[order], np.ones(60), np.zeros(2))
    model = Nonparametric(ChineseRestaurant(1.0, 0.0), 2, 2.0, 1.0, 0.002)
    grown = Grown(np.zeros((1, 2)), np.array([30.0]), 0.5)
    labels = follow(rows, grown, model, by_flow=False).labels
    assert len(set(zip(labels, second[order], strict=True))) == 2


def test_a_batch_leaves_no_merge_that_gains():
    """Single rows cannot always make one memory of two that the first of them made."""
    model = Nonparametric(ChineseRestaurant(1.0, 0.0), 2, 2.0, 1.0, 0.02)
    grown = Grown(np.zeros((1, 2)), np.array([30.0]), 0.5)
    for seed in range(20):
        X = np.random.default_rng(seed).normal(8.5, 2.0, size=(20, 2))
        rows = DistinctRows(X[X[:, 0].argsort()], np.ones(20), np.zeros(2))
        after = follow(rows, grown, model, by_flow=False).grown
        sums = after.centers * after.counts[:, None]
        tables = Tables(after.counts, np.ones(len(sums)), sums)
        gains = collapsed_of(rows, model).merge_gains(tables, grown.beta)
        assert (gains[np.tril_indices(len(gains), -1)] <= 0).all()


def test_a_batch_leaves_overlapping_old_memories_alone():
    model = Nonparametric(ChineseRestaurant(0.1, 0.0), 2, 2.0, 1.0, 0.02)
    centers = np.array([[0.0, 0.0], [0.8, 0.0]])
    grown = Grown(centers, np.array([30.0, 30.0]), 0.5)
    rows = DistinctRows(np.array([[8.0, 8.0]]), np.ones(1), np.zeros(2))
    after = follow(rows, grown, model, by_flow=False).grown
    np.testing.assert_allclose(after.counts, [30, 30, 1])
    np.testing.assert_allclose(after.centers[:2], centers)
