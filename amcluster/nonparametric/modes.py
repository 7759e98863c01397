"""Modes of a kernel density: where its memories flow to."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..learning.kernel_density import evidence_and_effective_rows
from ..network import Network
from ..rows.complete import Complete
from ..rows.distinct import canonical_order

# States that meet in a cell of this part of the bandwidth go on as one. Beside states
# that never do, at most three rows in a thousand end at another mode.
CELL = 0.1
# Steps of all states end when none of so many in a row made them fewer, or after so
# many; what is left comes to rest by itself.
PATIENCE = 3
MOST_STEPS = 100


class Modes(NamedTuple):
    """Modes of a density, the highest first, and where memories end."""

    points: np.ndarray  # (n_modes, n_features)
    evidence: np.ndarray  # (n_modes,) log density, up to a constant
    n_rows: np.ndarray  # (n_modes,) the effective number of rows that make it
    basins: np.ndarray  # (n_memories,) the mode at which each memory ends


class Flow(NamedTuple):
    """States of a network on their way from its memories to its modes."""

    network: Network
    bandwidth: float
    step_size: float
    states: np.ndarray  # (n_states, n_features), those that have met are one
    where: np.ndarray  # (n_memories,) the state of each memory
    idle: int = 0  # steps since states last met

    @classmethod
    def of(cls, network, bandwidth, step_size):
        """States that are at the memories."""
        centers = network.memories.centers
        where = np.arange(len(centers))
        return cls(network, bandwidth, step_size, centers, where)

    def step(self):
        """The states after one step, those in a cell taken together."""
        rows = Complete(self.states)
        states = self.network.states_after(rows, 1, self.step_size)
        cells = np.floor(states / (CELL * self.bandwidth))
        order, is_first = canonical_order(cells, np.zeros(len(cells)))
        index = np.empty(len(cells), np.intp)
        index[order] = np.cumsum(is_first) - 1
        return self._replace(
            states=states[order[is_first]],
            where=index[self.where],
            idle=self.idle + 1 if is_first.all() else 0,
        )

    @property
    def goes_on(self):
        """Whether states may still meet."""
        return len(self.states) > 1 and self.idle < PATIENCE

    def free_energy(self):
        """Mean over memories of minus the log density at their states, in nats."""
        memories = self.network.memories
        density = Complete(self.states).log_density(self.network)
        return -float(np.exp(memories.log_weights) @ density[self.where])

    def modes(self):
        """The modes at which the states come to rest."""
        states, _ = self.network.states_at_rest(Complete(self.states), self.step_size)
        near = cKDTree(states).query_pairs(CELL * self.bandwidth, output_type="ndarray")
        pairs = coo_array((np.ones(len(near)), near.T), shape=(len(states),) * 2)
        mode = connected_components(pairs, directed=False)[1]
        evidence, n_rows = evidence_and_effective_rows(self.network, states)
        # Of states that are one mode the highest is it.
        highest = np.lexsort((-evidence, mode))
        highest = highest[np.unique(mode[highest], return_index=True)[1]]
        order = np.argsort(-evidence[highest], kind="stable")
        rank, highest = np.argsort(order), highest[order]
        return Modes(
            states[highest],
            evidence[highest],
            n_rows[highest],
            rank[mode[self.where]],
        )
