"""The arguments and results of kernels: the contract that all targets share.

A kernel is a pure function of one block of rows, in one of two forms::

    kernel(rows, memories, *settings, *out)           writes one entry of `out` per row
    kernel(rows, weights, memories, *settings, *out)  returns sums over the rows

Sums over any split of the rows add up to the sums over all of them, so that threads,
streams and other devices can share the work. Arrays are `plain`, blocks float32 or
float64; memories and settings have the dtype of the rows, weights and returned sums are
float64. Kernels for the CPU are serial: `amcluster.execution.threads` runs them.

Kernels for a GPU also accept arrays in its memory, as rows, weights and `out`;
`amcluster.execution.cuda` runs them.

Missing values are NaN, and rows that may have some are passed to kernels of their own.
With a learned metric these also take a `Metric`, compute in float64, and take memories
in float64.
"""

import importlib
from functools import cache
from typing import NamedTuple

import numpy as np

from ..energies import Gaussian

# Parameters of energies are limited to this, so that their products fit float32.
LARGEST_PARAMETER = 1e30

# The adjoint of contracting dynamics never grows on the way back from the last state.
GROWTH = 1.0


class Memories(NamedTuple):
    """The memories of a network, in the dtype of the rows they are used with.

    Their logits at a state v are ``log_weights[k] + n_seen * log_scales[k] +
    log_kernel(t)``, where t is ``beta[k] * |v - centers[k]|^2`` and n_seen the number
    of features that are not missing; the log-kernel of the Gaussian is -t. Distances
    are Euclidean: with a learned metric the caller transforms rows and centers.

    Memories may have shapes of their own: t is then ``beta[k] * |(v - centers[k]) @
    roots[k]|^2``. Each root has determinant 1, so that beta alone says how large a
    memory is.

    One number for all memories may stand for `beta` and for `log_scales`, until
    `astype` makes arrays of them, as kernels need.
    """

    centers: np.ndarray  # (n_clusters, n_features)
    log_weights: np.ndarray  # (n_clusters,)
    beta: np.ndarray | float  # (n_clusters,) inverse temperatures, 1/length^2
    energy: tuple = Gaussian()  # of a class registered in `amcluster.energies`
    dimension: np.floating = 0.0  # of the data, even if rows have fewer coordinates
    # (n_clusters,) what a feature adds to the log normaliser of a memory, beyond that
    # of the first: log(beta[k] / beta[0]) / 2
    log_scales: np.ndarray | float = 0.0
    # (n_clusters, n_features, n_features) lower triangular, of determinant 1; None: the
    # identity for all
    roots: np.ndarray | None = None

    @property
    def reference_beta(self):
        """The inverse temperature of the first memory: energies are in its unit."""
        return np.ravel(self.beta)[0]

    @property
    def alike(self):
        """Whether all memories have one inverse temperature."""
        return bool(np.all(self.beta == self.reference_beta))

    def some(self, where):
        """Some of the memories, by index, mask or slice."""
        return self._replace(
            centers=self.centers[where],
            log_weights=self.log_weights[where],
            beta=self.of_each(self.beta)[where],
            log_scales=self.of_each(self.log_scales)[where],
            roots=None if self.roots is None else self.roots[where],
        )

    def of_each(self, number, dtype=None):
        """An array of a number for each memory, from such an array or one number."""
        if isinstance(number, np.ndarray) and number.ndim:
            return plain(number, dtype)
        numbers = np.empty(len(self.log_weights), dtype or np.float64)
        numbers.fill(number)  # takes half the time of np.full
        return numbers

    def astype(self, dtype):
        """The same memories in another floating dtype."""
        number = np.dtype(dtype).type
        limit = LARGEST_PARAMETER
        parameters = (number(min(max(x, -limit), limit)) for x in self.energy)
        return self._replace(
            centers=plain(self.centers, dtype),
            log_weights=plain(self.log_weights, dtype),
            beta=self.of_each(self.beta, dtype),
            log_scales=self.of_each(self.log_scales, dtype),
            energy=type(self.energy)(*parameters),
            dimension=number(self.dimension),
            roots=None if self.roots is None else plain(self.roots, dtype),
        )


class Directions(NamedTuple):
    """Memories on the sphere, in the dtype of the rows they are used with.

    Their logits at a row x are ``offsets[k] + concentrations[k] * cos(x,
    directions[k])``: those of a mixture of von Mises-Fisher distributions, if offsets
    are log weights plus log normalisers.
    """

    directions: np.ndarray  # (n_clusters, n_features) unit rows
    concentrations: np.ndarray  # (n_clusters,) not negative
    offsets: np.ndarray  # (n_clusters,)

    def astype(self, dtype):
        """The same memories in another floating dtype."""
        return Directions(*(plain(array, dtype) for array in self))


