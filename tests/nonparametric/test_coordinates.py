"""Rows with holes in the coordinates of a fit, against textbook formulas."""

import numpy as np
import pytest
from scipy.special import logsumexp

from amcluster.kernels import Memories
from amcluster.nonparametric.coordinates import FilledRows, filled_rows
from amcluster.nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from amcluster.nonparametric.soft import SoftObjective
from amcluster.rows.complete import DistinctRows
from amcluster.rows.distinct import distinct_rows
from amcluster.rows.missing import DistinctRowsWithMissing
from amcluster.spaces.metric import LearnedMetric

from ..kernels.cases import random_roots
from ..kernels.test_shaped_missing import EStep as EStepInShapes
from ..reference import EStepWithHoles

N_ROWS, N_FEATURES = 40, 4
metrics = pytest.mark.parametrize("learned", [False, True])


def holed_rows(learned, rate=0.3, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N_ROWS, N_FEATURES)) + 2 * rng.integers(
        0, 2, (N_ROWS, 1)
    )
    features[rng.random(features.shape) < rate] = np.nan
    root = rng.normal(size=(N_FEATURES, N_FEATURES)) + 2 * np.eye(N_FEATURES)
    root = root if learned else None
    values = np.nan_to_num(features) @ (root if learned else np.eye(N_FEATURES))
    weights = rng.integers(1, 4, N_ROWS).astype(float)
    offset = np.zeros(N_FEATURES)
    return FilledRows(
        DistinctRows(values, weights, offset),
        DistinctRowsWithMissing(features, weights, offset),
        root,
    )


def memories_and_reference(rows):
    rng = np.random.default_rng(1)
    mu, log_w = rng.normal(size=(3, N_FEATURES)) + 1, np.log([0.2, 0.3, 0.5])
    root = np.eye(N_FEATURES) if rows.root is None else rows.root
    reference = EStepWithHoles(
        rows.features, rows.weights, mu, log_w, 0.7, root @ root.T
    )
    return Memories(mu @ root, log_w, 0.7), mu, root, reference


@metrics
def test_expectation_is_of_marginals(learned):
    rows = holed_rows(learned)
    memories, _, root, reference = memories_and_reference(rows)
    statistics = rows.expectation(memories)
    np.testing.assert_allclose(statistics.evidence, reference.evidence)
    np.testing.assert_allclose(statistics.counts, reference.counts)
    np.testing.assert_allclose(statistics.irls, reference.counts)
    np.testing.assert_allclose(statistics.sums, reference.sums @ root)
    np.testing.assert_allclose(statistics.squares, reference.squares)
    np.testing.assert_array_equal(
        rows.labels(memories), reference.logits.argmax(axis=1)
    )


@metrics
def test_memories_with_roots(learned):
    """Moments are in coordinates, as those of complete rows."""
    rows = holed_rows(learned)
    memories, mu, root, _ = memories_and_reference(rows)
    memories = memories._replace(roots=random_roots(3, N_FEATURES))
    inside = memories.astype(float)._replace(centers=mu)
    expected = EStepInShapes(rows.features, rows.weights, inside, root @ memories.roots)
    statistics = rows.expectation(memories)
    evidence, counts, irls, sums, squares, moments = expected.sums
    np.testing.assert_allclose(
        statistics.evidence,
        evidence - rows.weights.sum() * np.log(abs(np.linalg.det(root))),
    )
    np.testing.assert_allclose(statistics.counts, counts)
    np.testing.assert_allclose(statistics.irls, irls)
    np.testing.assert_allclose(statistics.sums, sums @ root)
    np.testing.assert_allclose(statistics.squares, squares)
    np.testing.assert_allclose(statistics.moment, root.T @ moments @ root)
    labels = expected.logits.argmax(axis=1)
    np.testing.assert_array_equal(rows.labels(memories), labels)
    pairs = zip(labels, rows.features, strict=True)
    filled = np.array([expected.meet(k, x)[3] for k, x in pairs])
    np.testing.assert_allclose(rows.filled_by(memories).values, filled @ root)


@metrics
def test_complete_rows_and_memories_with_roots(learned):
    rows = holed_rows(learned, rate=0)
    memories, *_ = memories_and_reference(rows)
    memories = memories._replace(roots=random_roots(3, N_FEATURES))
    found, expected = rows.expectation(memories), rows.whole.expectation(memories)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    labels = rows.whole.labels(memories)
    np.testing.assert_array_equal(rows.labels(memories), labels)


