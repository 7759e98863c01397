"""Sums over rows, which are all that a step of EM needs to know of them."""

from typing import NamedTuple

import numpy as np

from ..execution.sums import merged


class Statistics(NamedTuple):
    """Sums over rows of p, weight times posterior, and of u, p times IRLS weight.

    Those of parts of the rows, under the same memories, merge to those of all::

        reduce(Statistics.merge, (part.expectation(memories) for part in parts))

    Distances and sums are in the coordinates of the memories. Missing values count for
    nothing where there is no metric, and are as each memory expects them where there is
    one; then the IRLS weight of a row is the same for all features.

    For memories with roots squares are of each memory, in its shape, and the moment of
    each memory is about its center.
    """

    weight: float  # of the rows
    n_values: float  # weight of the values that are seen
    evidence: float  # of the logsumexp of the logits, times weight
    counts: np.ndarray  # (n_clusters,) of p
    irls: np.ndarray  # (n_clusters,), or of each feature (n_clusters, n_features), of u
    sums: np.ndarray  # (n_clusters, n_features) of u * row
    squares: float  # of u * |row - center|^2; with roots (n_clusters,)
    # (n_features, n_features) of u * row * row^T; with roots (n_clusters, n_features,
    # n_features) of u * (row - center) * (row - center)^T
    moment: np.ndarray | None = None
    log_determinants: float = 0.0  # of the metric of what is missing, times weight

    def merge(self, other):
        """The statistics of these rows and of others."""
        return Statistics(*merged(self, other))

    def decayed(self, factor):
        """The statistics if all weights are multiplied by a factor."""
        return Statistics(*(None if x is None else x * factor for x in self))


class SphericalStatistics(NamedTuple):
    """Sums over rows that are unit vectors, of p, weight times posterior.

    Those of parts of the rows merge as `Statistics` do.
    """

    weight: float  # of the rows
    evidence: float  # of the logsumexp of the logits, or of the cosines, times weight
    counts: np.ndarray  # (n_clusters,) of p
    sums: np.ndarray  # (n_clusters, n_features) of p * row / |row|

    def merge(self, other):
        """The statistics of these rows and of others."""
        return SphericalStatistics(*merged(self, other))

    def decayed(self, factor):
        """The statistics if all weights are multiplied by a factor."""
        return SphericalStatistics(*(x * factor for x in self))
