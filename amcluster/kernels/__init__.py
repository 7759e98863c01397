"""What a kernel is given and what it returns: the contract of every target.

A kernel is a pure function of one block of rows, in one of two forms::

    kernel(rows, memories, *settings, *out)             writes one entry of `out` a row
    kernel(rows, weights, memories, *settings, *out)    returns sums over the rows

Sums over any split of the rows add up to the sums over all of them, so that threads,
streams and other devices run the same code. Arrays are `plain`, blocks float32 or
float64; memories and settings come in the dtype of the rows, weights and returned sums
in float64. Kernels for the CPU are serial: `amcluster.execution.threads` runs them.

Kernels for a GPU also take arrays that lie there, as rows, weights and `out`;
`amcluster.execution.cuda` runs them.

Rows with holes travel as blocks with NaN, to kernels of their own. In a learned metric
those take a `Metric` too, compute in float64, and are given memories in float64.
"""

import importlib
from functools import cache
from typing import NamedTuple

import numpy as np

from ..energies import Gaussian

# Parameters of energies are no larger: float32 holds products of more than these.
LARGEST_PARAMETER = 1e30

# Where dynamics contract, no adjoint of theirs is longer than the one they end with.
GROWTH = 1.0


class Memories(NamedTuple):
    """The memories of a network, in the dtype of the rows they meet.

    Their logits at a state v are ``log_weights[k] + log_kernel(t)``, where t is
    ``beta * |v - centers[k]|^2``; the log-kernel of the Gaussian is -t. A learned
    metric is no matter of kernels: rows and centers are brought to its coordinates
    before.
    """

    centers: np.ndarray  # (n_clusters, n_features)
    log_weights: np.ndarray  # (n_clusters,)
    beta: np.floating  # inverse temperature, 1/length^2
    energy: tuple = Gaussian()  # of a class that is registered in `amcluster.energies`
    dimension: np.floating = 0.0  # of the data, also where rows have fewer coordinates

    def astype(self, dtype):
        """The same memories in another floating dtype."""
        number = np.dtype(dtype).type
        limit = LARGEST_PARAMETER
        parameters = (number(min(max(x, -limit), limit)) for x in self.energy)
        return self._replace(
            centers=plain(self.centers, dtype),
            log_weights=plain(self.log_weights, dtype),
            beta=number(self.beta),
            energy=type(self.energy)(*parameters),
            dimension=number(self.dimension),
        )


class Metric(NamedTuple):
    """A metric of determinant 1, and what it makes of the centers of memories."""

    matrix: np.ndarray  # (n_features, n_features) A
    root: np.ndarray  # A = root @ root.T
    images: np.ndarray  # (n_clusters, n_features) centers @ A
    projected: np.ndarray  # (n_clusters, n_features) centers @ root

    @classmethod
    def of(cls, root, centers):
        """The metric of a root, for these centers."""
        root = plain(root, np.float64)
        matrix = root @ root.T
        return cls(matrix, root, centers @ matrix, centers @ root)


class Dynamics(NamedTuple):
    """How a state moves: ``v <- v + step_size * moves * (u - v)``, n_steps times.

    Here u is the mean of the memories under the posterior of v. The first step may be
    one of its own: it sees only some coordinates and has its own size. That is how a
    state with hidden coordinates starts without filling them in: what is hidden moves
    and is not seen. The holes of a row are hidden too, and their first step is of size
    1.
    """

    n_steps: int
    step_size: np.floating
    first_step_size: np.floating
    seen: np.ndarray  # (n_features,) 1 where the first step looks, else 0
    moves: np.ndarray  # (n_features,) 1 where the state moves, 0 where it is clamped
    growth: np.floating  # of an adjoint, beyond which it is damped; inf: never
    holes: bool = False  # whether rows may have some

    @classmethod
    def free(cls, n_features, n_steps, step_size, dtype, holes=False):
        """All coordinates are seen and move."""
        number = np.dtype(dtype).type
        step_size, growth = number(step_size), number(GROWTH)
        ones = np.ones(n_features, dtype=dtype)
        return cls(int(n_steps), step_size, step_size, ones, ones, growth, holes)

    @classmethod
    def clamped(cls, hidden, n_steps, step_size, dtype, holes=False):
        """Only the hidden coordinates move; what they held is never looked at."""
        dtype = np.dtype(dtype)
        hidden = np.asarray(hidden, dtype=bool)
        return cls(
            int(n_steps),
            dtype.type(step_size),
            dtype.type(1.0),
            (~hidden).astype(dtype),
            hidden.astype(dtype),
            dtype.type(GROWTH),
            holes,
        )


def refuse_other_energies(memories):
    """Raise unless the memories are Gaussian: what follows knows no other slopes."""
    if not isinstance(memories.energy, Gaussian):
        raise NotImplementedError(
            "Learning through the dynamics is for the Gaussian energy, not for"
            f" {type(memories.energy).__name__}, which CLAMELBOClusterer learns."
        )


def plain(array, dtype=None):
    """The array as kernels are compiled for: aligned, writable and C-contiguous.

    A copy, of a block of a memory map or of a Fortran-ordered array, costs less than a
    second compilation.
    """
    is_plain = type(array) is np.ndarray and array.flags.carray
    if is_plain and (dtype is None or array.dtype == dtype):
        return array
    return np.require(array, dtype, ["C", "A", "W", "E"])


@cache
def target(name="cpu"):
    """The module with the kernels of one target; numba is imported here, not before."""
    return importlib.import_module(f".{name}", __package__)
