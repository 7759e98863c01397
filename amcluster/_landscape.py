"""The energy landscape of memories and a base measure, from which new memories come."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from ._base import MAX_RETRIEVAL_STEPS, rest_tolerance
from ._blocks import rows_of
from .kernels import Dynamics, Memories, target


class Landscape(NamedTuple):
    """Memories, and the base measure as one more memory, wider than the others.

    With logits a_k of the memories and a_0 of the base measure, all rows in coordinates
    where the metric is Euclidean.
    """

    memories: Memories
    base: Memories  # one
    dtype: np.dtype  # of the rows

    @classmethod
    def of(cls, centers, log_weights, base_mean, log_new, beta, gamma, half, dtype):
        """Memories N(center, I / (2 beta)) and a base measure N(m, I / (2 gamma)).

        `log_new` is the log weight of a new memory, beside those of the memories, and
        `half` is half the dimension that counts.
        """
        log_base = np.array([log_new + half * np.log(gamma / beta)])
        memories = Memories(centers, log_weights, beta).astype(dtype)
        base = Memories(base_mean[None], log_base, gamma).astype(dtype)
        return cls(memories, base, np.dtype(dtype))

    def log_evidence(self, rows):
        """logsumexp of a_0, ..., a_K."""
        return np.logaddexp(*self._evidences(rows))

    def new_memory(self, rows):
        """Posterior mass of a new memory: softmax(a)_0."""
        of_memories, of_base = self._evidences(rows)
        return expit(of_base - of_memories)

    def drift(self, states):
        """Minus half the gradient of the energy, and how strongly memories pull.

        The pull is 1 where a memory has the whole posterior, and gamma / beta where the
        base measure has.
        """
        new = self.new_memory(states)[:, None]
        ratio = self.base.beta / self.memories.beta
        mean = np.empty_like(states)
        one_step = Dynamics.free(states.shape[1], 1, 1.0, self.dtype)
        rows_of(target().retrieve, states, self.memories, one_step, out=(mean,))
        to_base = self.base.centers - states
        drift = (1 - new) * (mean - states) + new * ratio * to_base
        return drift, 1 - new + new * ratio

    def flow(self, states, n_steps, step_size):
        """The states v(0), ..., v(T), in a list."""
        path = [states]
        for _ in range(n_steps):
            drift, _ = self.drift(path[-1])
            path.append(path[-1] + self.dtype.type(step_size) * drift)
        return path

    def rest(self, states, step_size):
        """The states when they move no more, and how many still did at the end.

        Far from all memories the drift is slow. Steps are longer there, up to the
        radius of a memory and to where the base measure alone would put the state: the
        way is the same, and the energy still falls.
        """
        states, moving = states.copy(), np.arange(len(states))
        tolerance, radius = rest_tolerance(self.memories), self.memories.beta**-0.5
        for _ in range(MAX_RETRIEVAL_STEPS):
            drift, pull = self.drift(states[moving])
            length = np.linalg.norm(drift, axis=1, keepdims=True)
            longer = np.maximum(1, radius / np.maximum(length, tolerance))
            step = self.dtype.type(step_size) * np.minimum(longer, 1 / pull)
            states[moving] += step * drift
            moving = moving[(length > tolerance * pull)[:, 0]]
            if not len(moving):
                break
        return states, len(moving)

    def _evidences(self, rows):
        return [self._evidence(rows, part) for part in (self.memories, self.base)]

    def _evidence(self, rows, memories):
        out = np.empty(len(rows), self.dtype)
        rows_of(target().log_evidence, rows, memories, out=(out,))
        return out
