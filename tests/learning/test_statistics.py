"""Statistics of rows in parts are those of all rows, and those of the past decay."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amcluster.energies import resolve
from amcluster.kernels import Memories
from amcluster.learning.em import Mixture
from amcluster.learning.kinds import free_energy_of
from amcluster.nonparametric.coordinates import FilledRows
from amcluster.rows.complete import DistinctRows
from amcluster.rows.missing import DistinctRowsWithMissing
from amcluster.rows.statistics import Statistics
from amcluster.spaces.covariance import Isotropic, Shared

from ..data import hide

N_FEATURES, N_CLUSTERS = 3, 4
ISOTROPIC = Isotropic(0.8, 1e-9)
SHARED = Shared(np.diag([0.5, 1.0, 2.0]) + 0.2, 1.0, N_FEATURES, 0.2, 0.9)
KINDS = [DistinctRows, DistinctRowsWithMissing, FilledRows]


@st.composite
def weighted_rows(draw, kinds=(DistinctRows, DistinctRowsWithMissing)):
    """Rows of any kind, and indices where they are cut in parts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_rows = draw(st.integers(1, 40))
    values = rng.normal(size=(n_rows, N_FEATURES)) * 2
    weights = rng.uniform(0.1, 3, n_rows)
    offset, units = np.zeros(N_FEATURES), np.array([1.0, 0.5, 3.0])
    cuts = draw(st.lists(st.integers(1, n_rows), max_size=5))
    kind, holed = draw(st.sampled_from(kinds)), hide(values, 0.3, n_rows)
    if kind is DistinctRows:
        rows = DistinctRows(values, weights, offset, units=units)
    elif kind is DistinctRowsWithMissing:
        rows = DistinctRowsWithMissing(holed, weights, offset, units=units)
    else:
        root = draw(st.sampled_from([None, np.tri(N_FEATURES)]))
        whole = DistinctRows(values, weights, offset)
        rows = FilledRows(whole, DistinctRowsWithMissing(holed, weights, offset), root)
    return rows, sorted({0, n_rows, *cuts})


@st.composite
def mixtures(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    centers = rng.normal(size=(N_CLUSTERS, N_FEATURES))
    weights = rng.dirichlet(np.ones(N_CLUSTERS))
    return Mixture(centers, weights, draw(st.sampled_from([ISOTROPIC, SHARED])))


def energy_of(rows, name="student_t"):
    return free_energy_of(rows, resolve(name, nu=4.0), N_FEATURES, learn_weights=True)


def parts_of(rows, cuts):
    for start, stop in pairwise(cuts):
        inside = slice(start, stop)
        yield rows.drawn(inside, rows.weights[inside])


def close(found, expected):
    """To rounding, in units of each statistic."""
    for name, one, other in zip(expected._fields, found, expected, strict=True):
        if other is None:
            assert one is None
            continue
        assert np.shape(one) == np.shape(other), name
        size = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * size, err_msg=name)


names = pytest.mark.parametrize("name", ["gaussian", "student_t"])


@names
@given(weighted_rows(), mixtures())
def test_any_split_of_the_rows_merges_to_the_statistics_of_all(name, drawn, mixture):
    rows, cuts = drawn
    whole = energy_of(rows, name)
    memories = whole.memories_of(mixture)
    statistics = whole.statistics(mixture, memories)
    merged = reduce(
        Statistics.merge,
        (
            energy_of(part, name).statistics(mixture, memories)
            for part in parts_of(rows, cuts)
        ),
    )
    close(merged, statistics)
    of_parts = whole.expected(mixture, memories, merged)
    expected = whole.expectation(mixture)
    np.testing.assert_allclose(of_parts.free_energy, expected.free_energy, rtol=1e-11)
    found = whole.maximisation(mixture, of_parts)
    following = whole.maximisation(mixture, expected)
    np.testing.assert_allclose(found.centers, following.centers, atol=1e-9)
    np.testing.assert_allclose(found.weights, following.weights, atol=1e-12)
    np.testing.assert_allclose(found.spread.beta, following.spread.beta, rtol=1e-9)


@given(weighted_rows(KINDS), mixtures())
def test_parts_of_rows_in_coordinates_merge_too(drawn, mixture):
    rows, cuts = drawn
    memories = Memories(mixture.centers, np.log(mixture.weights), 0.7)
    parts = (part.expectation(memories) for part in parts_of(rows, cuts))
    close(reduce(Statistics.merge, parts), rows.expectation(memories))


@given(weighted_rows(), mixtures(), st.floats(0.01, 100))
def test_decay_is_that_of_the_weights(drawn, mixture, factor):
    """Of what came before; what comes then counts in full."""
    rows, _ = drawn
    whole = energy_of(rows)
    memories = whole.memories_of(mixture)
    statistics = whole.statistics(mixture, memories)
    for one, other in zip(statistics.decayed(1.0), statistics, strict=True):
        np.testing.assert_array_equal(one, other)
    half = len(rows.weights) // 2
    faded = rows.weights.copy()
    faded[:half] *= factor
    expected = energy_of(rows._replace(weights=faded)).statistics(mixture, memories)
    if not half:
        return
    before, after = (
        energy_of(part).statistics(mixture, memories)
        for part in parts_of(rows, [0, half, len(rows.weights)])
    )
    close(before.decayed(factor).merge(after), expected)
