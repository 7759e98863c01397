"""First memories: the draws, the hard phase, and what swaps gain."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from sklearn.cluster import KMeans

from amcluster.learning import seeding
from amcluster.learning.seeding import (
    draw,
    hard_phase,
    k_means_plus_plus,
    partition_rows,
    random_rows,
    seed,
    swap_search,
)
from amcluster.rows.distinct import distinct_rows

from ..data import hide


def rows_from(X):
    return distinct_rows(np.asarray(X, dtype=float), np.ones(len(X)))


def random_state(seed=0):
    return np.random.RandomState(seed)


def test_draw_follows_the_mass_and_never_takes_a_row_without():
    mass = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    uniforms = random_state().uniform(size=4000)
    counts = np.bincount(draw(mass, uniforms), minlength=5)
    assert counts[[0, 2, 4]].sum() == 0
    assert chisquare(counts[[1, 3]], [1000, 3000]).pvalue > 0.001
    edges = draw(mass, np.array([0.0, 0.25, np.nextafter(1, 0), 1.0]))
    np.testing.assert_array_equal(edges, [1, 3, 3, 3])


def test_seeds_are_distinct_rows():
    rows = rows_from(random_state().randint(3, size=(60, 3)))
    for make in (k_means_plus_plus, random_rows):
        seeds = make(rows, 20, random_state())
        assert len(np.unique(seeds, axis=0)) == 20
        assert cdist(seeds, rows.values).min(axis=1).max() == 0


def test_too_few_distinct_rows_are_repeated():
    rows = rows_from([[0.0], [1.0], [1.0]])
    for make in (k_means_plus_plus, random_rows):
        seeds = make(rows, 5, random_state())
        assert seeds.shape == (5, 1)
        assert len(np.unique(seeds)) == 2


def test_the_use_of_the_generator_does_not_depend_on_the_rows():
    """Else a copy of a row could change every later draw."""
    states = []
    for n_rows in (30, 31):
        generator = random_state()
        k_means_plus_plus(rows_from(np.arange(n_rows)[:, None]), 5, generator)
        random_rows(rows_from(np.arange(n_rows)[:, None]), 5, generator)
        states.append(generator.uniform())
    assert states[0] == states[1]


def test_hard_phase_ends_where_kmeans_ends(real_sets):
    X, n_clusters = real_sets["wine"]
    rows = rows_from(X)
    seeds = k_means_plus_plus(rows, n_clusters, random_state())
    partition, n_iter = hard_phase(rows, partition_rows(rows, seeds), 100)
    kmeans = KMeans(n_clusters, init=seeds, n_init=1, tol=0).fit(rows.values)
    assert 1 < n_iter < 100
    np.testing.assert_allclose(partition.inertia, kmeans.inertia_, rtol=1e-3)


def test_hard_phase_never_raises_the_inertia(real_sets):
    X, _ = real_sets["iris"]
    rows = rows_from(X)
    partition = partition_rows(rows, random_rows(rows, 12, random_state()))
    for _ in range(20):
        following, _ = hard_phase(rows, partition, 1)
        assert following.inertia <= partition.inertia
        partition = following


def test_hard_phase_takes_only_what_is_lower(blobs):
    rows = rows_from(blobs)
    partition = partition_rows(rows, rows.values[:5].copy())
    lower = partition._replace(inertia=-1.0)
    assert hard_phase(rows, lower, 10) == (lower, 1)


def test_an_empty_cluster_gets_the_farthest_row():
    rows = rows_from([[0.0], [1.0], [10.0]])
    far_away = np.array([[0.0], [1e6], [1e6]])
    partition, _ = hard_phase(rows, partition_rows(rows, far_away), 10)
    assert partition.inertia == 0
    assert np.all(partition.counts == 1)


def test_swaps_mend_bad_seeds(blobs):
    rows = rows_from(blobs)
    bad = partition_rows(rows, rows.values[:5].copy())
    stuck, _ = hard_phase(rows, bad, 100)
    mended = swap_search(rows, stuck, random_state(), budget=600)
    best = KMeans(5, n_init=10, random_state=0).fit(rows.values).inertia_
    assert stuck.inertia > 1.5 * best
    np.testing.assert_allclose(mended.inertia, best, rtol=1e-3)


def test_what_a_swap_removes(blobs):
    """The cheapest center for its candidate, or any."""
    rows = rows_from(blobs)
    partition = partition_rows(rows, rows.values[::100].copy())
    removed = {False: set(), True: set()}
    for at_random, seen in removed.items():
        for number in range(30):
            centers = seeding._swap(rows, partition, random_state(number), at_random)
            (changed,) = np.flatnonzero((centers != partition.centers).any(axis=1))
            seen.add(int(changed))
            if not at_random:
                others = [
                    partition_rows(rows, np.where(swap, centers[changed], old)).inertia
                    for old in [partition.centers]
                    for swap in np.eye(5, dtype=bool)[:, :, None]
                ]
                assert np.argmin(others) == changed
    assert removed[True] == set(range(5))
    assert removed[False] != removed[True]


def test_swaps_keep_to_their_budget(blobs, monkeypatch):
    calls = []
    monkeypatch.setattr(seeding, "SWAP_FAILURES", 10**6)
    monkeypatch.setattr(
        seeding,
        "partition_rows",
        lambda *arguments: calls.append(0) or partition_rows(*arguments),
    )
    rows = rows_from(blobs)
    partition = partition_rows(rows, rows.values[:5].copy())
    swap_search(rows, partition, random_state(), budget=10)
    assert 10 <= len(calls) <= 10 + 1 + seeding.SWAP_ITERATIONS + 100


def test_the_hard_phase_ends_where_it_cannot_reach_the_bar():
    rows = rows_from(random_state().uniform(size=(500, 2)))
    partition = partition_rows(rows, rows.values[:8].copy())
    ended, n_all = hard_phase(rows, partition, 20)
    assert hard_phase(rows, partition, 20, bar=1.01 * ended.inertia)[1] == n_all
    given_up, n_iter = hard_phase(rows, partition, 20, bar=0.9 * ended.inertia)
    assert n_iter < n_all
    assert given_up.inertia > ended.inertia


@pytest.mark.parametrize("n_clusters", [1, 4, 5])
def test_seed_is_no_worse_than_without_swaps(blobs, n_clusters):
    """Four for five blobs: there are many places to end, and the seeds may be best."""
    rows = rows_from(blobs)
    for number in range(5):
        without, swapped = (
            seed(rows, n_clusters, random_state(number), swaps=swaps)
            for swaps in (False, True)
        )
        inertia = partition_rows(rows, swapped).inertia
        assert inertia <= partition_rows(rows, without).inertia


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_means_of_a_partition_are_of_what_is_seen(rate):
    X = hide(random_state().normal(size=(40, 3)), rate)
    rows = distinct_rows(X, random_state(1).uniform(0.5, 2, 40))
    partition = partition_rows(rows, rows.centers([0, 20, 39]))
    seen = ~np.isnan(rows.values)
    for k in range(3):
        weights = rows.weights[:, None] * (seen & (partition.labels == k)[:, None])
        sums = (weights * np.nan_to_num(rows.values)).sum(axis=0)
        means = partition.sums[k] / partition.seen[k]
        np.testing.assert_allclose(means, sums / weights.sum(axis=0))
