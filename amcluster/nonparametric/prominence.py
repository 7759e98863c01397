"""Modes of a density that mean something: the valleys around them are no chance."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ..learning.kernel_density import evidence_and_effective_rows, evidence_at
from .modes import Modes

# Saddles are looked for between each memory and so many of its neighbours,
NEIGHBOURS = 10
# and on the segments from each mode to so many others, at places no farther from each
# other than this part of the bandwidth, unless they were more than so many.
NEAREST_MODES = 4
SPACING = 0.5
MOST_PLACES = 64
BLOCK = 512


class Saddles(NamedTuple):
    """The highest passes between pairs of modes that are neighbours, by height."""

    pairs: np.ndarray  # (n_saddles, 2) the higher mode first
    points: np.ndarray  # (n_saddles, n_features)
    evidence: np.ndarray  # (n_saddles,) log density, up to a constant
    n_rows: np.ndarray  # (n_saddles,) the effective number of rows that make it


def saddles_between(network, modes):
    """Passes between the basins of modes.

    They are looked for between memories of two basins that are neighbours, half way,
    and straight from mode to mode, at the lowest point: so a valley that is narrower
    than a neighbourhood is none.

    Parameters
    ----------
    network : Network
    modes : Modes

    Returns
    -------
    Saddles
        They connect all modes.
    """
    of_neighbours = _midpoints(network, modes.basins)
    return _highest(network, modes, of_neighbours, _lowest_of_segments(network, modes))


def _highest(network, modes, *candidates):
    """The highest candidate of each pair, no higher than the lower of its modes."""
    pairs, points, evidence = map(np.concatenate, zip(*candidates, strict=True))
    order = np.lexsort((-evidence, pairs[:, 1], pairs[:, 0]))
    is_first = np.diff(pairs[order], axis=0, prepend=-1).any(axis=1)
    best = order[is_first]
    evidence = np.minimum(evidence, modes.evidence[pairs[:, 1]])
    best = best[np.argsort(-evidence[best], kind="stable")]
    n_rows = evidence_and_effective_rows(network, points[best])[1]
    return Saddles(pairs[best], points[best], evidence[best], n_rows)


def _midpoints(network, basins):
    """Pairs of basins with memories that are neighbours, and the points between."""
    centers = network.memories.centers
    n_neighbours = min(NEIGHBOURS + 1, len(centers))
    _, index = cKDTree(centers).query(centers, [*range(1, n_neighbours + 1)])
    pairs = np.stack([np.repeat(np.arange(len(centers)), n_neighbours), index.ravel()])
    pairs = np.unique(np.sort(pairs, axis=0), axis=1)
    pairs = pairs[:, basins[pairs[0]] != basins[pairs[1]]]
    points = centers[pairs].mean(axis=0)
    return np.sort(basins[pairs].T, axis=1), points, evidence_at(network, points)


def _lowest_of_segments(network, modes):
    """Pairs of modes that are near, and the lowest points straight between them."""
    pairs = _near_pairs(modes.points)
    starts, ends = modes.points[pairs.T]
    bandwidth = (2 * network.memories.reference_beta) ** -0.5
    gaps = np.linalg.norm(ends - starts, axis=1) / (SPACING * bandwidth)
    n_places = np.clip(np.ceil(gaps), 2, MOST_PLACES).astype(int) - 1
    firsts = np.cumsum(n_places) - n_places
    of_pairs = np.repeat(np.arange(len(pairs)), n_places)
    places = np.arange(len(of_pairs)) - firsts[of_pairs] + 1
    parts = (places / (n_places[of_pairs] + 1))[:, None]
    points = starts[of_pairs] + parts * (ends - starts)[of_pairs]
    evidence = evidence_at(network, points)
    lowest = np.lexsort((evidence, of_pairs))[firsts]
    return pairs, points[lowest], evidence[lowest]


def _near_pairs(modes):
    """Each mode with its nearest, and with the nearest of those that are higher."""
    n_modes = len(modes)
    n_nearest = min(NEAREST_MODES + 1, n_modes)
    _, index = cKDTree(modes).query(modes, [*range(1, n_nearest + 1)])
    near = [np.repeat(np.arange(n_modes), n_nearest), index.ravel()]
    higher = [_nearest_higher(modes, start) for start in range(0, n_modes, BLOCK)]
    further = np.arange(1, n_modes), np.concatenate(higher)[1:]
    pairs = np.sort(np.concatenate([np.stack(near), np.stack(further)], axis=1), axis=0)
    pairs = np.unique(pairs, axis=1)
    return pairs[:, pairs[0] != pairs[1]].T


def _nearest_higher(modes, start):
    """The nearest of the modes before each of a block of them."""
    some = modes[start : start + BLOCK]
    away = cdist(some, modes[: start + len(some)], "sqeuclidean")
    after = np.arange(away.shape[1]) >= start + np.arange(len(some))[:, None]
    return np.where(after, np.inf, away).argmin(axis=1)


class Merging:
    """Modes that become parts of others, as passes are opened from the highest down.

    Parameters
    ----------
    saddles : Saddles
    n_modes : int
    """

    def __init__(self, saddles, n_modes):
        self._saddles = saddles
        self._parents = list(range(n_modes))
        # The pass by which each mode became a part of a higher one; -1 if it did not.
        self.passes = np.full(n_modes, -1)

    @property
    def groups(self):
        """The mode that each is a part of: the highest of them (n_modes,)."""
        return np.array([self._root(mode) for mode in range(len(self._parents))])

    def join(self, opens):
        """Open passes; ``opens(higher, lower, index)`` says whether both become one.

        Both are the highest modes of their parts, `index` is that of the pass.
        """
        for index, pair in enumerate(self._saddles.pairs.tolist()):
            higher, lower = sorted(map(self._root, pair))
            if higher != lower and opens(higher, lower, index):
                self._parents[lower], self.passes[lower] = higher, index
        return self

    def _root(self, mode):
        parents = self._parents
        while parents[mode] != mode:
            parents[mode] = mode = parents[parents[mode]]
        return mode


def without_slopes(network, modes):
    """Modes without those states that no valley parts from a higher one.

    The way straight there is uphill: they were slow to go.
    """
    saddles = _highest(network, modes, _lowest_of_segments(network, modes))
    kept, labels = np.unique(merged(modes, saddles, 0.0), return_inverse=True)
    return Modes(*(one[kept] for one in modes[:3]), labels[modes.basins])


def highest_passes(modes, saddles):
    """The highest pass from each mode to a higher one, by index; -1 for the highest."""
    return Merging(saddles, len(modes.points)).join(lambda *_: True).passes


def merged(modes, saddles, significance):
    """Merge modes unless the valley between them means something.

    The depth of a valley below the lower of its two modes is in standard errors: those
    of a log density that so many rows make are ``1 / sqrt(n_rows)``.

    Parameters
    ----------
    modes : Modes
    saddles : Saddles
    significance : float
        Valleys of more standard errors are kept.

    Returns
    -------
    ndarray of shape (n_modes,)
        The mode that each is a part of.
    """

    def means_nothing(higher, lower, index):
        depth = modes.evidence[lower] - saddles.evidence[index]
        variance = 1 / modes.n_rows[lower] + 1 / saddles.n_rows[index]
        return depth <= significance * np.sqrt(variance)

    return Merging(saddles, len(modes.points)).join(means_nothing).groups


def dissolved(groups, saddles, sizes, min_size):
    """Give modes with too few rows to the one over their highest pass.

    Parameters
    ----------
    groups : ndarray of shape (n_modes,)
        The mode that each is a part of.
    saddles : Saddles
    sizes : ndarray of shape (n_modes,)
        Weight of the rows of each.
    min_size : float

    Returns
    -------
    ndarray of shape (n_modes,)
        The mode that each is a part of then.
    """
    sizes = np.bincount(groups, sizes, len(groups))
    both = saddles._replace(pairs=groups[saddles.pairs])

    def is_small(higher, lower, index):
        small = sizes[higher] < min_size or sizes[lower] < min_size
        if small:
            sizes[higher] += sizes[lower]
        return small

    return Merging(both, len(groups)).join(is_small).groups[groups]