class NonZeros(NamedTuple):
    """A block of rows of which only what is not zero is kept, as in SciPy's CSR."""

    data: np.ndarray  # (n_stored,) of all rows of the table
    indices: np.ndarray  # (n_stored,) the feature of each
    starts: np.ndarray  # (n_rows + 1,) int64, where each row of the block begins


class Metric(NamedTuple):
    """A metric A of determinant 1, and its products with the centers of memories."""

    matrix: np.ndarray  # (n_features, n_features), A
    root: np.ndarray  # A = root @ root.T
    images: np.ndarray  # (n_clusters, n_features) centers @ A
    projected: np.ndarray  # (n_clusters, n_features) centers @ root

    @classmethod
    def of(cls, root, centers):
        """The metric of a root, for these centers."""
        root = plain(root, np.float64)
        matrix = root @ root.T
        return cls(matrix, root, centers @ matrix, centers @ root)


class Shapes(NamedTuple):
    """A metric for each memory, A_k: all of one determinant."""

    matrices: np.ndarray  # (n_clusters, n_features, n_features) A_k
    roots: np.ndarray  # A_k = roots[k] @ roots[k].T

    @classmethod
    def of(cls, memories, root=None):
        """The metrics of memories with roots, in the coordinates x @ root."""
        roots = memories.roots if root is None else root @ memories.roots
        roots = plain(roots, np.float64)
        return cls(roots @ roots.transpose(0, 2, 1), roots)


class Dynamics(NamedTuple):
    """How a state moves: ``v <- v + step_size * moves * (u - v)``, n_steps times.

    Here u is the mean of the memories under the posterior of v. The first step may
    differ: it computes the posterior from the coordinates in `seen` only, and has its
    own size. So a state can start with hidden coordinates whose values are never used:
    they move but are not seen. Missing values of a row are hidden too, with a first
    step of size 1.
    """

    n_steps: int
    step_size: np.floating
    first_step_size: np.floating
    seen: np.ndarray  # (n_features,) 1 if the first step sees the coordinate, else 0
    moves: np.ndarray  # (n_features,) 1 where the state moves, 0 where it is clamped
    growth: np.floating  # an adjoint that grows by more than this factor is damped
    missing: bool = False  # whether rows may have missing values

    @classmethod
    def free(cls, n_features, n_steps, step_size, dtype, missing=False):
        """All coordinates are seen and move."""
        number = np.dtype(dtype).type
        step_size, growth = number(step_size), number(GROWTH)
        ones = np.ones(n_features, dtype=dtype)
        return cls(int(n_steps), step_size, step_size, ones, ones, growth, missing)

    @classmethod
    def clamped(cls, hidden, n_steps, step_size, dtype, missing=False):
        """Only the hidden coordinates move; their values in the rows are not used."""
        dtype = np.dtype(dtype)
        hidden = np.asarray(hidden, dtype=bool)
        return cls(
            int(n_steps),
            dtype.type(step_size),
            dtype.type(1.0),
            (~hidden).astype(dtype),
            hidden.astype(dtype),
            dtype.type(GROWTH),
            missing,
        )


def refuse_other_energies(memories):
    """Raise unless the memories are Gaussian and alike, for kernels that need it."""
    if memories.roots is not None:
        raise NotImplementedError(
            "Learning through the dynamics is for memories of one shape, not for such"
            " with roots of their own."
        )
    if not memories.alike:
        raise NotImplementedError(
            "Learning through the dynamics is for memories of one beta, not of several."
        )
    if not isinstance(memories.energy, Gaussian):
        raise NotImplementedError(
            "Learning through the dynamics is for the Gaussian energy, not for"
            f" {type(memories.energy).__name__}, which CLAMELBOClusterer learns."
        )


def plain(array, dtype=None):
    """The array in the layout of compiled kernels: aligned, writable, C-contiguous.

    Copying, for example a block of a memory map or of a Fortran-ordered array, costs
    less than compiling kernels a second time.
    """
    is_plain = type(array) is np.ndarray and array.flags.carray
    if is_plain and (dtype is None or array.dtype == dtype):
        return array
    return np.require(array, dtype, ["C", "A", "W", "E"])


@cache
def target(name="cpu"):
    """The module with the kernels of one target; imports numba on the first call."""
    return importlib.import_module(f".{name}", __package__)
