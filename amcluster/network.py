"""The network of memories: what it says of rows, and how its states move.

A network is made once for each call of a user. What it says depends on the kind of
rows, which know how they meet memories: see `amcluster.rows.complete` and `.missing`.
"""

from typing import NamedTuple

import numpy as np

from .execution.select import CPU
from .kernels import Memories
from .rows.kinds import of_each_kind
from .spaces.metric import LearnedMetric


class Network(NamedTuple):
    """Memories, the metric they are in, and the device where kernels meet them."""

    memories: Memories  # in the units of X
    metric: LearnedMetric | None = None  # None: Euclidean
    middle: np.ndarray | None = None  # where the coordinates of the metric are 0
    device: object = CPU()
    beyond: bool = False  # whether distances outside the axes of the metric count
    has_base: bool = False  # whether the last memory is a base measure

    def with_base(self, base_mean, log_new, gamma, dimension, root=None):
        """The network with a base measure N(m, I / (2 gamma)) as one more memory.

        Where memories have roots it has one, too.

        Parameters
        ----------
        base_mean : ndarray of shape (n_features,)
        log_new : float
            Log weight of a new memory, beside those of the memories.
        gamma : float
            Inverse temperature of the base measure.
        dimension : float
            The number of dimensions that count: memories and base measure integrate to
            the same over so many.
        root : ndarray of shape (n_coordinates, n_coordinates), default=None
            Of determinant 1, beside roots of the memories; None: the identity.
        """
        memories, n_features = self.memories, len(base_mean)
        beta = memories.of_each(memories.beta)
        log_scale = np.log(gamma / memories.reference_beta) * dimension / n_features / 2
        roots = memories.roots
        if roots is not None:
            root = np.eye(roots.shape[1]) if root is None else root
            roots = np.concatenate([roots, root[None]])
        both = memories._replace(
            centers=np.vstack([memories.centers, base_mean]),
            log_weights=np.append(memories.log_weights, log_new),
            beta=np.append(beta, gamma),
            log_scales=np.append(memories.of_each(memories.log_scales), log_scale),
            dimension=float(n_features),
            roots=roots,
        )
        return self._replace(memories=both, has_base=True)

    @property
    def known(self):
        """The network without the base measure."""
        if not self.has_base:
            return self
        memories = self.memories.some(slice(-1))
        return self._replace(memories=memories, has_base=False)

    @property
    def base(self):
        """The network of the base measure alone."""
        memories = self.memories.some(slice(-1, None))
        return self._replace(memories=memories, has_base=False)

    def asked(self, X, missing, ask):
        """What ``ask(rows, network)`` says of rows of X, of each kind by itself.

        The network is given with its metric in a form that those rows can use.
        """
        return of_each_kind(
            X,
            missing,
            lambda rows: ask(rows, self.usable_by(rows)),
        )

    def usable_by(self, rows):
        """The network with its metric in a form that rows of a kind can use.

        Memories keep their shapes: their roots are then in its coordinates.
        """
        metric, memories = rows.usable(self.metric), self.memories
        if memories.roots is not None and metric is not self.metric:
            inside = self.metric.in_features(memories.roots)
            roots = np.tril(np.linalg.solve(metric.matrix, inside))
            memories = memories._replace(roots=roots)
        return self._replace(metric=metric, memories=memories)

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
            if memories.roots is not None:
                roots = np.pad(memories.roots, ((0, 0), (0, 1), (0, 1)))
                roots[:, -1, -1] = 1
                memories = memories._replace(roots=roots)
        return rows, memories._replace(centers=centers)

    def length_outside(self, points):
        """Length of the part of points that is outside the axes of the metric."""
        return self.metric.length_outside(
            points - self.middle.astype(points.dtype), self.device
        )

    def in_features(self, values):
        """Rows with missing values and the memories, about the middle, and a root.

        Coordinates mix features, so such rows have none; the root is the metric's, and
        memories with roots have them in its coordinates.
        """
        if self.metric is None:
            return values, self.memories, None
        centers = self.memories.centers - self.middle
        values = values - self.middle.astype(values.dtype)
        memories = self.memories._replace(centers=centers)
        return values, memories, self.metric.dense().matrix

    def states_after(self, rows, n_steps, step_size):
        """The states after so many steps from each row (n_rows, n_features)."""
        states = rows.states(self).after(n_steps, step_size)
        return self._points(states, rows, (1 - step_size) ** n_steps)

    def states_at_rest(self, rows, step_size):
        """The states where they rest, and whether they still moved in the end."""
        states, moved = rows.states(self).at_rest(step_size)
        return self._points(states, rows, 0.0), moved

    def paths(self, rows, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_features)."""
        path = rows.states(self).path(n_steps, step_size)
        if self.metric is not None:
            states = [
                self._points(path[:, t], rows, (1 - step_size) ** t)
                for t in range(n_steps + 1)
            ]
            path = np.stack(states, axis=1)
        return path

    def _points(self, states, rows, left):
        """States as points of X.

        What was outside the axes of a metric is pulled to them, and a part is `left`.
        """
        metric, X = self.metric, rows.values
        if metric is None:
            return states
        points = metric.features(states) + self.middle
        if metric.axes is not None and left:
            start = X - self.middle
            points += left * (start - metric.features(metric.coordinates(start)))
        points, seen = points.astype(states.dtype), ~np.isnan(X)
        # Where values are missing, the others are as they were.
        return np.where(seen & ~seen.all(axis=1, keepdims=True), X, points)
