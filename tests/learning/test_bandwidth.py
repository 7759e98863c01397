"""The bandwidth that rows which are left out find most likely."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from amcluster.learning.bandwidth import (
    FACTOR,
    MOST_ROWS,
    LeaveOneOut,
    bandwidth_of,
    most_likely,
)
from amcluster.learning.kernel_density import (
    evidence_and_effective_rows,
    kernel_density,
)
from amcluster.rows.distinct import distinct_rows

ROWS = {
    "plane": np.random.default_rng(0).normal(size=(60, 2)),
    "line": np.random.default_rng(1).exponential(size=(40, 1)),
    "space": np.random.default_rng(2).standard_t(2, size=(50, 5)),
    # A row so far away that rounding hides all others from it.
    "outlier": np.r_[np.random.default_rng(3).normal(size=(40, 2)), [[30, 30]]],
}
WEIGHTS = np.random.default_rng(4).integers(1, 4, 60).astype(float)
names = pytest.mark.parametrize("name", ROWS)


def rows_of(name, weighted=True):
    X = ROWS[name]
    return distinct_rows(X, WEIGHTS[: len(X)] if weighted else np.ones(len(X)))


def brute_force(rows, bandwidth):
    """Log densities of rows under all others."""
    values, weights = rows.values, rows.weights
    covariance = bandwidth**2 * np.eye(values.shape[1])
    density = np.empty(len(values))
    for i, x in enumerate(values):
        others = np.arange(len(values)) != i
        kernels = multivariate_normal(x, covariance).pdf(values[others])
        density[i] = weights[others] @ kernels / weights[others].sum()
    with np.errstate(divide="ignore"):
        return np.log(density)


def trimmed(values, weights):
    """The mean of copies of rows, 50 for each unit of weight, without the lowest."""
    copies = np.sort(np.repeat(values, (50 * weights).astype(int)))
    lowest = int(np.round(0.02 * len(copies)))
    return copies[lowest:].mean()


@names
@pytest.mark.parametrize("bandwidth", [0.2, 0.7, 3.0])
def test_rows_are_left_out(name, bandwidth):
    rows = rows_of(name)
    expected, actual = brute_force(rows, bandwidth), LeaveOneOut(rows)
    seen = np.isfinite(expected)  # others underflow there
    log_densities = actual.log_densities(bandwidth)
    np.testing.assert_allclose(log_densities[seen], expected[seen], rtol=1e-6)
    assert (log_densities[~seen] < -700).all()
    if seen.all():
        mean = trimmed(expected, rows.weights)
        np.testing.assert_allclose(actual.log_likelihood(bandwidth), mean, rtol=1e-6)


@names
def test_the_most_likely_is_found(name):
    rows = rows_of(name, weighted=False)
    grid = np.geomspace(1e-2, 10, 1000)
    left_out = LeaveOneOut(rows)
    best = grid[np.argmax([left_out.log_likelihood(h) for h in grid])]
    least, highest = left_out.bounds
    assert least <= best <= highest
    n, n_features = rows.values.shape
    rate = n ** (1 / (n_features + 4) - 1 / (n_features + 6))
    found = bandwidth_of(rows, np.random.RandomState(0))
    np.testing.assert_allclose(found, FACTOR * best * rate, rtol=0.02)


def test_two_rows():
    """Each is under the kernel of the other: the maximum is known."""
    rows = distinct_rows(np.array([[0.0, 0.0], [3.0, 4.0]]), np.ones(2))
    left_out = LeaveOneOut(rows)
    found = minimize_scalar(
        lambda h: -left_out.log_likelihood(h), bounds=left_out.bounds, method="bounded"
    )
    np.testing.assert_allclose(found.x, 5 / np.sqrt(2), rtol=1e-4)


def test_one_row_has_some_bandwidth():
    rows = distinct_rows(np.ones((5, 2)), np.ones(5))
    assert bandwidth_of(rows, np.random.RandomState(0)) == 1


def test_copies_do_not_narrow_it():
    """With copies beside a row its density would grow without bound."""
    rows = rows_of("plane", weighted=False)
    twice = rows._replace(weights=2 * rows.weights)
    one, two = (bandwidth_of(r, np.random.RandomState(0)) for r in (rows, twice))
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_many_rows_are_drawn():
    """The bandwidth falls with the number of all rows, from that of 2000."""
    X = np.random.default_rng(0).normal(size=(6000, 1))
    rows = distinct_rows(X, np.ones(len(X)))
    some = rows.in_strata(MOST_ROWS, np.random.RandomState(0))
    assert MOST_ROWS / 2 < len(some.values) <= MOST_ROWS
    expected = FACTOR * most_likely(LeaveOneOut(some))
    expected *= some.n_effective ** (1 / 5) * 6000 ** (-1 / 7)
    found = bandwidth_of(rows, np.random.RandomState(0))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_strata():
    X = np.arange(1000.0)[:, None]
    weights = np.where(np.arange(1000) < 100, 9.0, 1.0)
    rows = distinct_rows(X, weights)
    some = rows.in_strata(60, np.random.RandomState(0))
    np.testing.assert_allclose(some.total_weight, rows.total_weight)
    values = some.values[:, 0] + rows.offset
    np.testing.assert_allclose(some.weights[values < 100].sum(), 900, atol=31)
    assert rows.in_strata(1000, np.random.RandomState(0)) is rows
    # What else the generator is asked for does not depend on the number of rows.
    states = [np.random.RandomState(0) for _ in range(2)]
    for state, table in zip(
        states, (rows, rows.drawn([0, 1], np.ones(2))), strict=True
    ):
        table.in_strata(60, state)
    assert states[0].uniform() == states[1].uniform()


def test_effective_rows():
    rows = rows_of("plane")
    points = np.random.default_rng(5).normal(size=(7, 2))
    network = kernel_density(rows.values, rows.weights, 0.6, rows.device)
    evidence, n_rows = evidence_and_effective_rows(network, points)
    squared = np.square(points[:, None] - rows.values).sum(axis=2)
    terms = rows.weights * np.exp(-squared / (2 * 0.6**2))
    expected = terms.sum(axis=1) ** 2 / np.square(terms).sum(axis=1)
    np.testing.assert_allclose(n_rows, expected, rtol=1e-10)
    np.testing.assert_allclose(
        evidence, np.log(terms.sum(axis=1) / rows.weights.sum()), rtol=1e-10
    )
    alone = kernel_density(rows.values, rows.weights, 1e-3, rows.device)
    np.testing.assert_allclose(
        evidence_and_effective_rows(alone, rows.values)[1], 1, rtol=1e-9
    )
    wide = kernel_density(rows.values, np.ones(len(rows.values)), 1e6, rows.device)
    np.testing.assert_allclose(
        evidence_and_effective_rows(wide, points)[1], len(rows.values), rtol=1e-6
    )
