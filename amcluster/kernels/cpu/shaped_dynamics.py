"""The dynamics of a state among memories with shapes of their own.

With s_k the posterior times the IRLS weight and P_k = 2 beta_k A_k, a step is ::

    v <- v + step_size * inv(sum_k s_k P_k) sum_k s_k P_k (center_k - v)

over the coordinates that move: the missing ones of a row, or all if none is missing. A
step of size 1 ends where a quadratic upper bound of the energy is least, if weights
fall with the distance: so none shorter than 2 raises the energy. A state does not move
if all weights are 0.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import kernel
from .energies import weight
from .metric import NEGLIGIBLE, hidden_root, solve_root, solve_transposed
from .missing import fill_zeros
from .reduce import logit, softmax
from .shaped_missing import squared_length


class Room(NamedTuple):
    """Room for one state."""

    state: np.ndarray  # (D,)
    seen: np.ndarray  # (D,)
    moving: np.ndarray  # (D,) the coordinates that move
    away: np.ndarray  # (K, D) center - state
    turned: np.ndarray  # (K, D) the same in the memory's shape
    squared: np.ndarray  # (K,)
    p: np.ndarray  # (K,)
    system: np.ndarray  # (D, D) the sum of s_k A_k, lower triangle
    factor: np.ndarray  # (D, D)
    drift: np.ndarray  # (D,)

    @classmethod
    def empty(cls, shape):
        """Room for states among centers of this shape."""
        n_clusters, n_features = shape
        return cls(
            state=np.empty(n_features),
            seen=np.empty(n_features),
            moving=np.empty(n_features, np.int64),
            away=np.empty(shape),
            turned=np.empty(shape),
            squared=np.empty(n_clusters),
            p=np.empty(n_clusters),
            system=np.empty((n_features, n_features)),
            factor=np.empty((n_features, n_features)),
            drift=np.empty(n_features),
        )


def shaped_rest(rows, memories, shapes, n_steps, step_size, tolerance, out, shift):
    """Write the states when they rest, or after so many steps, into out (n_rows, D).

    They start at what is in `out`. A state is at rest once the length of what is left
    to go, in the mean of the shapes, is at most `tolerance`; the last length is written
    into shift (n_rows,).
    """
    room, step_size = Room.empty(memories.centers.shape), float(step_size)
    settle(rows, memories, shapes, n_steps, step_size, tolerance, room, out, shift)


def shaped_trajectory(rows, memories, shapes, step_size, out):
    """Write the states on their way from out[:, 0] into out (n_rows, T + 1, D)."""
    room = Room.empty(memories.centers.shape)
    follow(rows, memories, shapes, float(step_size), room, out)


@kernel
def settle(rows, memories, shapes, n_steps, step_size, tolerance, room, out, shift):
    """`shaped_rest`, row by row."""
    for i in range(rows.shape[0]):
        n_moving = begin(rows[i], out[i], room)
        shift[i] = np.inf
        for _ in range(n_steps):
            length = aim(n_moving, memories, shapes, room)
            go(n_moving, step_size, room)
            shift[i] = length
            if length <= tolerance:
                break
        for j in range(rows.shape[1]):
            out[i, j] = room.state[j]


@kernel
def follow(rows, memories, shapes, step_size, room, out):
    """`shaped_trajectory`, row by row."""
    for i in range(rows.shape[0]):
        n_moving = begin(rows[i], out[i, 0], room)
        for t in range(1, out.shape[1]):
            aim(n_moving, memories, shapes, room)
            go(n_moving, step_size, room)
            for j in range(rows.shape[1]):
                out[i, t, j] = room.state[j]


@kernel
def begin(row, start, room):
    """Take a state from where it starts; return how many coordinates move."""
    n_features = row.shape[0]
    n_moving = fill_zeros(row, room.state, room.seen, room.moving)
    for j in range(n_features):
        room.state[j] = start[j]
        if n_moving == 0:
            room.moving[j] = j
    return n_features if n_moving == 0 else n_moving


@kernel
def go(n_moving, step_size, room):
    """Take a step."""
    for a in range(n_moving):
        room.state[room.moving[a]] += step_size * room.drift[a]


@kernel
def aim(n_moving, memories, shapes, room):
    """Write what is left to go; return its length in the mean of the shapes."""
    total = pull(n_moving, memories, shapes, room)
    drift, factor, moving = room.drift, room.factor, room.moving
    if total == 0.0:
        for a in range(n_moving):
            drift[a] = 0.0
        return 0.0
    hidden_root(room.system, moving, n_moving, factor)
    solve_root(factor, n_moving, drift)
    squared = 0.0
    for a in range(n_moving):
        squared += drift[a] * drift[a]
    solve_transposed(factor, n_moving, drift)
    return math.sqrt(squared / total)


@kernel
def pull(n_moving, memories, shapes, room):
    """Write the linear system of a step, and its right side into room.drift.

    Returns the sum of the weights of the memories.
    """
    meet_state(memories, shapes, room)
    total, none = 0.0, 0.0
    for a in range(n_moving):
        room.drift[a] = 0.0
        for b in range(a + 1):
            room.system[room.moving[a], room.moving[b]] = 0.0
    for k in range(room.p.shape[0]):
        scaled = memories.beta[k] * room.squared[k]
        share = room.p[k] * memories.beta[k]
        share *= weight(memories.energy, scaled, memories.dimension, none)
        if room.p[k] < NEGLIGIBLE or share == 0.0:
            continue
        total += share
        for a in range(n_moving):
            j = room.moving[a]
            entries, root, image = shapes.matrices[k, j], shapes.roots[k, j], 0.0
            for c in range(root.shape[0]):
                image += root[c] * room.turned[k, c]
            room.drift[a] += share * image
            for b in range(a + 1):
                room.system[j, room.moving[b]] += share * entries[room.moving[b]]
    return total


@kernel
def meet_state(memories, shapes, room):
    """Write the posterior of the state, squared distances and ways to the centers."""
    n_features, none = room.state.shape[0], 0.0
    for k in range(room.p.shape[0]):
        away = room.away[k]
        for j in range(n_features):
            away[j] = memories.centers[k, j] - room.state[j]
        room.squared[k] = squared_length(away, shapes.roots[k], room.turned[k])
        room.p[k] = logit(k, room.squared[k], none, memories)
    softmax(room.p)
