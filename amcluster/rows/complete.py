"""Rows in which every value is seen, as a network meets them."""

from typing import NamedTuple

import numpy as np

from .states import FreeStates


class Complete(NamedTuple):
    """Rows of X without missing values: the same calls as `Missing`."""

    values: np.ndarray  # (n_rows, n_features)

    has_missing = False

    @property
    def seen_part(self):
        """Part of the features that is seen."""
        return self.values.dtype.type(1)

    def usable(self, metric):
        """The metric in a form in which these rows have coordinates."""
        return metric

    def length_outside(self, network):
        """Length of the part that is outside the axes of the metric; 0 without any."""
        metric = network.metric
        has_axes = metric is not None and metric.axes is not None
        return network.length_outside(self.values) if has_axes else 0.0

    def logits(self, network):
        """The logit of each memory (n_rows, n_clusters)."""
        return self._written(network, "logits", len(network.memories.centers))

    def posteriors(self, network):
        """The posterior of each memory (n_rows, n_clusters)."""
        return self._written(network, "posterior", len(network.memories.centers))

    def labels(self, network):
        """The memory of largest posterior (n_rows,)."""
        return self._written(network, "label", dtype=np.intp)

    def log_evidence(self, network):
        """The logsumexp of the logits (n_rows,)."""
        return self._written(network, "log_evidence")

    def evidence_and_normaliser(self, network):
        """The same, and what makes it a log density, in nats."""
        return self.log_evidence(network), self._log_normaliser(network)

    def joint(self, network):
        """The logits with their normalisers: joint log densities, in nats."""
        return self.logits(network) + self._log_normaliser(network)

    def log_density(self, network):
        """The log density, in nats (n_rows,)."""
        return sum(self.evidence_and_normaliser(network))

    def completed(self, network):
        """The rows, of which nothing is missing."""
        return self.values

    def states(self, network):
        """States of the network that start at the rows."""
        return FreeStates(*network.in_coordinates(self.values), device=network.device)

    def _log_normaliser(self, network):
        memories = network.memories
        normaliser = memories.energy.log_normaliser(
            memories.reference_beta, self.values.shape[1], 0
        )
        return self.values.dtype.type(normaliser)

    def _written(self, network, kernel, *shape, dtype=None):
        values, device = self.values, network.device
        out = np.empty((len(values), *shape), dtype or values.dtype)
        kernel = getattr(device.kernels, kernel)
        device.rows_of(kernel, *network.in_coordinates(values), out=(out,))
        return out
