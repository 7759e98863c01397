"""EM where memories have covariances of their own."""

import numpy as np

from ..kernels import Memories
from ..spaces.covariance import Own
from .em import FreeEnergy, Mixture
from .squarem import TINY

# The prior of covariances is worth so many rows for each feature. On fifteen real and
# drawn sets two were as good, but where clusters had fewer rows than features; there
# one memory took all rows.
ROWS_PER_FEATURE = 4


def with_own(mixture, basis, rows, form):
    """The mixture from which memories of one spread go on to covariances of their own.

    Covariances are drawn towards what they had in common.

    Parameters
    ----------
    mixture : Mixture
    basis : ndarray of shape (n_features, rank) or None
        Axes of the coordinates that it is in; None: the features themselves.
    rows : DistinctRows or DistinctRowsWithMissing
        With all features.
    form : {"spherical", "diagonal", "full"}
    """
    n_clusters, n_features = len(mixture.centers), len(rows.offset)
    centers = mixture.centers if basis is None else mixture.centers @ basis.T
    common = mixture.spread.of_features(n_features, basis)
    part = ROWS_PER_FEATURE * n_features / rows.total_weight
    spread = Own.alike(n_clusters, common, part, form)
    return Mixture(centers, mixture.weights, spread)


class OwnFreeEnergy(FreeEnergy):
    """The free energy of memories whose spread is `Own`, for rows of every kind.

    Their steps are not extrapolated: with a covariance each, lengths of steps say
    little of the direction in which memories go on.
    """

    extrapolates = False

    def memories_of(self, mixture):
        """The memories in the coordinates of the rows, which are the features."""
        betas, roots = mixture.spread.sizes_and_roots()
        return Memories(
            mixture.centers,
            np.log(mixture.weights),
            betas,
            self.likelihood,
            float(self.n_features),
            np.log(betas / betas[0]) / 2,
            roots,
        )

    def statistics(self, mixture, memories):
        """The sums over the rows, which may be a part of all rows.

        Their evidence is the log density of what is seen.
        """
        rows = self.rows
        statistics = rows.expectation(memories)
        log_density = statistics.evidence + rows.log_normaliser(memories)
        log_density += rows.log_units * rows.total_weight
        return statistics._replace(evidence=log_density)

    def maximisation(self, mixture, expected):
        """The M-step: centers and weights, then covariances about the new centers."""
        statistics, centers = expected.statistics, expected.centers
        irls, total = statistics.irls, statistics.weight
        weights, shares = mixture.weights, statistics.counts / total
        if self.learn_weights:
            weights = np.maximum(shares, TINY)
        alive, moved = irls > 0, centers.copy()
        moved[alive] = statistics.sums[alive] / irls[alive, None]
        step = moved - centers
        outer = step[:, :, None] * step[:, None, :]
        scatters = (statistics.moment - irls[:, None, None] * outer) / total
        return Mixture(moved, weights, mixture.spread.updated(shares, scatters))

    def _mean_log_density(self, memories, statistics):
        return statistics.evidence / statistics.weight
