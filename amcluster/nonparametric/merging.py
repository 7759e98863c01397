"""Which two memories with covariances of their own are one, as the evidence has it."""

import numpy as np
from scipy.special import xlogy

from ..spaces.metric import sizes_and_roots
from .shapes import Shaped

# Only near memories may be merged: those that are among so many neighbours of another.
NEIGHBOURS = 8


def merge_best(objective, shaped, posteriors=None):
    """Merge the pair that raises the evidence most, or lowers it least.

    Beside the evidence of the rows and the cost of the center it counts how unsure the
    responsibilities are between the two: memories that overlap explain rows together,
    which the evidence of rows that are divided between them does not know.

    Parameters
    ----------
    objective : OwnObjective
    shaped : Shaped
        With two memories at least.
    posteriors : ndarray of shape (n_rows, n_memories), default=None
        Responsibilities for the rows of the objective, or these times a number, which
        then are so many rows each; None: those of the memories.

    Returns
    -------
    merged : Shaped
    pair : tuple of int
        Which were merged, the smaller index first; the merged one has that index.
    gain : float
        What it gains, in nats.
    """
    first, second = neighbours(shaped)
    both = joined(shaped, first, second)
    gains = worth(objective, both)
    alone = worth(objective, shaped)
    gains = gains - alone[first] - alone[second]
    if posteriors is None:
        posteriors = objective.posteriors(shaped)
    best, largest = -1, -np.inf
    # The overlap only lowers a gain, so those below the best so far need none.
    for pair in np.argsort(-gains, kind="stable"):
        if gains[pair] <= largest:
            break
        of_pair = posteriors[:, [first[pair], second[pair]]]
        gain = gains[pair] - overlap(of_pair, objective.rows.weights)
        if gain > largest:
            best, largest = pair, gain
    a, b = int(first[best]), int(second[best])
    centers, counts = shaped.centers.copy(), shaped.counts.copy()
    scatters = shaped.scatters.copy()
    centers[a], counts[a] = both.centers[best], both.counts[best]
    scatters[a] = both.scatters[best]
    kept = np.arange(len(counts)) != b
    merged = shaped._replace(centers=centers, counts=counts, scatters=scatters)
    return merged.some(kept), (a, b), float(largest)


def added_up(posteriors, pair):
    """Responsibilities after a pair is merged: the merged memory's are the sums."""
    first, second = pair
    merged = np.delete(posteriors, second, axis=1)
    merged[:, first] += posteriors[:, second]
    return merged


def neighbours(shaped):
    """Pairs of memories of which one is near, as the other measures distances."""
    n_memories = len(shaped.counts)
    first, second = np.triu_indices(n_memories, 1)
    if n_memories <= NEIGHBOURS + 1:
        return first, second
    betas, roots = sizes_and_roots(shaped.covariances)
    away = shaped.centers[None] - shaped.centers[:, None]
    distances = betas[:, None] * np.square(away @ roots).sum(axis=2)
    near = np.zeros((n_memories, n_memories), bool)
    order = np.argsort(distances, axis=1, kind="stable")[:, : NEIGHBOURS + 1]
    np.put_along_axis(near, order, True, axis=1)
    some = (near | near.T)[first, second]
    return first[some], second[some]


def joined(shaped, first, second):
    """The memories that pairs of them would be."""
    counts = shaped.counts[first] + shaped.counts[second]
    share = (shaped.counts[second] / counts)[:, None]
    away = shaped.centers[second] - shaped.centers[first]
    between = shaped.counts[first] * share[:, 0]
    outer = away[:, :, None] * away[:, None, :]
    return Shaped(
        shaped.centers[first] + share * away,
        counts,
        shaped.scatters[first]
        + shaped.scatters[second]
        + between[:, None, None] * outer,
        shaped.prior,
        shaped.tails,
    )


def worth(objective, shaped):
    """What each memory adds to the evidence, when its rows are its own."""
    evidence = shaped.prior.log_evidence(shaped.counts, shaped.scatters)
    centers = objective.cost_of_centers(shaped.counts, shaped.covariances)
    return evidence - centers + xlogy(shaped.counts, shaped.counts)


def overlap(posteriors, weights):
    """The entropy of which of two memories a row is of, summed over rows."""
    total = posteriors.sum(axis=1)
    entropy = xlogy(total, total) - xlogy(posteriors, posteriors).sum(axis=1)
    return float(weights @ entropy)
