"""Dense associative memories: binary units, and energies that tell patterns apart."""

import math
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfc, logsumexp

from .._typing import Floats, Ints, RandomState
from ..checks import check_choice, check_number
from ._stored import StoredPatterns
from ._updates import check_binary, check_updates, drawn_order, settled

SEPARATIONS = ("polynomial", "rectified_polynomial", "exponential", "lse")
POWERS = SEPARATIONS[:2]
# Overlaps of states with patterns, as many numbers as are in memory at once.
BLOCK = 1 << 20
LARGEST = math.log(np.finfo(np.float64).max)
# A field this small beside the sum of its terms is what rounding leaves of 0.
ROUNDING = 64 * float(np.finfo(np.float64).eps)


class DenseAssociativeMemory(StoredPatterns):
    """Binary associative memory with a steep energy, for more patterns than features.

    Patterns p_k and states s are rows of +1 and -1, with overlaps ``o_k = p_k . s``.
    The energy is ``E(s) = -sum_k F(o_k)`` with one of::

        polynomial              F(o) = o^degree / degree
        rectified_polynomial    F(o) = max(o, 0)^degree / degree
        exponential             F(o) = exp(beta * o)

    or, for "lse", ``E(s) = -log(sum_k exp(beta * o_k)) / beta``, whose updates are
    those of "exponential". An update gives a unit the sign with the lower energy, all
    others as they are; where both are equal it stays. With degree 2 this is the
    `HopfieldNetwork`; about n_features^(degree - 1) random patterns can be stored, and
    exponentially many by the last two.

    Parameters
    ----------
    separation : {"polynomial", "rectified_polynomial", "exponential", "lse"}, \
default="lse"
        The form of the energy.
    degree : int, default=3
        Of the polynomial, 2 or more.
    beta : float, default=1.0
        Inverse temperature of "exponential" and "lse".
    update : {"asynchronous", "synchronous"}, default="asynchronous"
        Units one after the other, in an order that is drawn once, or all at once. Only
        the first never raises the energy.
    max_iter : int, default=100
        The most updates of every unit. A state in which nothing changes is at rest
        before.
    random_state : int, RandomState instance, default=None
        Draws the order of the units.

    Attributes
    ----------
    patterns_ : ndarray of shape (n_patterns, n_features)
        What is stored.
    order_ : ndarray of shape (n_features,), int
        The order of the units.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str objects
        Their names, if X had any.

    See Also
    --------
    dense_memory_error_probability : How often a unit of a stored pattern flips.
    ModernHopfieldNetwork : The same as "lse", with states of any numbers.

    References
    ----------
    .. [1] D. Krotov, J. J. Hopfield, "Dense Associative Memory for Pattern
       Recognition", NIPS 2016.
    .. [2] M. Demircigil et al., "On a Model of Associative Memory with Huge Storage
       Capacity", Journal of Statistical Physics 168, 2017.

    Examples
    --------
    Ten times as many patterns as features, and a tenth of each flipped:

    >>> import numpy as np
    >>> from amcluster.memory import DenseAssociativeMemory
    >>> rng = np.random.default_rng(0)
    >>> patterns = rng.choice([-1, 1], size=(640, 64))
    >>> flips = np.where(rng.random(patterns.shape) < 0.1, -1, 1)
    >>> memory = DenseAssociativeMemory(random_state=0).fit(patterns)
    >>> float((memory.transform(patterns * flips) == patterns).all(axis=1).mean())
    1.0
    """

    order_: Ints

    def __init__(
        self,
        separation: Literal[
            "polynomial", "rectified_polynomial", "exponential", "lse"
        ] = "lse",
        *,
        degree: int = 3,
        beta: float = 1.0,
        update: Literal["asynchronous", "synchronous"] = "asynchronous",
        max_iter: int = 100,
        random_state: RandomState = None,
    ) -> None:
        self.separation = separation
        self.degree = degree
        self.beta = beta
        self.update = update
        self.max_iter = max_iter
        self.random_state = random_state

    def energy(self, X: ArrayLike) -> Floats:
        """Energy of each row as a state of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In float64; for "lse" in units of 1 / beta.
        """
        states = self._checked(X).astype(np.float64, copy=False)
        patterns = self.patterns_.astype(np.float64, copy=False)
        blocks = self._blocks(len(states))
        energies = [self._energy_at(states[rows] @ patterns.T) for rows in blocks]
        return np.concatenate(energies)

    def _energy_at(self, overlaps: Floats) -> Floats:
        if self.separation == "lse":
            return -logsumexp(self.beta * overlaps, axis=1) / self.beta
        if self.separation == "exponential":
            return -np.exp(self.beta * overlaps).sum(axis=1)
        return -self._power(overlaps).sum(axis=1) / self.degree

    def _power(self, overlaps: Floats) -> Floats:
        if self.separation == "rectified_polynomial":
            overlaps = np.maximum(overlaps, 0)
        return overlaps ** float(self.degree)

    def _check_parameters(self) -> None:
        check_choice(self.separation, "separation", SEPARATIONS)
        check_number(self.degree, "degree", Integral, min_val=2)
        check_number(self.beta, "beta", min_val=0, include_boundaries="neither")
        check_updates(self.update, self.max_iter)

    def _learned(self, patterns: Floats) -> dict[str, Any]:
        n_patterns, n_features = patterns.shape
        room = LARGEST - math.log(n_patterns)  # for the logarithm of F
        if self.separation in POWERS and self.degree * math.log(n_features) > room:
            most = int(room / math.log(n_features))
            raise ValueError(
                f"degree == {self.degree}, must be <= {most} for {n_features} features,"
                " as energies overflow: take separation='lse', which never does."
            )
        if self.separation == "exponential" and self.beta * n_features > room:
            raise ValueError(
                f"beta == {self.beta}, must be <= {room / n_features:.2g} for"
                f" {n_features} features, as energies overflow: take separation='lse',"
                " which has the same updates."
            )
        return {"order_": drawn_order(n_features, self.random_state)}

    def _retrieved(self, X: Floats) -> Floats:
        slopes, patterns = self._slopes(), self.patterns_.astype(np.float64)
        signs = patterns.astype(np.int64)

        def fields_of(states: Floats) -> Overlaps:
            overlaps = (patterns @ states).astype(np.int64)
            return Overlaps(signs, states, overlaps, slopes)

        settings = fields_of, self.order_, self.update, self.max_iter
        return np.concatenate(
            [settled(X[rows], *settings) for rows in self._blocks(len(X))]
        )

    def _blocks(self, n_rows: int) -> list[slice]:
        size = max(1, BLOCK // len(self.patterns_))
        return [slice(start, start + size) for start in range(0, n_rows, size)]

    def _slopes(self) -> Any:
        """``F(o + 1) - F(o - 1)`` times a positive number, as a function of overlaps.

        The overlaps are those of all units but one: whole numbers, so that powers are
        in a table.
        """
        if self.separation not in POWERS:
            return self._exponentials
        largest = self.patterns_.shape[1]
        powers = self._power(np.arange(-largest - 1.0, largest + 2))
        table = powers[2:] - powers[:-2]
        return lambda overlaps: table[overlaps + largest]

    def _exponentials(self, overlaps: Ints) -> Floats:
        return np.exp(self.beta * (overlaps - overlaps.max(axis=0)))

    def _checked_values(self, X: Any, copy: bool = False) -> Floats:
        values = super()._checked_values(X, copy)
        check_binary(values)
        return values


class Overlaps(NamedTuple):
    """The fields of a dense memory, by overlaps of its patterns with the states."""

    patterns: NDArray[np.int64]  # (n_patterns, n_features)
    states: Floats  # (n_features, n_states), which change in place
    overlaps: NDArray[np.int64]  # (n_patterns, n_states)
    slopes: Any  # a function of overlaps without those of one unit

    def on(self, unit: int) -> Floats:
        """What the energy loses by 1 instead of -1, times a number (n_states,)."""
        pattern = self.patterns[:, unit]
        own = np.multiply.outer(pattern, self.states[unit].astype(np.int64))
        slopes = self.slopes(self.overlaps - own)
        field = pattern @ slopes
        return np.where(
            np.abs(field) <= ROUNDING * np.abs(slopes).sum(axis=0), 0, field
        )

    def flip(self, unit: int, change: Floats) -> None:
        """Keep the overlaps those of the states."""
        (moved,) = np.nonzero(change)
        self.overlaps[:, moved] += np.multiply.outer(
            self.patterns[:, unit], change[moved].astype(np.int64)
        )


def dense_memory_error_probability(
    degree: int,
    n_features: int,
    n_patterns: int,
    separation: Literal["polynomial", "rectified_polynomial"] = "polynomial",
) -> float:
    """Probability that a unit of a stored pattern flips when it is updated.

    For random patterns the other ones make a Gaussian noise beside the field of the
    stored one. With n the degree, N features and K patterns the probability is::

        P = erfc(sqrt(N^(n - 1) / (2 (2n - 3)!! (K - 1)))) / 2

    for large N and K; a rectified polynomial has half the variance, which drops the 2.

    Parameters
    ----------
    degree : int
        The degree n of the polynomial, 2 or more.
    n_features : int
        The number N of units.
    n_patterns : int
        The number K of patterns that are stored.
    separation : {"polynomial", "rectified_polynomial"}, default="polynomial"
        The form of the energy.

    Returns
    -------
    probability : float
        Between 0 and 1/2.

    See Also
    --------
    DenseAssociativeMemory : The network.

    References
    ----------
    .. [1] D. Krotov, J. J. Hopfield, "Dense Associative Memory for Pattern
       Recognition", NIPS 2016.

    Examples
    --------
    >>> from amcluster.memory import dense_memory_error_probability
    >>> round(dense_memory_error_probability(2, 200, 40), 4)
    0.0118
    """
    check_choice(separation, "separation", POWERS)
    check_number(degree, "degree", Integral, min_val=2)
    check_number(n_features, "n_features", Integral, min_val=1)
    check_number(n_patterns, "n_patterns", Integral, min_val=1)
    if n_patterns == 1:
        return 0.0
    # (2n - 3)!! = (2n - 2)! / (2^(n - 1) (n - 1)!), in logarithms.
    odd = math.lgamma(2 * degree - 1) - math.lgamma(degree)
    odd -= (degree - 1) * math.log(2)
    log_noise = odd + math.log(n_patterns - 1)
    if separation == "polynomial":
        log_noise += math.log(2)
    signal = min((degree - 1) * math.log(n_features) - log_noise, LARGEST)
    return float(erfc(math.exp(signal / 2)) / 2)
