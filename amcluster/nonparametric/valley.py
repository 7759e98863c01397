"""Memories that no valley of the density separates: parts of one curved cluster.

A curved cluster is several memories, which touch; two clusters have fewer rows between
them than near their centers. No depth of such a valley in nats tells the one from the
other in all data: what counts is whether so few rows between them may be chance.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm

# Chance of a valley that is none, shared by the memories (Bonferroni): a cluster of K
# memories comes apart where one of about K valleys is taken for real.
LEVEL = 0.01
# The density is looked at in so many places between two memories.
PLACES = 41
# Rows to which both memories together mean less are left out.
LEAST_SHARE = 0.05


class Density(NamedTuple):
    """A kernel density along a line, and how many rows make it in each place."""

    log_values: np.ndarray  # (n_places,) up to a constant
    n_rows: np.ndarray  # (n_places,)

    @classmethod
    def at(cls, places, positions, weights, shares, bandwidth):
        """That of rows at some positions, of which a share counts.

        The number of rows is ``(sum w k)^2 / sum w k^2`` with weights w and kernels k.
        """
        away = (positions[:, None] - places) / bandwidth
        logs = np.log(shares)[:, None] - away**2 / 2
        largest = logs.max(axis=0)
        kernels = np.exp(logs - largest)
        values = weights @ kernels
        return cls(largest + np.log(values), values**2 / (weights @ kernels**2))

    def valley(self):
        """Depth of the deepest valley below the lower of its sides' peaks.

        It is in its standard errors: that of a log density is ``1 / sqrt(n_rows)``.
        """
        values = self.log_values
        left = np.maximum.accumulate(values)
        right = np.maximum.accumulate(values[::-1])[::-1]
        lowest = int((np.minimum(left, right) - values).argmax())
        peaks = values[: lowest + 1].argmax(), lowest + values[lowest:].argmax()
        peak = min(peaks, key=values.__getitem__)
        variance = 1 / self.n_rows[peak] + 1 / self.n_rows[lowest]
        return (values[peak] - values[lowest]) / np.sqrt(variance)

    def climb(self):
        """How much higher the last place is than the first, in its standard errors."""
        variance = 1 / self.n_rows[0] + 1 / self.n_rows[-1]
        return (self.log_values[-1] - self.log_values[0]) / np.sqrt(variance)


def components(rows, posteriors, centers, covariances):
    """Group memories that are joined, by others perhaps, without a valley between.

    Parameters
    ----------
    rows : DistinctRows
    posteriors : ndarray of shape (n_rows, n_memories)
    centers : ndarray of shape (n_memories, n_coordinates)
    covariances : ndarray of shape (n_memories, n_coordinates, n_coordinates)

    Returns
    -------
    ndarray of shape (n_memories,), int
        In the order of the first memory of each group.
    """
    n_memories = len(centers)
    least = norm.isf(LEVEL / n_memories)
    joined = np.zeros((n_memories, n_memories), bool)
    climbs = np.zeros((n_memories, n_memories))
    for pair in zip(*np.tril_indices(n_memories, -1), strict=True):
        both = np.array(pair)
        density = density_between(
            rows, posteriors[:, both].sum(axis=1), centers[both], covariances[both]
        )
        joined[pair] = density is not None and density.valley() < least
        if joined[pair]:
            climbs[pair] = density.climb()
    joined, climbs = joined | joined.T, climbs - climbs.T
    return connected_components(without_bridges(joined, climbs, least))[1]


def without_bridges(joined, climbs, least):
    """Have memories that are lower than several others joined to one of them only.

    Sparse rows around dense ones are a memory, too, which has no valley towards any.
    """
    joined = joined.copy()
    for memory, climb in enumerate(climbs):
        higher = np.flatnonzero(joined[memory] & (climb > least))
        if len(higher) > 1:
            others = higher[higher != higher[climb[higher].argmin()]]
            joined[memory, others] = joined[others, memory] = False
    return joined


def density_between(rows, shares, centers, covariances):
    """Density of the rows of two memories, from center to center; None without rows.

    Rows are projected on Fisher's discriminant, where the memories overlap least. The
    bandwidth is that of the normal reference rule for the narrower memory.
    """
    counted = shares > LEAST_SHARE
    if not counted.any():
        return None
    direction = np.linalg.solve(covariances.sum(axis=0), centers[1] - centers[0])
    variances = np.einsum("kij,i,j->k", covariances, direction, direction)
    weights, shares = rows.weights[counted], shares[counted]
    bandwidth = 1.06 * np.sqrt(variances.min()) * (weights @ shares) ** -0.2
    if bandwidth == 0:  # the centers are one
        bandwidth = 1.0
    positions = rows.values[counted] @ direction
    places = np.linspace(*(centers @ direction), PLACES)
    return Density.at(places, positions, weights, shares, bandwidth)
