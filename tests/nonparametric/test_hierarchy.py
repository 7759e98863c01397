"""Merges of fitted memories, against SciPy and against the rows themselves."""

from copy import copy
from itertools import combinations
from math import inf

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import xlogy
from sklearn.datasets import make_blobs

from amcluster.nonparametric import merging
from amcluster.nonparametric.hierarchy import Hierarchy
from amcluster.nonparametric.merging import merge_best
from amcluster.nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from amcluster.nonparametric.own import OwnObjective
from amcluster.nonparametric.shapes import InverseWishart, Shaped
from amcluster.rows.distinct import distinct_rows

BETA = 0.7


@pytest.fixture
def alike():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 7, 25).astype(float)
    return Grown(rng.normal(size=(25, 3)), counts, BETA)


def objective_of(X, prior):
    model = Nonparametric(ChineseRestaurant(1e-3, 0.0), 2, 2.0, 1.0)
    rows = distinct_rows(X, np.ones(len(X)))
    return OwnObjective(rows, model, np.zeros((2, 2)), tol=1e-6, prior=prior)


def settled(objective, centers):
    """Memories that begin with equal numbers of rows."""
    centers = np.asarray(centers) - objective.rows.offset
    n_memories = len(centers)
    counts = np.full(n_memories, objective.total / n_memories)
    flat = np.zeros((n_memories, 2, 2))
    prior = objective.prior or InverseWishart(inf, 1.0, 2)
    return objective.settle(Shaped(centers, counts, flat, prior, inf), 20)


def own(distance, freedom=6.0):
    """Six blobs of shapes of their own, about so far from each other.

    With the degrees of freedom of their prior, or with the likeliest one for None.
    """
    rng = np.random.default_rng(2)
    centers, y = distance * rng.normal(size=(6, 2)), np.arange(300) % 6
    noise = rng.normal(size=(6, 2, 2))[y] @ rng.normal(size=(300, 2, 1))
    X = centers[y] + noise[:, :, 0]
    prior = None if freedom is None else InverseWishart(freedom, 1.0, 2)
    objective = objective_of(X, prior)
    return objective, settled(objective, centers)


# Ward's method


def test_equals_the_linkage_of_as_many_copies(alike):
    copies = np.repeat(alike.centers, alike.counts.astype(int), axis=0)
    theirs = linkage(copies, "ward")[-24:, 2]
    hierarchy = Hierarchy.of_alike(alike)
    # SciPy's height h is of a merge that adds h^2 / 2 to the squared distances.
    np.testing.assert_allclose(hierarchy.distances, BETA * theirs**2 / 2)


def test_merges_nothing_twice(alike):
    children = Hierarchy.of_alike(alike).children
    assert sorted(children.ravel()) == list(range(2 * 25 - 2))
    assert (children[:, 0] < children[:, 1]).all()
    assert (children[:, 1] < 25 + np.arange(24)).all()


@pytest.mark.parametrize("n_groups", [1, 2, 7, 24, 25])
def test_groups_are_those_of_scipy(alike, n_groups):
    hierarchy = Hierarchy.of_alike(alike)
    tree = np.column_stack(
        [hierarchy.children, hierarchy.distances, np.full(24, 2)]
    ).astype(float)
    theirs = fcluster(tree, n_groups, "maxclust")
    ours = hierarchy.groups(n_groups)
    first = [theirs[ours == k][0] for k in range(n_groups)]
    np.testing.assert_array_equal(np.array(first)[ours], theirs)
    # Groups are in the order of their first memories.
    starts = [np.flatnonzero(ours == k)[0] for k in range(n_groups)]
    assert starts == sorted(starts)


def test_one_memory_has_no_merges():
    alone = Hierarchy.of_alike(Grown(np.zeros((1, 2)), np.ones(1), BETA))
    assert alone.children.shape == (0, 2)
    assert alone.children.dtype.kind == "i"
    assert alone.distances.shape == (0,)
    np.testing.assert_array_equal(alone.groups(1), [0])


# Memories with covariances of their own


