"""Rows of every kind answer the same calls, each in its own way."""

import numpy as np
import pytest

from amcluster.energies import StudentT
from amcluster.execution.select import CPU
from amcluster.kernels import Memories
from amcluster.nonparametric.coordinates import FilledRows
from amcluster.rows.complete import Complete, DistinctRows
from amcluster.rows.distinct import distinct_rows
from amcluster.rows.kinds import by_kind
from amcluster.rows.missing import DistinctRowsWithMissing, Missing

from ..kernels.cases import random_roots
from ..reference import EStepWithHoles

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 3))
HOLED = np.where(rng.random(X.shape) < 0.3, np.nan, X)
WEIGHTS = rng.uniform(0.5, 2, 30)
MEMORIES = Memories(rng.normal(size=(4, 3)), np.log([0.1, 0.2, 0.3, 0.4]), 0.7)
tables = pytest.mark.parametrize("table", [X, HOLED], ids=["complete", "missing"])


def calls(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_kinds_have_the_same_calls():
    assert calls(Complete) == calls(Missing)
    assert calls(DistinctRowsWithMissing) - {"n_seen"} <= calls(DistinctRows)
    of_missing = {"filled_by", "filled_by_each_other", "in_features", "root", "seen"}
    assert calls(FilledRows) - of_missing <= calls(DistinctRows)


@tables
def test_rows_are_of_the_kind_of_their_table(table):
    rows = distinct_rows(table, WEIGHTS)
    kind = DistinctRowsWithMissing if np.isnan(table).any() else DistinctRows
    assert type(rows) is kind
    assert rows.has_missing == np.isnan(table).any()
    device = CPU()
    rows = rows._replace(device=device)
    for some in (
        rows.in_units(2.0),
        rows.drawn([3, 1], np.ones(2)),
        rows.spread_out(9),
    ):
        assert type(some) is kind
        assert some.device is device
    whole = rows.with_values(np.nan_to_num(rows.values))
    assert type(whole) is DistinctRows
    assert whole.device is device


@tables
def test_sums_over_what_is_seen(table):
    rows = distinct_rows(table, WEIGHTS)
    values, weights, seen = rows.values, rows.weights, ~np.isnan(rows.values)
    n_values = weights @ seen.sum(axis=1)
    np.testing.assert_allclose(rows.n_values, n_values)
    variances = weights @ np.nan_to_num(values) ** 2 / (weights @ seen)
    np.testing.assert_allclose(rows.variances, variances)
    np.testing.assert_allclose(rows.total_variance, variances.sum())
    assert rows.log_units == 0.0
    units = np.array([0.5, 2.0, 3.0])
    expected = -np.log(units) @ (weights @ seen) / weights.sum()
    np.testing.assert_allclose(rows.in_units(units).log_units, expected)


@tables
def test_rows_as_centers(table):
    rows = distinct_rows(table, WEIGHTS)
    expected = np.nan_to_num(rows.values[[4, 2]])
    np.testing.assert_array_equal(rows.centers([4, 2]), expected)


def test_coordinates_of_a_span_are_for_few_complete_rows():
    for n_columns, few in ((30, False), (31, True)):
        assert distinct_rows(X, WEIGHTS).spans_fewer_than(n_columns) == few
        assert not distinct_rows(HOLED, WEIGHTS).spans_fewer_than(n_columns)


def test_only_missing_values_are_filled():
    rows = distinct_rows(X, WEIGHTS)
    assert rows.filled(None) is rows
    assert rows.whole is rows
    holed = distinct_rows(HOLED, WEIGHTS)
    assert holed.filled(lambda rows: [rows]) == [holed]


@tables
@pytest.mark.parametrize("nu", [None, 3.0])
def test_labels_and_statistics(table, nu):
    rows = distinct_rows(table, WEIGHTS)
    memories = MEMORIES
    if nu is not None:
        memories = memories._replace(energy=StudentT(nu), dimension=3)
    expected = EStepWithHoles(
        rows.values,
        rows.weights,
        memories.centers,
        memories.log_weights,
        0.7,
        np.eye(3),
        nu,
    )
    np.testing.assert_array_equal(rows.labels(memories), expected.logits.argmax(axis=1))
    found, seen = rows.expectation(memories), ~np.isnan(rows.values)
    np.testing.assert_allclose(found.weight, WEIGHTS.sum())
    np.testing.assert_allclose(found.n_values, rows.n_values)
    np.testing.assert_allclose(found.evidence, expected.evidence)
    np.testing.assert_allclose(found.counts, expected.counts)
    irls = found.irls.reshape(4, -1)
    np.testing.assert_allclose(irls, (expected.u.T @ seen)[:, : irls.shape[1]])
    sums = expected.u.T @ np.nan_to_num(rows.values)
    np.testing.assert_allclose(found.sums, sums)
    np.testing.assert_allclose(found.squares, expected.squares)
    assert found.moment is None


def test_statistics_of_memories_with_roots():
    """They merge, and fade; sums are those of the kernel."""
    roots = random_roots(4, 3)
    memories = MEMORIES._replace(roots=roots)
    rows, irls = distinct_rows(X, WEIGHTS), np.empty(30)
    whole = rows.expectation(memories, irls)
    assert whole.squares.shape == (4,)
    assert whole.moment.shape == (4, 3, 3)
    scatter = np.einsum("kde,kdf,kfe->k", roots, whole.moment, roots)
    np.testing.assert_allclose(scatter, whole.squares)
    np.testing.assert_allclose(irls.sum(), whole.irls.sum())
    parts = [rows.drawn(some, WEIGHTS[: len(some)]) for some in ([0, 1], [2, 3, 4])]
    merged = parts[0].expectation(memories).merge(parts[1].expectation(memories))
    weights = np.concatenate([WEIGHTS[:2], WEIGHTS[:3]])
    together = rows.drawn([0, 1, 2, 3, 4], weights).expectation(memories)
    for one, other in zip(merged.decayed(0.5), together, strict=True):
        np.testing.assert_allclose(one, np.multiply(0.5, other))
    out = np.empty((30, 4))
    CPU().kernels.posterior(rows.values, memories.astype(float), out)
    np.testing.assert_array_equal(rows.labels(memories), out.argmax(axis=1))


def test_complete_rows_write_the_irls_weight_of_each():
    rows, irls = distinct_rows(X, WEIGHTS), np.empty(30)
    statistics = rows.expectation(MEMORIES._replace(energy=StudentT(3.0)), irls)
    np.testing.assert_allclose(irls.sum(), statistics.irls.sum())


def test_a_kind_without_a_version_is_refused():
    @by_kind
    def asked(rows):
        """What is asked."""

    asked.register(DistinctRows)(lambda rows: "complete")
    assert asked(distinct_rows(X, WEIGHTS)) == "complete"
    with pytest.raises(
        NotImplementedError, match=r"asked has no version for .*Missing"
    ):
        asked(distinct_rows(HOLED, WEIGHTS))
