"""Modes of a kernel density: where its memories flow to."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..learning.kernel_density import evidence_and_effective_rows, evidence_at
from ..network import Network
from ..rows.complete import Complete
from ..rows.distinct import canonical_order

# States that meet in a cell of this part of the bandwidth go on as one. Beside states
# that never do, at most three rows in a thousand end at another mode.
CELL = 0.1
# A state that moves by less than this part of the bandwidth has come far enough, and
# all have after so many steps: where two are short of one mode, no valley is between.
SLOW = 1e-3
MOST_STEPS = 100
# Memories within so many bandwidths of the origin flow in float32.
FAR = 500


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
    evidence: np.ndarray  # (n_states,) log density, up to a constant
    moves: np.ndarray  # (n_states,) whether it still moves
    where: np.ndarray  # (n_memories,) the state of each memory

    @classmethod
    def of(cls, network, bandwidth, step_size):
        """States that are at the memories."""
        memories = network.memories
        states, n_states = memories.centers, len(memories.centers)
        if np.abs(states).max() < FAR * bandwidth:
            states = states.astype(np.float32)
            network = network._replace(memories=memories.astype(np.float32))
        none, all_of_them = np.full(n_states, -np.inf), np.ones(n_states, bool)
        where = np.arange(n_states)
        return cls(network, bandwidth, step_size, states, none, all_of_them, where)

    def step(self):
        """The states after one step, those in a cell taken together."""
        states, evidence, moves = (x.copy() for x in self[3:6])
        rows = Complete(states[moves])
        moved = self.network.states_after(rows, 1, self.step_size)
        shift = np.linalg.norm(moved - rows.values, axis=1)
        states[moves], evidence[moves] = moved, evidence_at(self.network, moved)
        moves[moves] = shift > SLOW * self.bandwidth
        cells = np.floor(states / (CELL * self.bandwidth))
        order, is_first = canonical_order(cells, np.zeros(len(cells)))
        index = np.empty(len(cells), np.intp)
        index[order] = np.cumsum(is_first) - 1
        kept = order[is_first]
        return self._replace(
            states=states[kept],
            evidence=evidence[kept],
            moves=moves[kept],
            where=index[self.where],
        )

    def free_energy(self):
        """Mean over memories of minus the log density at their states, in nats."""
        memories, n_features = self.network.memories, self.states.shape[1]
        normaliser = memories.energy.log_normaliser(
            memories.reference_beta, n_features, 0
        )
        shares = np.exp(memories.log_weights.astype(np.float64))
        return -float(shares @ self.evidence[self.where] + normaliser)

    def modes(self, network):
        """The modes that the states have come to, as a network in float64 sees them."""
        states = self.states.astype(np.float64)
        near = cKDTree(states).query_pairs(CELL * self.bandwidth, output_type="ndarray")
        pairs = coo_array((np.ones(len(near)), near.T), shape=(len(states),) * 2)
        mode = connected_components(pairs, directed=False)[1]
        evidence, n_rows = evidence_and_effective_rows(network, states)
        # Of states that are one mode the highest is it.
        highest = np.lexsort((-evidence, mode))
        highest = highest[np.unique(mode[highest], return_index=True)[1]]
        order = np.argsort(-evidence[highest], kind="stable")
        rank, highest = np.argsort(order), highest[order]
        basins = rank[mode[self.where]]
        return Modes(states[highest], evidence[highest], n_rows[highest], basins)