class Union:
    """Some memories as one, from the fitted ones, and how much of it each row is."""

    def __init__(self, shaped, posteriors, members):
        self.members, counts = members, shaped.counts[members]
        self.count = counts.sum()
        center = counts @ shaped.centers[members] / self.count
        away = shaped.centers[members] - center
        between = np.einsum("k,kd,ke->de", counts, away, away)
        self.scatter = shaped.scatters[members].sum(axis=0) + between
        self.rows = posteriors[:, members].sum(axis=1)

    def worth(self, objective, prior):
        """What it is worth, with covariances drawn from a prior."""
        counts, scatters = np.array([self.count]), self.scatter[None]
        alone = Shaped(np.zeros((1, 2)), counts, scatters, prior, inf)
        return merging.worth(objective, alone)[0]


def cost(objective, prior, one, other, both):
    """What it costs to merge two unions."""
    worth = [union.worth(objective, prior) for union in (one, other, both)]
    unsure = xlogy(both.rows, both.rows)
    unsure -= xlogy(one.rows, one.rows) + xlogy(other.rows, other.rows)
    return worth[0] + worth[1] - worth[2] + objective.rows.weights @ unsure


@pytest.mark.parametrize("distance", [1.0, 5.0])
@pytest.mark.parametrize("freedom", [6.0, inf, None])
def test_merges_the_cheapest_unions(distance, freedom):
    objective, shaped = own(distance, freedom)
    posteriors = objective.posteriors(shaped)
    unions = {k: Union(shaped, posteriors, [k]) for k in range(6)}
    prior, made = shaped.prior, 6
    for pair, distance in zip(*Hierarchy.of_own(objective, shaped), strict=True):
        both, costs = {}, {}
        for a, b in combinations(unions, 2):
            members = unions[a].members + unions[b].members
            both[a, b] = Union(shaped, posteriors, members)
            costs[a, b] = cost(objective, prior, unions[a], unions[b], both[a, b])
        pair = tuple(pair)
        assert min(costs, key=costs.get) == pair
        np.testing.assert_allclose(distance, costs[pair], atol=1e-8)
        unions = {k: union for k, union in unions.items() if k not in pair}
        unions[made], made = both[pair], made + 1
        if freedom is None:
            counts = np.array([union.count for union in unions.values()])
            scatters = np.array([union.scatter for union in unions.values()])
            prior = InverseWishart.likeliest(counts, scatters, prior.variance)


def test_merges_that_gain_cost_less_than_nothing():
    assert Hierarchy.of_own(*own(distance=0.3)).distances.min() < 0


def test_rows_of_a_sample_stand_for_several():
    objective, shaped = own(1.0)
    whole = Hierarchy.of_own(objective, shaped)
    rows = objective.rows
    sample = copy(objective)
    sample.rows = rows._replace(weights=rows.weights / 4)
    sample.total = objective.total / 4
    part = Hierarchy.of_own(sample, shaped)
    np.testing.assert_array_equal(part.children, whole.children)
    np.testing.assert_allclose(part.distances, whole.distances)


def test_posteriors_that_are_passed_are_those_of_the_memories():
    objective, shaped = own(1.0)
    alone = merge_best(objective, shaped)
    passed = merge_best(objective, shaped, objective.posteriors(shaped))
    assert alone[1:] == passed[1:]
    np.testing.assert_array_equal(alone[0].scatters, passed[0].scatters)


def test_blobs_of_one_shape_merge_as_ward_has_it():
    centers = [[0, 0], [9, 0], [40, 0], [40, 12], [200, 0]]
    X, _ = make_blobs([60] * 5, centers=centers, random_state=0)
    objective = objective_of(X, InverseWishart(inf, 1.0, 2))
    shaped = settled(objective, centers)
    alike = Grown(shaped.centers, shaped.counts, 0.5)
    ours, wards = Hierarchy.of_own(objective, shaped), Hierarchy.of_alike(alike)
    np.testing.assert_array_equal(ours.children, wards.children)
    # They differ by what sizes and centers cost: few nats of many.
    np.testing.assert_allclose(ours.distances, wards.distances, rtol=0.1)
