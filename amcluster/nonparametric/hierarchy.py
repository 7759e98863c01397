"""The memories of a fit, merged one pair at a time down to one: coarser answers.

No rows are learned from between merges, so that clusters of each answer are unions of
those of the finer ones.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from .merging import added_up, merge_best


class Hierarchy(NamedTuple):
    """Merges in their order, in the form of scikit-learn's agglomerative clustering."""

    children: np.ndarray  # (n_memories - 1, 2): memories, or n_memories + earlier merge
    distances: np.ndarray  # (n_memories - 1,) what each merge costs, in nats

    @classmethod
    def of_own(cls, objective, shaped):
        """That of memories with covariances of their own, as the evidence has it.

        What covariances are drawn from is told anew after each merge, as in a fit: a
        prior of few alike memories would take a long one for impossible.

        Parameters
        ----------
        objective : OwnObjective
            Its rows may be a sample of those that the memories count.
        shaped : Shaped
        """
        return cls._of(len(shaped.counts), _own_merges(objective, shaped))

    @classmethod
    def of_alike(cls, grown):
        """That of memories with one covariance, by Ward's method (1963)."""
        return cls._of(len(grown.counts), _ward_merges(grown))

    @classmethod
    def _of(cls, n_memories, merges):
        nodes, children, distances = list(range(n_memories)), [], []
        for (first, second), distance in merges:
            children.append(sorted((nodes[first], nodes[second])))
            distances.append(distance)
            nodes[first] = n_memories + len(children) - 1
            del nodes[second]
        return cls(np.array(children, int).reshape(-1, 2), np.array(distances, float))

    def groups(self, n_groups):
        """The group of each memory, in the order of the first memories of groups."""
        n_memories = len(self.children) + 1
        first_of_node = list(range(n_memories))
        first_of_memory = np.arange(n_memories)
        for children in self.children[: n_memories - n_groups]:
            kept, gone = sorted(first_of_node[child] for child in children)
            first_of_memory[first_of_memory == gone] = kept
            first_of_node.append(kept)
        return np.unique(first_of_memory, return_inverse=True)[1]


def _own_merges(objective, shaped):
    """Pairs of places, of which the second is gone afterwards, and their costs."""
    # Each row of a sample stands for several.
    times = shaped.counts.sum() / objective.total
    posteriors = objective.posteriors(shaped).astype(np.float64) * times
    while len(shaped.counts) > 1:
        shaped, pair, gain = merge_best(objective, shaped, posteriors)
        posteriors = added_up(posteriors, pair)
        prior = objective.prior_of(shaped.counts, shaped.scatters, shaped.noise)
        shaped = shaped._replace(prior=prior)
        yield pair, -gain


def _ward_merges(grown):
    """As `_own_merges`, by what merging adds to the squared distances times beta."""
    centers, counts = grown.centers.copy(), grown.counts.copy()
    costs = _ward_costs(centers, counts, slice(None))
    np.fill_diagonal(costs, np.inf)
    while len(counts) > 1:
        first, second = np.unravel_index(costs.argmin(), costs.shape)
        yield (int(first), int(second)), float(grown.beta * costs[first, second])
        share = counts[second] / (counts[first] + counts[second])
        centers[first] += share * (centers[second] - centers[first])
        counts[first] += counts[second]
        centers, counts = (np.delete(array, second, 0) for array in (centers, counts))
        costs = np.delete(np.delete(costs, second, 0), second, 1)
        costs[first] = _ward_costs(centers, counts, [first])[0]
        costs[first, first] = np.inf
        costs[:, first] = costs[first]


def _ward_costs(centers, counts, some):
    """What it adds to the squared distances to merge some memories with each."""
    sizes = counts[some, None] * counts / (counts[some, None] + counts)
    return sizes * cdist(centers[some], centers, "sqeuclidean")
