"""How far each column spreads within clusters, in whatever units it comes.

Cells of k-means cannot tell: the wider a column is in units of its noise, the more
often they are cut across it, and what is left within them is as the units make it. So
memories with one covariance follow a path from fine to coarse. The covariance is
learned anew on the way: the likelihood of such memories does not depend on units, and
of the levels of the path it tells the best.
"""

import numpy as np
from numpy.linalg import LinAlgError

from ..energies import Gaussian
from ..learning.em import FreeEnergy, Mixture
from ..learning.seeding import draw_evenly, k_means
from ..spaces.covariance import first_shared
from .model import Grown
from .soft import merge_nearest, most_memories, some_pairs

# The path is followed on a sample of so many rows where there are more.
PATH_ROWS = 2000
# The cost of a parameter when levels are compared. With 1, as in Akaike's criterion, a
# single Gaussian is split now and then; with half the logarithm of the number of rows,
# as in the Bayesian one, clusters that overlap are merged.
NATS_A_PARAMETER = 2.0
# EM steps for each level of the path, and for the levels with no more than SETTLED
# memories, among which the best is likely to be.
STEPS = 3
SETTLING_STEPS, SETTLED = 10, 8


def noise_deviations(rows, random_state):
    """Deviations of the columns within clusters (n_features,).

    Parameters
    ----------
    rows : DistinctRows or FilledRows
        Centred, with columns in units of their own deviations.
    random_state : RandomState

    Returns
    -------
    ndarray of shape (n_features,)
        In those units.
    """
    if len(rows.values) > PATH_ROWS:
        drawn = draw_evenly(rows.weights, PATH_ROWS, random_state)
        drawn, times = np.unique(drawn, return_counts=True)
        rows = rows.drawn(drawn, times.astype(np.float64))
    free_energy, mixture = _start(rows, random_state)
    best, lowest = mixture.spread.covariance, np.inf
    try:
        for value, covariance in _levels(free_energy, mixture):
            if value < lowest:
                best, lowest = covariance, value
    except LinAlgError:  # a covariance that rounding makes singular ends the path
        pass
    return np.sqrt(np.diag(best))


def _levels(free_energy, mixture):
    """What each level of the path costs, in nats, and its covariance."""
    total = free_energy.rows.total_weight
    while True:
        few = len(mixture.weights) <= SETTLED
        for _ in range(SETTLING_STEPS if few else STEPS):
            expected = free_energy.expectation(mixture)
            mixture = free_energy.maximisation(mixture, expected)
        value = free_energy.expectation(mixture).free_energy * total
        n_parameters = len(mixture.weights) * (free_energy.n_features + 1)
        yield value + NATS_A_PARAMETER * n_parameters, mixture.spread.covariance
        if len(mixture.weights) == 1:
            return
        mixture = _merged(mixture, total)


def _start(rows, random_state):
    """The free energy of memories with one covariance, and the first ones.

    Missing values are filled: to integrate them out in each step takes minutes.
    """
    rows = rows.whole
    n_features = rows.values.shape[1]
    n_memories = most_memories(rows.total_weight, len(rows.values))
    partition = k_means(rows, n_memories, random_state)
    alive = partition.counts > 0
    counts = partition.counts[alive]
    centers = partition.sums / np.maximum(partition.counts, 1e-300)[:, None]
    spread = first_shared(rows, partition, centers, n_features, beta=None)
    free_energy = FreeEnergy(rows, Gaussian(), n_features, learn_weights=True)
    return free_energy, Mixture(centers[alive], counts / counts.sum(), spread)


def _merged(mixture, total_weight):
    """With the nearest pairs of memories merged."""
    spread, counts = mixture.spread, mixture.weights * total_weight
    grown = Grown(spread.project(mixture.centers), counts, spread.beta)
    grown = merge_nearest(grown, some_pairs(len(counts)))
    weights = grown.counts / total_weight
    return Mixture(spread.restore(grown.centers), weights, spread)
