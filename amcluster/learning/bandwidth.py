"""The bandwidth of a kernel density, by the likelihood of rows that are left out."""

from math import ceil, log, log2

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from ..rows.complete import Complete
from .kernel_density import kernel_density

# The likelihood is that of at most so many rows, without this part of the weight: that
# of the rows which are least likely.
MOST_ROWS = 2000
TRIM = 0.02
# How much smoother a density is made than the likelihood wants, so that its gradient is
# smooth enough. Measured on 26 sets: 1 to 1.5 do about as well.
FACTOR = 1.2
# Where all other rows together weigh less than this part of the row itself, rounding
# would hide them beside it.
ROUNDING = 1e-6


class LeaveOneOut:
    """The density of distinct rows, each left out of its own.

    Copies of a row are left out with it: their likelihood would grow without bound as
    the bandwidth falls.

    Parameters
    ----------
    rows : DistinctRows
        Two at least.
    """

    def __init__(self, rows):
        self._weights = rows.weights / rows.total_weight
        self._of_others = np.maximum(1 - self._weights, np.finfo(float).eps)
        self._values = rows.values.astype(np.float64)
        self._device = rows.device

    @property
    def bounds(self):
        """Bandwidths between which the likelihood has its maximum.

        Its slope is that of the mean of d^2 / h^2 - n_features, d a distance to others,
        averaged with weights that favour near ones: between the squared distance to the
        nearest and the mean of all. A tenth more is room for what is left out, and
        the factor 2 for rounding where one row has nearly all of the weight.
        """
        values, weights, n_features = self._values, self._weights, self._values.shape[1]
        nearest = np.square(cKDTree(values).query(values, [2])[0][:, 0])
        order = np.argsort(nearest, kind="stable")
        kept = kept_weights(weights[order][::-1])[::-1]
        least = kept @ nearest[order] / kept.sum()
        about_mean = np.square(values - weights @ values).sum(axis=1)
        of_others = (about_mean + weights @ about_mean) / self._of_others
        highest = max(1.1**2 * weights @ of_others, 2**2 * least)
        return np.sqrt(least / n_features), np.sqrt(highest / n_features)

    def log_densities(self, bandwidth):
        """The log density of each row under all others, in nats (n_rows,)."""
        network = kernel_density(self._values, self._weights, bandwidth, self._device)
        log_own = np.log(self._weights)
        others = np.expm1(Complete(self._values).log_evidence(network) - log_own)
        few = others < ROUNDING
        evidence = log_own + np.log(np.where(few, 1, others))
        evidence[few] = self._evidence_of_others(few, network.memories)
        normaliser = network.memories.energy.log_normaliser(
            network.memories.beta, self._values.shape[1], 0
        )
        return evidence + normaliser - np.log(self._of_others)

    def _evidence_of_others(self, where, memories):
        """The log evidence of all others for some of the rows, pair by pair."""
        squared = cdist(self._values[where], self._values, "sqeuclidean")
        squared[np.arange(len(squared)), np.flatnonzero(where)] = np.inf
        return logsumexp(memories.log_weights - memories.beta * squared, axis=1)

    def log_likelihood(self, bandwidth):
        """The weighted mean of the log densities, without the lowest."""
        values = self.log_densities(bandwidth)
        order = np.argsort(values, kind="stable")
        kept = kept_weights(self._weights[order])
        return kept @ values[order] / kept.sum()


def kept_weights(weights):
    """What is left of weights that sum to 1 without the first `TRIM` of their sum."""
    return np.clip(np.cumsum(weights) - TRIM, 0, weights)


def bandwidth_of(rows, random_state):
    """Bandwidth of a Gaussian kernel whose modes are to be found, in units of rows.

    The one that maximises the likelihood of rows which are left out falls with their
    number n as ``n ** (-1 / (n_features + 4))``, the rate at which a density is
    estimated best. For its gradient that is ``n ** (-1 / (n_features + 6))``.

    Parameters
    ----------
    rows : DistinctRows
    random_state : RandomState

    Returns
    -------
    float
        1 for a single row.
    """
    some, n_features = rows.in_strata(MOST_ROWS, random_state), rows.values.shape[1]
    if len(some.values) == 1:
        return 1.0
    wide = most_likely(LeaveOneOut(some)) * some.n_effective ** (1 / (n_features + 4))
    return float(FACTOR * wide * rows.n_effective ** (-1 / (n_features + 6)))


def most_likely(left_out):
    """The bandwidth at which rows that are left out are most likely."""
    least, highest = left_out.bounds
    grid = np.geomspace(least, highest, max(ceil(log2(highest / least)), 1) + 1)
    best = int(np.argmax([left_out.log_likelihood(one) for one in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    # In units of the highest the search goes the same way for data in any unit.
    found = minimize_scalar(
        lambda log_part: -left_out.log_likelihood(highest * np.exp(log_part)),
        bounds=[log(one / highest) for one in around],
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(highest * np.exp(found.x))
