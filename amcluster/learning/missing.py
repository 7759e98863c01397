"""EM with missing values, which are integrated out of every quantity.

NaN is a value that was not seen, which is taken to say nothing of what it is.
"""

import numpy as np

from ..energies import Gaussian
from ..rows.missing import filled
from ..spaces.covariance import first_shared
from ..spaces.metric import column_units
from .em import FreeEnergy, Mixture, lower
from .seeding import partition_rows

# Before first memories are sought, missing values are filled by a short run of EM, with
# a larger tolerance, on as many rows as it takes to learn one covariance.
FILLING_ITERATIONS = 20
FILLING_TOLERANCE = 1e-4
FILLING_ROWS = 4000


def roughly_filled(rows):
    """Rows whose missing values are filled by one memory with a learned metric.

    Well enough to seek first memories in them: the rest of a row says something of what
    is hidden. Complete rows are left as they are.
    """
    return rows.filled(_filled_by_one)


def _filled_by_one(rows):
    units, _ = column_units(rows.values, rows.weights, rows.offset)
    return rows.with_values(_values_filled_by_one(rows.in_units(units)) * units)


def _values_filled_by_one(rows):
    """The values of rows in units of their deviations, missing ones filled in."""
    sample = rows.spread_out(FILLING_ROWS)
    whole = sample.with_values(np.nan_to_num(sample.values))
    n_features = rows.values.shape[1]
    partition = partition_rows(whole, np.zeros_like(whole.values[:1]))
    centers = np.zeros((1, n_features))
    spread = first_shared(whole, partition, centers, n_features, beta=None)
    free_energy = FreeEnergyWithMissing(sample, Gaussian(), n_features, False)
    mixture, *_ = lower(
        free_energy,
        Mixture(centers, np.ones(1), spread),
        max_iter=FILLING_ITERATIONS,
        tol=FILLING_TOLERANCE,
        watch=lambda *_: False,
    )
    memories, root = free_energy.memories_of(mixture), mixture.spread.metric_root
    return filled(rows.device, rows.values, memories, root)


class FreeEnergyWithMissing(FreeEnergy):
    """The free energy of what is seen, lowered by exact EM."""

    def memories_of(self, mixture):
        """The memories in the coordinates of the rows, which are the features."""
        return self._memories(mixture.centers, mixture)

    def statistics(self, mixture, memories):
        """The sums over the rows, which may be a part of all rows.

        Their evidence is the log density of what is seen, as that has a normaliser of
        its own in each row.
        """
        rows = self.rows
        statistics = rows.expectation(memories, mixture.spread.metric_root)
        normaliser = self.likelihood.log_normaliser(
            memories.beta, rows.n_seen, self.n_features - rows.n_seen
        )
        log_density = statistics.evidence + rows.weights @ normaliser
        log_density += rows.log_units * rows.total_weight
        log_density -= statistics.log_determinants / 2
        return statistics._replace(evidence=log_density)

    def maximisation(self, mixture, expected):
        """The M-step: centers and weights, then the spread about the new centers."""
        statistics, centers = expected.statistics, expected.centers
        irls = statistics.irls.reshape(len(centers), -1)
        moved = statistics.sums / np.where(irls > 0, irls, 1.0)
        moved = np.where(irls > 0, moved, centers)
        closer = (irls * np.square(moved - centers)).sum()
        return self._about(moved, mixture, statistics, closer)

    def _mean_log_density(self, memories, statistics):
        return statistics.evidence / statistics.weight
