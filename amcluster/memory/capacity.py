"""How many patterns a kernel density can hold: a scale, and an experiment."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from .._typing import Floats, RandomState
from ..checks import check_number, generator_of
from ..energies.von_mises_fisher import log_normaliser
from ..rows.complete import Complete
from ._stored import nearest
from .kernel_density import KernelDensityMemory


def kde_capacity(n_features: int, radius: float, bandwidth: float) -> float:
    """Number of random patterns on a sphere at which a Gaussian density forgets them.

    At a pattern its own kernel is 1, and those of patterns all over the sphere sum up
    to as much in the mean if there are::

        N* = exp(kappa) / (Gamma(D / 2) (2 / kappa)^(D / 2 - 1) I_(D / 2 - 1)(kappa)),
        kappa = radius^2 / bandwidth^2

    with D features and the modified Bessel function I. It is a scale, and no bound:
    for D of 4 to 6 half the patterns keep a fixed point of their own at about 0.25 N*,
    and half are retrieved as themselves at about 0.4 N*.

    Parameters
    ----------
    n_features : int
        D, 2 or more.
    radius : float
        Of the sphere.
    bandwidth : float
        The standard deviation of the kernels, in the unit of the radius.

    Returns
    -------
    n_patterns : float
        The N*; infinite where it leaves the range of numbers.

    See Also
    --------
    retrieval_experiment : What becomes of so many patterns.

    Notes
    -----
    Proposition A.13 of [1]_ has 2^(2 (D - 1)) for radius 2 sqrt(D - 1) and bandwidth 1,
    if patterns are as far apart as Assumption A.12 wants them. So many patterns cannot
    be: caps about them, of half that distance, do not fit on the sphere. In 4
    dimensions there is room for 12 of the 64 at most.

    References
    ----------
    .. [1] R. Schaeffer et al., "Bridging Associative Memory and Probabilistic
       Modeling", 2024, arXiv:2402.10202.

    Examples
    --------
    >>> from amcluster.memory import kde_capacity
    >>> [round(kde_capacity(D, 2 * (D - 1) ** 0.5, 1.0), 2) for D in (2, 3, 4)]
    [4.83, 16.0, 53.83]
    """
    check_number(n_features, "n_features", Integral, min_val=2)
    check_number(radius, "radius", min_val=0, include_boundaries="neither")
    check_number(bandwidth, "bandwidth", min_val=0, include_boundaries="neither")
    kappa = float(radius / bandwidth) ** 2
    uniform, peaked = (log_normaliser(k, int(n_features)) for k in (0.0, kappa))
    log_number = kappa + peaked - uniform
    with np.errstate(over="ignore"):
        return float(np.exp(log_number))


class RetrievalExperiment(NamedTuple):
    """What became of random patterns on a sphere, by their number and its dimensions.

    Parameters
    ----------
    n_features : ndarray of shape (n_dimensions,), int
        Numbers of features.
    n_patterns : ndarray of shape (n_numbers,), int
        Numbers of patterns.
    stored : ndarray of shape (n_dimensions, n_numbers), float64
        Share of the patterns that have a fixed point of their own.
    retrieved : ndarray of shape (n_dimensions, n_numbers), float64
        Share of the particles that end nearer to their own pattern than to all others.
    distance_ratio : ndarray of shape (n_dimensions, n_numbers), float64
        Mean of the distance of particles to their patterns, in the end divided by that
        in the beginning, and then by the mean distance of two patterns: Figs 6 and 8.
    """

    n_features: NDArray[np.integer]
    n_patterns: NDArray[np.integer]
    stored: NDArray[np.float64]
    retrieved: NDArray[np.float64]
    distance_ratio: NDArray[np.float64]


def retrieval_experiment(
    n_patterns: ArrayLike = (2, 4, 8, 16, 32, 64, 128, 256),
    n_features: ArrayLike = (3, 4, 5, 6, 7, 8),
    *,
    bandwidth: float = 1.0,
    radius: float | None = None,
    n_particles: int = 5,
    noise: float = 0.1,
    n_repeats: int = 5,
    random_state: RandomState = None,
) -> RetrievalExperiment:
    """Store random patterns on a sphere, and retrieve them from nearby.

    These are the numbers of Figs 6 to 8 of [1]_: patterns are uniform on a sphere, a
    kernel density has them as its memories, and particles that start about each pattern
    follow its dynamics until they rest.

    Parameters
    ----------
    n_patterns : array-like of shape (n_numbers,), default=(2, 4, ..., 256)
        Numbers of patterns, each 2 or more.
    n_features : array-like of shape (n_dimensions,), default=(3, 4, ..., 8)
        Numbers of features, each 2 or more.
    bandwidth : float, default=1.0
        Of the kernel density.
    radius : float, default=None
        Of the sphere; None: ``2 * sqrt(n_features - 1)``, that of the paper.
    n_particles : int, default=5
        Number of particles about each pattern.
    noise : float, default=0.1
        Standard deviation of each feature of a particle about its pattern.
    n_repeats : int, default=5
        How often patterns are drawn; results are means.
    random_state : int, RandomState instance, default=None
        Draws patterns and particles.

    Returns
    -------
    experiment : RetrievalExperiment
        A table for each number.

    See Also
    --------
    kde_capacity : A scale for the number of patterns.

    References
    ----------
    .. [1] R. Schaeffer et al., "Bridging Associative Memory and Probabilistic
       Modeling", 2024, arXiv:2402.10202.

    Examples
    --------
    >>> from amcluster.memory import retrieval_experiment
    >>> found = retrieval_experiment([2, 128], [3, 8], random_state=0)
    >>> found.stored.round(1)
    array([[1., 0.],
           [1., 1.]])
    """
    numbers = _checked(n_patterns, "n_patterns")
    dimensions = _checked(n_features, "n_features")
    check_number(bandwidth, "bandwidth", min_val=0, include_boundaries="neither")
    if radius is not None:
        check_number(radius, "radius", min_val=0, include_boundaries="neither")
    check_number(n_particles, "n_particles", Integral, min_val=1)
    check_number(noise, "noise", min_val=0, include_boundaries="neither")
    check_number(n_repeats, "n_repeats", Integral, min_val=1)
    generator = generator_of(random_state)
    tables = np.zeros((3, len(dimensions), len(numbers)))
    for i, D in enumerate(dimensions):
        here = 2 * math.sqrt(D - 1) if radius is None else radius
        for j, N in enumerate(numbers):
            for _ in range(n_repeats):
                patterns = generator.normal(size=(N, D))
                patterns *= here / np.linalg.norm(patterns, axis=1, keepdims=True)
                steps = noise * generator.normal(size=(n_particles, N, D))
                tables[:, i, j] += _outcome(patterns, steps, bandwidth)
    return RetrievalExperiment(dimensions, numbers, *(tables / n_repeats))


def _outcome(patterns: Floats, steps: Floats, bandwidth: float) -> Sequence[float]:
    """The shares stored and retrieved, and the ratio of distances."""
    memory = KernelDensityMemory(bandwidth).fit(patterns)
    starts = (patterns + steps).reshape(-1, patterns.shape[1])
    ends, _ = memory._network().states_at_rest(Complete(starts), memory.step_size)
    left = np.linalg.norm(ends.reshape(steps.shape) - patterns, axis=2)
    ratio = np.mean(left / np.linalg.norm(steps, axis=2)) / pdist(patterns).mean()
    own = np.tile(np.arange(len(patterns)), len(steps))
    return memory.stored_.mean(), np.mean(nearest(ends, patterns) == own), ratio


def _checked(value: ArrayLike, name: str) -> NDArray[np.integer]:
    """Whole numbers of 2 or more."""
    numbers = np.atleast_1d(value)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not (numbers >= 2).all():
        raise ValueError(
            f"{name} == {value!r}, must be whole numbers >= 2 in one dimension."
        )
    return numbers
