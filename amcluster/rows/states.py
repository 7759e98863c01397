"""States of a network on their way, from where rows begin.

All classes move many states at once, and say where they are in coordinates where the
metric is Euclidean.
"""

from typing import NamedTuple

import numpy as np

from ..execution.select import CPU
from ..execution.threads import ROW_BY_ROW
from ..kernels import Dynamics, Memories, Shapes

# A state that takes longer than this to come to rest is between two memories.
MAX_RETRIEVAL_STEPS = 1000


class FreeStates(NamedTuple):
    """States that kernels move, from rows or from what they expect if it is missing."""

    values: np.ndarray  # (n_rows, n_coordinates) NaN where missing
    memories: Memories
    has_missing: bool = False
    device: object = CPU()

    def after(self, n_steps, step_size):
        """The states after so many steps (n_rows, n_coordinates)."""
        states = np.empty_like(self.values)
        self._run("retrieve", n_steps, step_size, out=(states,), passes=2 * n_steps)
        return states

    def at_rest(self, step_size):
        """The states where they rest, and whether they still moved in the end."""
        tolerance = rest_tolerance(self.memories)
        states, shift = np.empty_like(self.values), np.zeros_like(self.values[:, 0])
        self._run(
            "rest",
            MAX_RETRIEVAL_STEPS,
            step_size,
            tolerance,
            out=(states, shift),
            passes=20,
        )
        return states, shift > tolerance

    def path(self, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_coordinates)."""
        n_rows, n_coordinates = self.values.shape
        out = np.empty((n_rows, n_steps + 1, n_coordinates), self.values.dtype)
        passes = 2 * n_steps * ROW_BY_ROW
        self._run("trajectory", n_steps, step_size, out=(out,), passes=passes)
        return out

    def _run(self, kernel, n_steps, step_size, *settings, out, passes):
        values, missing = self.values, self.has_missing
        dynamics = Dynamics.free(
            values.shape[1], n_steps, step_size, values.dtype, missing
        )
        kernel, memories = getattr(self.device.kernels, kernel), self.memories
        arguments = kernel, values, memories, dynamics, *settings
        self.device.rows_of(*arguments, out=out, passes=passes)


class ShapedStates(NamedTuple):
    """States among memories with roots; in a row with missing values only those move.

    With missing values they move in features, and the metric brings them to coordinates
    at the end.
    """

    values: np.ndarray  # (n_rows, n_coordinates) NaN where missing
    start: np.ndarray  # (n_rows, n_coordinates)
    memories: Memories  # in float64
    shapes: Shapes
    metric: object | None = None  # None: they move in coordinates
    device: object = CPU()

    def after(self, n_steps, step_size):
        """The states after so many steps (n_rows, n_coordinates)."""
        return self._rest(int(n_steps), step_size, -1.0)[0]

    def at_rest(self, step_size):
        """The states where they rest, and whether they still moved in the end."""
        tolerance = self._tolerance()
        states, shift = self._rest(MAX_RETRIEVAL_STEPS, step_size, tolerance)
        return states, shift > tolerance

    def path(self, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_coordinates)."""
        out = np.repeat(self.start[:, None], n_steps + 1, axis=1)
        self._run("shaped_trajectory", step_size, out=(out,), passes=n_steps)
        return self._coordinates(out)

    def _rest(self, n_steps, step_size, tolerance):
        states, shift = self.start.copy(), np.empty(len(self.start))
        settings, out = (n_steps, step_size, tolerance), (states, shift)
        self._run("shaped_rest", *settings, out=out, passes=min(n_steps, 20))
        return self._coordinates(states), shift

    def _run(self, kernel, *settings, out, passes):
        kernel = getattr(self.device.kernels_in_shapes, kernel)
        arguments = self.values, self.memories, self.shapes, *settings
        passes *= ROW_BY_ROW * (1 + self.values.shape[1] // 2)
        self.device.rows_of(kernel, *arguments, out=out, passes=passes)

    def _coordinates(self, states):
        return states if self.metric is None else self.metric.of_rows(states)

    def _tolerance(self):
        """As `rest_tolerance`; states are float64 on their way."""
        lengths = np.einsum("kd,kde->ke", self.memories.centers, self.shapes.roots)
        rounding = 4 * np.finfo(float).eps * np.linalg.norm(lengths, axis=1).max()
        radius = np.sqrt(0.5 / self.memories.beta.max())
        return np.finfo(self.values.dtype).eps ** (2 / 3) * radius + rounding


class HeldStates(NamedTuple):
    """States of rows with missing values in a metric: only what is missing moves."""

    start: FreeStates
    clamp: "Clamp"

    def after(self, n_steps, step_size):
        """The states after so many steps (n_rows, n_coordinates)."""
        *_, states = self._steps(n_steps, step_size)
        return states

    def path(self, n_steps, step_size):
        """The states on their way (n_rows, n_steps + 1, n_coordinates)."""
        return np.stack(list(self._steps(n_steps, step_size)), axis=1)

    def at_rest(self, step_size):
        """The states where they rest, and whether they still moved in the end.

        Steps are longer where the pull is weak, as those of `cpu/dynamics.py`.
        """
        states, memories = self.start.values.copy(), self.start.memories
        tolerance, radius = rest_tolerance(memories), memories.beta.max() ** -0.5
        moving = np.arange(len(states))
        for _ in range(MAX_RETRIEVAL_STEPS):
            drift = self._drift(states[moving], moving)
            pull = self._pull(states[moving])[:, None]
            length = np.linalg.norm(drift, axis=1, keepdims=True)
            longer = np.maximum(1, radius / np.maximum(length, tolerance))
            step = states.dtype.type(step_size) * np.minimum(longer, 1 / pull)
            states[moving] += step * drift
            moving = moving[(length > tolerance * pull)[:, 0]]
            if not len(moving):
                break
        still_moves = np.zeros(len(states), bool)
        still_moves[moving] = True
        return states, still_moves

    def _steps(self, n_steps, step_size):
        states, every = self.start.values, slice(None)
        yield states
        for _ in range(n_steps):
            step_size = states.dtype.type(step_size)
            states = states + step_size * self._drift(states, every)
            yield states

    def _drift(self, states, where):
        """What is left of a step of size 1 of states that are those of some rows."""
        moves = self.start._replace(values=states).after(1, 1.0) - states
        return self.clamp.held(moves, where)

    def _pull(self, states):
        """How strongly memories pull: the mean share of the largest beta."""
        memories, device = self.start.memories, self.start.device
        posteriors = np.empty((len(states), len(memories.beta)), states.dtype)
        device.rows_of(device.kernels.posterior, states, memories, out=(posteriors,))
        return posteriors @ (memories.beta / memories.beta.max())


class Clamp:
    """Holds what is seen of rows with missing values.

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
            patterns, indices = np.unique(self._free, axis=0, return_inverse=True)
            self._pattern = indices.ravel()
            self._axes = [
                None if free.all() else np.linalg.qr(root[free].T)[0].astype(X.dtype)
                for free in patterns
            ]

    def held(self, moves, where):
        """Moves of some of the rows, without what would change what is seen."""
        if self._axes is None:
            return np.where(self._free[where], moves, 0)
        held, pattern = moves.copy(), self._pattern[where]
        order = np.argsort(pattern, kind="stable")
        for same in np.split(order, np.flatnonzero(np.diff(pattern[order])) + 1):
            axes = self._axes[pattern[same[0]]]
            if axes is not None:
                held[same] = moves[same] @ axes @ axes.T
        return held


def rest_tolerance(memories):
    """Length of u - v below which a state rests: small beside the radius of a memory.

    The second part is what rounding leaves of the difference.
    """
    dtype = memories.centers.dtype
    eps, radius = np.finfo(dtype).eps, np.sqrt(0.5 / np.max(memories.beta))
    rounding = 4 * eps * np.linalg.norm(memories.centers, axis=1).max()
    return dtype.type(eps ** (2 / 3) * radius + rounding)
