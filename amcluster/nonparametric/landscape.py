"""The energy landscape of memories and a base measure, from which new memories come."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from ..execution.select import CPU
from ..kernels import Dynamics, Memories
from ..network import MAX_RETRIEVAL_STEPS, Network, rest_tolerance


class WithBase(NamedTuple):
    """A network of memories, and the base measure as one more, of a single memory.

    With logits a_k of the memories; a_0 of the base measure has half the dimension that
    counts times log(gamma / beta), which makes both integrate to 1.
    """

    known: Network
    new: Network
    half: float  # half the dimension that counts

    @classmethod
    def of(cls, network, base_mean, log_new, gamma, half):
        """With the base measure N(m, I / (2 gamma)), of this log weight."""
        centers = base_mean[None]
        base = Memories(centers, np.array([log_new]), gamma)
        return cls(network, network._replace(memories=base), half)

    def evidences(self, rows):
        """logsumexp of a_1, ..., a_K, and a_0, of each row."""
        return rows.log_evidence(self.known), self.base_evidence(rows)

    def base_evidence(self, rows):
        """a_0 of each row; the dimension of a row is the part of it that is seen."""
        ratio = np.log(self.new.memories.beta / self.known.memories.beta)
        evidence = rows.log_evidence(self.new)
        return evidence + evidence.dtype.type(self.half * ratio) * rows.seen_part


class Landscape(NamedTuple):
    """Memories, and the base measure as one more memory, wider than the others.

    With logits a_k of the memories and a_0 of the base measure, all rows in coordinates
    where the metric is Euclidean.
    """

    memories: Memories
    base: Memories  # one
    half: float  # half the dimension that counts
    dtype: np.dtype  # of the rows
    device: object = CPU()  # where kernels meet them

    @classmethod
    def of(cls, centers, log_weights, base_mean, log_new, beta, gamma, half, dtype):
        """Memories N(center, I / (2 beta)) and a base measure N(m, I / (2 gamma)).

        `log_new` is the log weight of a new memory, beside those of the memories, and
        `half` is half the dimension that counts.
        """
        log_base = np.array([log_new + half * np.log(gamma / beta)])
        memories = Memories(centers, log_weights, beta).astype(dtype)
        base = Memories(base_mean[None], log_base, gamma).astype(dtype)
        return cls(memories, base, half, np.dtype(dtype))

    def evidences(self, rows):
        """logsumexp of a_1, ..., a_K, and a_0."""
        return [self._evidence(rows, part) for part in (self.memories, self.base)]

    def new_memory(self, rows):
        """Posterior mass of a new memory: softmax(a)_0."""
        return new_part(*self.evidences(rows))

    def drift(self, states):
        """Minus half the gradient of the energy, and how strongly memories pull.

        The pull is 1 where a memory has the whole posterior, and gamma / beta where the
        base measure has.
        """
        new = self.new_memory(states)[:, None]
        ratio = self.base.beta / self.memories.beta
        mean = np.empty_like(states)
        one_step = Dynamics.free(states.shape[1], 1, 1.0, self.dtype)
        self.device.rows_of(
            self.device.kernels.retrieve, states, self.memories, one_step, out=(mean,)
        )
        to_base = self.base.centers - states
        drift = (1 - new) * (mean - states) + new * ratio * to_base
        return drift, 1 - new + new * ratio

    def flow(self, states, n_steps, step_size, clamp=None):
        """The states v(0), ..., v(T), in a list."""
        path, every = [states], np.arange(len(states))
        for _ in range(n_steps):
            drift, _ = self.drift(path[-1])
            if clamp is not None:
                drift = clamp.held(drift, every)
            path.append(path[-1] + self.dtype.type(step_size) * drift)
        return path

    def rest(self, states, step_size, clamp=None):
        """The states when they move no more, and how many still did at the end.

        Far from all memories the drift is slow. Steps are longer there, up to the
        radius of a memory and to where the base measure alone would put the state: the
        way is the same, and the energy still falls.
        """
        states, moving = states.copy(), np.arange(len(states))
        tolerance, radius = rest_tolerance(self.memories), self.memories.beta**-0.5
        for _ in range(MAX_RETRIEVAL_STEPS):
            drift, pull = self.drift(states[moving])
            if clamp is not None:
                drift = clamp.held(drift, moving)
            length = np.linalg.norm(drift, axis=1, keepdims=True)
            longer = np.maximum(1, radius / np.maximum(length, tolerance))
            step = self.dtype.type(step_size) * np.minimum(longer, 1 / pull)
            states[moving] += step * drift
            moving = moving[(length > tolerance * pull)[:, 0]]
            if not len(moving):
                break
        return states, len(moving)

    def _evidence(self, rows, memories):
        out = np.empty(len(rows), self.dtype)
        kernel = self.device.kernels.log_evidence
        self.device.rows_of(kernel, rows, memories, out=(out,))
        return out


def new_part(of_memories, of_base):
    """Posterior mass of a new memory: softmax(a)_0.

    It is 1 where memories are too far away for the dtype, even if the base measure is
    too, which is wider.
    """
    beyond = of_memories == -np.inf
    return expit(np.where(beyond, np.inf, of_base - np.where(beyond, 0, of_memories)))


class Clamp:
    """Holds what is seen of rows with missing values: only what is missing moves.

    Moves are projected on those that leave the seen features alone, orthogonally in the
    metric; a memory then pulls to where it expects the hidden ones, given the rest.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows, NaN where missing; complete ones are free.
    root : ndarray of shape (n_features, n_features), default=None
        Root of the metric: states are in the coordinates X @ root. None: Euclidean.
    """

    def __init__(self, X, root=None):
        self._free = np.isnan(X)
        self._free[~self._free.any(axis=1)] = True
        self._axes = None
        if root is not None:
            patterns, numbers = np.unique(self._free, axis=0, return_inverse=True)
            self._pattern = numbers.ravel()
            self._axes = [
                None if free.all() else np.linalg.qr(root[free].T)[0].astype(X.dtype)
                for free in patterns
            ]

    def held(self, moves, numbers):
        """Moves of some of the rows, without what would change what is seen."""
        if self._axes is None:
            return np.where(self._free[numbers], moves, 0)
        held, pattern = moves.copy(), self._pattern[numbers]
        order = np.argsort(pattern, kind="stable")
        for alike in np.split(order, np.flatnonzero(np.diff(pattern[order])) + 1):
            axes = self._axes[pattern[alike[0]]]
            if axes is not None:
                held[alike] = moves[alike] @ axes @ axes.T
        return held
