"""Von Mises-Fisher: how likely a direction is at an angle from a memory.

The density ``c_D(kappa) exp(kappa * cos)`` on the unit sphere of n_features = D
dimensions depends on an angle, not on a distance: so it is none of the energies that
are registered, and estimators of Euclidean rows do not know it.

Its normaliser is made of the modified Bessel functions I of order nu = D / 2 - 1,

    log c_D = -(D / 2) log(2 pi) - log(I_nu(kappa) / kappa^nu),
    A_D = I_(nu + 1)(kappa) / I_nu(kappa),

whose values leave the range of float64 long before their logarithms do. At an order w
of `ORDER` or more they are the first terms of Debye's uniform expansion [1]_, at any
kappa. Lower orders follow from ``I_(j - 1) = I_(j + 1) + (2 j / kappa) I_j``, which is
stable downward. All of it is arithmetic of numbers, elementwise for arrays.

References
----------
.. [1] NIST Digital Library of Mathematical Functions, Sect. 10.41.
.. [2] A. Banerjee, I. S. Dhillon, J. Ghosh, S. Sra, "Clustering on the Unit Hypersphere
   using von Mises-Fisher Distributions", Journal of Machine Learning Research 6, 2005.
.. [3] A. T. A. Wood, "Simulation of the von Mises Fisher Distribution", Communications
   in Statistics 23, 1994.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .._typing import Numbers

ORDER = 40.0  # from this order on,
N_TERMS = 9  # the terms of Debye's series after so many are below 3e-15
LOG_2PI = math.log(2 * math.pi)
# Mean resultant lengths differ from 1 by at least this: nearer, they are rounding.
SMALLEST_GAP = 16 * float(np.finfo(np.float64).eps)
# Below this gap 1 - A the exact slope of A would be a difference of equal numbers.
CLOSE = 1e-6
NEWTON_STEPS = 4  # each doubles the digits, and the start has one or more


def debye_polynomials(n_terms: int) -> list[list[Fraction]]:
    """Debye's u_0, u_1, ... without the zeros among their coefficients.

    ``u_j(p) = sum_i c[j][i] p^(j + 2 i)``, from the recurrence

        u_(j+1)(p) = p^2 (1 - p^2) u_j'(p) / 2 + integral_0^p (1 - 5 t^2) u_j(t) dt / 8.
    """
    polynomials = [[Fraction(1)]]
    for j in range(n_terms - 1):
        u = polynomials[-1]
        following = [Fraction(0)] * (j + 2)
        for i, c in enumerate(u):
            power = j + 2 * i
            following[i] += c * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            following[i + 1] -= c * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
        polynomials.append(following)
    return polynomials


DEBYE = [[float(c) for c in u] for u in debye_polynomials(N_TERMS)]
# Of u_j / 2 + p u_j', which is what the derivative by kappa needs.
DEBYE_SLOPES = [
    [float(c * (Fraction(1, 2) + j + 2 * i)) for i, c in enumerate(u)]
    for j, u in enumerate(debye_polynomials(N_TERMS))
]


def log_normaliser(kappa: Numbers, n_features: int) -> Numbers:
    """Log of c_D, what makes the density integrate to 1 over the unit sphere.

    Parameters
    ----------
    kappa : float or ndarray of shape (n_memories,), float64
        Concentrations, not negative. At 0 the density is uniform: minus the log area of
        the sphere.
    n_features : int
        D, of the space that the sphere is in.

    Returns
    -------
    log_normaliser : float or ndarray of shape (n_memories,), float64
        In nats, exact to 1e-13 times the larger of 1 and itself. Where it is near 0 in
        more than 500 dimensions, to 2e-15 D: as much as the last digit of kappa does.
    """
    return _log_normaliser_and_ratio(kappa, n_features)[0]


def mean_resultant_length(kappa: Numbers, n_features: int) -> Numbers:
    """A_D, the length of the mean of the distribution; the mean cosine to its memory.

    Parameters
    ----------
    kappa : float or ndarray of shape (n_memories,), float64
        Concentrations, not negative.
    n_features : int
        D, of the space that the sphere is in.

    Returns
    -------
    mean_resultant_length : float or ndarray of shape (n_memories,), float64
        ``A_D(kappa) = I_(D/2)(kappa) / I_(D/2-1)(kappa)``, from 0 to 1.
    """
    return _log_normaliser_and_ratio(kappa, n_features)[1]


def concentration_of(length: Numbers, n_features: int) -> Numbers:
    """The kappa whose mean resultant length this is: the maximum of the likelihood.

    Newton's method on A_D, from ``R (D - R^2) / (1 - R^2)`` of [2]_.

    Parameters
    ----------
    length : float or ndarray of shape (n_memories,), float64
        Mean resultant lengths R, from 0 to 1. Beyond ``1 - SMALLEST_GAP`` they count as
        that, so that kappa is at most about 1.4e14 (D - 1).
    n_features : int
        D, of the space that the sphere is in.

    Returns
    -------
    kappa : float or ndarray of shape (n_memories,), float64
        Concentrations.
    """
    length = np.clip(np.asarray(length, dtype=np.float64), 0, 1 - SMALLEST_GAP)
    kappa = length * (n_features - length * length) / (1 - length * length)
    for _ in range(NEWTON_STEPS):
        kappa = np.maximum(kappa, 1e-150)  # it is divided by
        found = mean_resultant_length(kappa, n_features)
        slope = 1 - found * found - (n_features - 1) * found / kappa
        slope = np.where(1 - length > CLOSE, slope, (1 - found) / kappa)
        kappa = kappa - (found - length) / slope
    return np.where(length > 0, kappa, 0.0)[()]


def draw(
    directions: NDArray[np.floating],
    kappa: Numbers,
    random_state: np.random.RandomState,
) -> NDArray[np.float64]:
    """Rows at random, one about each direction, by Wood's rejection [3]_.

    Parameters
    ----------
    directions : ndarray of shape (n_samples, n_features)
        Unit rows, of two features or more.
    kappa : float or ndarray of shape (n_samples,), float64
        The concentration about each.
    random_state : RandomState instance
        What they are drawn from.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features), float64
        Unit rows.
    """
    n_samples, n_features = directions.shape
    kappa = np.broadcast_to(np.asarray(kappa, dtype=np.float64), n_samples)
    gaps = _draw_gaps(kappa, n_features, random_state)[:, None]
    across = random_state.normal(size=(n_samples, n_features))
    across -= np.einsum("ij,ij->i", across, directions)[:, None] * directions
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    rows = (1 - gaps) * directions + np.sqrt(gaps * (2 - gaps)) * across
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _log_normaliser_and_ratio(
    kappa: Numbers, n_features: int
) -> tuple[Numbers, Numbers]:
    """log c_D and A_D, at the first order that is high enough and then down."""
    kappa = np.asarray(kappa, dtype=np.float64)[()]
    order = n_features / 2 - 1
    n_steps = max(0, math.ceil(ORDER - order))
    top = order + n_steps
    hypotenuse = np.sqrt(top * top + kappa * kappa)
    base = top + hypotenuse
    series, slopes = _debye_series(top / hypotenuse, hypotenuse)
    ratio = kappa / base - kappa / (hypotenuse * hypotenuse) * (slopes / series)
    # I_nu / I_top, in units that keep it in range: one logarithm at the end.
    for step in range(n_steps):
        growth = 2 * (top - step) + kappa * ratio
        series = series * (growth / base)
        ratio = kappa / growth
    log_normaliser = (
        order * (np.log(base) - LOG_2PI)
        - hypotenuse
        + (np.log(hypotenuse) - LOG_2PI) / 2
        - np.log(series)
    )
    return log_normaliser, ratio


def _debye_series(p: Numbers, hypotenuse: Numbers) -> tuple[Numbers, Numbers]:
    """The sums over j of u_j(p) / w^j and of (u_j / 2 + p u_j') / w^j, w = p s."""
    square = p * p
    series, slopes = 0.0 * p, 0.0 * p
    for u, slope in zip(reversed(DEBYE), reversed(DEBYE_SLOPES), strict=True):
        series = series / hypotenuse + _polynomial(u, square)
        slopes = slopes / hypotenuse + _polynomial(slope, square)
    return series, slopes


def _polynomial(coefficients: list[float], x: Numbers) -> Numbers:
    value: Numbers = coefficients[-1]
    for c in coefficients[-2::-1]:
        value = value * x + c
    return value


def _draw_gaps(
    kappa: NDArray[np.float64], n_features: int, random_state: np.random.RandomState
) -> NDArray[np.float64]:
    """1 - cos of the angles to the memories, which is exact where kappa is large."""
    free = n_features - 1
    b = free / (2 * kappa + np.sqrt(4 * kappa * kappa + free * free))
    gaps = np.empty(len(kappa))
    waiting = np.arange(len(kappa))
    while len(waiting):
        k, c = kappa[waiting], b[waiting]
        z = random_state.beta(free / 2, free / 2, size=len(waiting))
        gap = 2 * c * z / (1 - (1 - c) * z)
        surplus = k * (2 * c / (1 + c) - gap)
        surplus += free * np.log((2 * c + (1 - c) * gap) * (1 + c) / (4 * c))
        gaps[waiting] = gap
        refused = surplus < np.log(random_state.uniform(size=len(waiting)))
        waiting = waiting[refused]
    return gaps