@metrics
def test_without_holes_they_are_rows(learned):
    rows = holed_rows(learned, rate=0)
    memories, *_ = memories_and_reference(rows)
    whole = rows.whole
    found, expected = rows.expectation(memories), whole.expectation(memories)
    for name in ("weight", "evidence", "counts", "irls", "sums", "squares"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(rows.labels(memories), whole.labels(memories))
    assert rows.seen_weight == whole.seen_weight == rows.weights.sum()


@metrics
def test_holes_are_filled_by_the_likeliest_memory(learned):
    rows = holed_rows(learned)
    memories, mu, root, reference = memories_and_reference(rows)
    filled = rows.filled_by(memories).values @ np.linalg.inv(root)
    sigma = np.linalg.inv(root @ root.T)
    for x, y, k in zip(
        rows.features, filled, reference.logits.argmax(axis=1), strict=True
    ):
        seen, hidden = ~np.isnan(x), np.isnan(x)
        np.testing.assert_allclose(y[seen], x[seen])
        regression = sigma[np.ix_(hidden, seen)] @ np.linalg.inv(
            sigma[np.ix_(seen, seen)]
        )
        expected = mu[k, hidden] + regression @ (x - mu[k])[seen]
        np.testing.assert_allclose(y[hidden], expected, atol=1e-9)


def test_holes_stay_holes_where_coordinates_are_features():
    X = holed_rows(learned=False).features
    X[:, 1] = np.where(np.isnan(X[:, 1]), np.nan, 3.0)
    rows = filled_rows(distinct_rows(X, np.ones(N_ROWS)))
    kept = [0, 2, 3]
    metric = LearnedMetric(np.full(N_FEATURES, 0.5), np.eye(N_FEATURES)[:, kept])
    inside = rows.in_coordinates(metric)
    assert inside.root is None
    np.testing.assert_array_equal(inside.features, 2 * rows.features[:, kept])
    np.testing.assert_array_equal(inside.values, 2 * rows.values[:, kept])
    mixed = rows.in_coordinates(
        metric._replace(units=np.ones(N_FEATURES), root=np.tri(3))
    )
    np.testing.assert_array_equal(mixed.root, np.tri(3))
    np.testing.assert_array_equal(mixed.features, rows.features[:, kept])
    some = mixed.drawn([3, 5], np.array([1.0, 7.0]))
    np.testing.assert_array_equal(some.features, mixed.features[[3, 5]])
    np.testing.assert_array_equal(some.values, mixed.values[[3, 5]])
    n_seen = np.count_nonzero(~np.isnan(some.features), axis=1)
    assert some.seen_weight == pytest.approx(some.weights @ n_seen / 3)


@metrics
def test_soft_objective_with_holes_is_as_documented(learned):
    rows = holed_rows(learned)
    model = Nonparametric(ChineseRestaurant(0.1, 0.0), N_FEATURES, 2.5, 0.6, 0.3)
    memories, _, _, _ = memories_and_reference(rows)
    total, beta = rows.total_weight, 0.7
    counts = total * np.exp(memories.log_weights)
    grown = Grown(memories.centers, counts, beta)
    found = SoftObjective(rows, model, tol=0.0).value(grown)

    root = np.eye(N_FEATURES) if rows.root is None else rows.root
    centers = memories.centers @ np.linalg.inv(root)
    sigma = np.linalg.inv(root @ root.T)
    evidence = entropy = 0.0
    for x, weight in zip(rows.features, rows.weights, strict=True):
        seen = ~np.isnan(x)
        away = x[seen] - centers[:, seen]
        inverse = np.linalg.inv(sigma[np.ix_(seen, seen)])
        squares = np.einsum("kd,de,ke->k", away, inverse, away)
        log_densities = seen.sum() / 2 * np.log(beta / np.pi) - beta * squares
        joint = memories.log_weights + model.tempering * log_densities
        log_r = joint - logsumexp(joint)
        evidence += weight * logsumexp(joint)
        entropy -= weight * np.exp(log_r) @ log_r
    part = np.average(~np.isnan(rows.features), axis=0, weights=rows.weights).mean()
    cost = 2.5 / 2 * np.log1p(part * counts * beta / 0.3).sum()
    cost += 3 / 2 * np.log(total) - 2 * np.log(0.1)
    expected = (cost / 0.6 + 0.4 * entropy - evidence) / total
    np.testing.assert_allclose(found, expected)


@metrics
@pytest.mark.parametrize("beta", [None, 0.5])
def test_settling_with_holes_never_lowers_the_evidence(learned, beta):
    """Of given beta, or of that which fits what is seen best."""
    rows = holed_rows(learned)
    model = Nonparametric(
        ChineseRestaurant(0.1, 0.0), N_FEATURES, float(N_FEATURES), 1.0, 0.3, beta
    )
    memories, *_ = memories_and_reference(rows)
    objective = SoftObjective(rows, model, tol=0.0)
    objective._cost = lambda grown: 0.0
    if beta is None:  # the biased estimate, which EM's is
        n_values = objective.seen * N_FEATURES
        objective._beta = lambda scatter, _: 0.5 * n_values / scatter
    grown = Grown(memories.centers, rows.total_weight * np.full(3, 1 / 3), 0.5)
    values = []
    for _ in range(20):
        values.append(objective.value(grown))
        grown = objective.settle(grown, 1)
    assert np.diff(values).max() <= 1e-12
    assert values[-1] < values[0] - 0.01
