"""What distinct rows of every kind share: they are centred, and have weights."""

from typing import NamedTuple

import numpy as np

from ..execution.select import CPU


class Fields(NamedTuple):
    """The arrays of distinct rows, and where they are."""

    values: np.ndarray  # (n_distinct, n_features), C-contiguous: (X - offset) / units
    weights: np.ndarray  # (n_distinct,) float64, positive
    offset: np.ndarray  # (n_features,) the weighted mean, in the dtype of values
    device: object = CPU()  # where kernels meet them
    units: np.ndarray | float = 1.0  # (n_features,) of values, in those of X


class WeightedRows(Fields):
    """Distinct rows, centred, with summed weights."""

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.weights.sum()

    @property
    def n_effective(self):
        """Kish's effective number of rows: all of them if they have one weight."""
        parts = self.weights / self.weights.max()  # whose squares are in range
        return parts.sum() ** 2 / np.square(parts).sum()

    @property
    def log_units(self):
        """What a change of units adds to the mean log density of a row of X."""
        if np.ndim(self.units) == 0:
            return 0.0
        return self.mean_over_seen(-np.log(self.units.astype(np.float64)))

    def in_units(self, units):
        """The same rows with columns divided by `units`."""
        return self._replace(values=self.values / units, units=self.units * units)

    def place(self, points):
        """Points of X beside the rows."""
        return (points - self.offset) / self.units

    def drawn(self, index, weights):
        """Some of the rows, with other weights."""
        return self._replace(values=self.values[index], weights=weights)

    def spread_out(self, size):
        """About this many rows, at even steps along their order; all if they are fewer.

        They keep their weights.
        """
        step = -(-len(self.values) // size)
        values, weights = self.values[::step], self.weights[::step]
        return self._replace(
            values=np.ascontiguousarray(values), weights=np.ascontiguousarray(weights)
        )

    def in_strata(self, size, random_state):
        """At most `size` rows: one drawn by weight from each of as many strata.

        The strata are of equal weight, along the order of the rows. A row weighs as
        much as the strata from which it is drawn; if they are no more, all rows are
        returned as they are. The generator is used in the same way for any rows.
        """
        seed = random_state.randint(2**31 - 1)
        if len(self.values) <= size:
            return self
        inside = np.random.RandomState(seed).uniform(size=size)
        places = (np.arange(size) + inside) / size
        mass = np.cumsum(self.weights)
        index = np.searchsorted(mass, places * mass[-1], "right").clip(
            max=len(mass) - 1
        )
        index, counts = np.unique(index, return_counts=True)
        return self.drawn(index, counts * (mass[-1] / size))
