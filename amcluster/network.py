"""The network of memories: what it says of rows, and how its states move.

A network is made once for each call of a user. What it says depends on the kind of
rows, which know how they meet memories: see `amcluster.rows.complete` and `.missing`.
"""

from typing import NamedTuple

import numpy as np

from .execution.select import CPU
from .execution.threads import ROW_BY_ROW
from .kernels import Dynamics, Memories
from .rows.kinds import of_each_kind
from .spaces.metric import LearnedMetric

# A state that takes longer than this to come to rest is between two memories.
MAX_RETRIEVAL_STEPS = 1000


class Network(NamedTuple):
    """Memories, the metric they are in, and the device where kernels meet them."""

    memories: Memories  # in the units of X
    metric: LearnedMetric | None = None  # None: Euclidean
    middle: np.ndarray | None = None  # where the coordinates of the metric are 0
    device: object = CPU()
    beyond: bool = False  # whether distances outside the axes of the metric count

    def asked(self, X, missing, ask):
        """What ``ask(rows, network)`` says of rows of X, of each kind by itself.

        The network is given with its metric in a form that those rows can use.
        """
        return of_each_kind(
            X,
            missing,
            lambda rows: ask(rows, self._replace(metric=rows.usable(self.metric))),
        )

    def coordinates(self, points):
        """Points of X in coordinates where the metric is Euclidean."""
        if self.metric is None:
            return points
        middle = self.middle.astype(points.dtype)  # about it float32 keeps its digits
        return self.metric.coordinates(points - middle, self.device)

    def in_coordinates(self, values):
        """Complete rows and the memories, in those coordinates."""
        memories = self.memories.astype(values.dtype)
        centers, rows = self.coordinates(memories.centers), self.coordinates(values)
        if self.beyond and self.metric is not None and self.metric.axes is not None:
            # One further coordinate, where all memories are at 0.
            rows = np.column_stack([rows, self.length_outside(values)])
            centers = np.pad(centers, ((0, 0), (0, 1)))
        return rows, memories._replace(centers=centers)

    def length_outside(self, points):
        """Length of the part of points that is outside the axes of the metric."""
        return self.metric.length_outside(
            points - self.middle.astype(points.dtype), self.device
        )

    def in_features(self, values):
        """Rows with missing values and the memories, about the middle, and a root.

        Coordinates mix features, so such rows have none; the root is the metric's.
        """
        if self.metric is None:
            return values, self.memories, None
        centers = self.memories.centers - self.middle
        values = values - self.middle.astype(values.dtype)
        memories = self.memories._replace(centers=centers)
        return values, memories, self.metric.dense().matrix

    def states_after(self, rows, n_steps, step_size):
        """The states after so many steps from each row (n_rows, n_features)."""
        values, memories = self.in_coordinates(rows.values)
        dynamics = self._dynamics(rows, n_steps, step_size)
        states = np.empty(values.shape, values.dtype)
        kernel, passes = self.device.kernels.retrieve, 2 * n_steps
        self.device.rows_of(
            kernel, values, memories, dynamics, out=(states,), passes=passes
        )
        return states

    def states_at_rest(self, rows, step_size):
        """The states where they rest, and whether they still moved in the end."""
        values, memories = self.in_coordinates(rows.values)
        dynamics = self._dynamics(rows, MAX_RETRIEVAL_STEPS, step_size)
        tolerance = rest_tolerance(memories)
        states, shift = (
            np.empty(values.shape, values.dtype),
            np.zeros_like(values[:, 0]),
        )
        kernel, out = self.device.kernels.rest, (states, shift)
        self.device.rows_of(
            kernel, values, memories, dynamics, tolerance, out=out, passes=20
        )
        return states, shift > tolerance

    def paths(self, rows, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_features)."""
        values, memories = self.in_coordinates(rows.values)
        dynamics = self._dynamics(rows, n_steps, step_size)
        out = np.empty((len(values), n_steps + 1, values.shape[1]), values.dtype)
        kernel, passes = self.device.kernels.trajectory, 2 * n_steps * ROW_BY_ROW
        self.device.rows_of(
            kernel, values, memories, dynamics, out=(out,), passes=passes
        )
        return out

    def _dynamics(self, rows, n_steps, step_size):
        n_features, dtype = rows.values.shape[1], rows.values.dtype
        return Dynamics.free(n_features, n_steps, step_size, dtype, rows.has_missing)


def rest_tolerance(memories):
    """Length of u - v below which a state rests: small beside the radius of a memory.

    The second part is what rounding leaves of the difference.
    """
    eps = np.finfo(memories.centers.dtype).eps
    radius = np.sqrt(0.5 / memories.beta)
    rounding = 4 * eps * np.linalg.norm(memories.centers, axis=1).max()
    return memories.centers.dtype.type(eps ** (2 / 3) * radius + rounding)
