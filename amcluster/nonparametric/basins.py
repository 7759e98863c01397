"""Clusters of a kernel density: basins of modes, joined where no valley means much."""

from typing import NamedTuple

import numpy as np

from ..learning.kernel_density import evidence_by_group
from ..rows.complete import Complete
from .modes import Modes
from .prominence import (
    Saddles,
    dissolved,
    highest_passes,
    merged,
    saddles_between,
    without_slopes,
)


class Clusters(NamedTuple):
    """Clusters in the order of their highest modes."""

    modes: Modes  # without states that were on their way to others
    saddles: Saddles
    highest: np.ndarray  # (n_clusters,) the highest mode of each
    labels: np.ndarray  # (n_modes,) the cluster of each mode

    @property
    def of_memories(self):
        """The cluster of each memory (n_memories,)."""
        return self.labels[self.modes.basins]

    @property
    def prominences(self):
        """Height of modes above their highest passes to higher ones (n_modes,)."""
        heights = np.append(self.saddles.evidence, -np.inf)
        return self.modes.evidence - heights[self._passes]

    @property
    def passes(self):
        """Those passes; NaN for the highest mode (n_modes, n_features)."""
        none = np.full((1, self.modes.points.shape[1]), np.nan)
        return np.concatenate([self.saddles.points, none])[self._passes]

    @property
    def _passes(self):
        return highest_passes(self.modes, self.saddles)

    def at_rest(self, network, step_size):
        """The modes, with those that are the highest of clusters at rest."""
        points, rows = self.modes.points.copy(), self.modes.points[self.highest]
        points[self.highest] = network.states_at_rest(Complete(rows), step_size)[0]
        return points


def clusters_of(network, weights, modes, significance, min_size):
    """Join the basins of modes, and dissolve those with too few rows.

    Parameters
    ----------
    network : Network
        The density, in float64.
    weights : ndarray of shape (n_memories,)
        Weight of the rows that each memory stands for.
    modes : Modes
    significance : float
        Valleys of more standard errors are kept.
    min_size : float
        Least weight of the rows that end at a cluster, and of those it is the label of.

    Returns
    -------
    Clusters
    """
    modes = without_slopes(network, modes)
    saddles = saddles_between(network, modes)
    groups = merged(modes, saddles, significance)
    sizes = np.bincount(modes.basins, weights, len(groups))
    groups = dissolved(groups, saddles, sizes, min_size)
    while True:
        highest, labels = np.unique(groups, return_inverse=True)
        clusters = Clusters(modes, saddles, highest, labels)
        sizes = np.zeros(len(groups))
        sizes[highest] = _sizes(network, weights, clusters)
        fewer = dissolved(groups, saddles, sizes, min_size)
        if np.array_equal(fewer, groups):
            return clusters
        groups = fewer


def _sizes(network, weights, clusters):
    """Weight of the memories that each cluster is the label of (n_clusters,)."""
    n_clusters, rows = len(clusters.highest), Complete(network.memories.centers)
    evidence = evidence_by_group(rows, network, clusters.of_memories, n_clusters)
    return np.bincount(evidence.argmax(axis=1), weights, n_clusters)
