"""How rare a log density is among the rows that were learned from."""

from typing import NamedTuple

import numpy as np

# Below the lowest of these parts of the rows, the tail is taken to be exponential.
PARTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
# A row that so small a part of the rows is rarer than is as likely new as not.
RARE = 0.02


class Tail(NamedTuple):
    """The distribution of log densities, in nats."""

    quantiles: np.ndarray  # (10,) log densities below which are those parts of the rows
    decline: float  # mean distance of the lowest from the first of them

    @classmethod
    def of(cls, log_densities, weights):
        """That of the rows of a fit."""
        order = np.argsort(log_densities, kind="stable")
        values = log_densities[order].astype(np.float64)
        values, weights = values[weights[order] > 0], weights[order][weights[order] > 0]
        finite = np.isfinite(values)
        if not finite.any():  # all rows are beyond what their dtype can tell
            return cls(np.zeros(len(PARTS)), 0.0)
        values = np.where(finite, values, values[finite].min())
        parts = np.cumsum(weights) / weights.sum()
        places = np.searchsorted(parts, PARTS - 1e-9).clip(max=len(values) - 1)
        first = values[places[0]]
        lowest = values <= first
        decline = np.average(first - values[lowest], weights=weights[lowest])
        # Rows that are all alike have no tail: what is not like them is new.
        return cls(values[places], float(decline))

    def part_below(self, log_densities):
        """The part of rows that are rarer, monotone also beyond the rarest."""
        values = log_densities.astype(np.float64)
        first = self.quantiles[0]
        below = np.minimum(values - first, 0.0)
        least = np.finfo(np.float64).eps * np.maximum(1, np.abs(first))
        part = PARTS[0] * np.exp(below / max(self.decline, least))
        inside = np.interp(values, self.quantiles, PARTS)
        return np.where(values < first, part, inside)

    def strangeness(self, log_densities):
        """From 0 for common rows to 1 for those rarer than all; 1/2 at `RARE`."""
        part = self.part_below(log_densities)
        return RARE**2 / (RARE**2 + np.square(part))
