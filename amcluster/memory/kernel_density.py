"""A kernel density as an associative memory: which patterns it keeps, and how well."""

import math
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from .._typing import Device, Energy, Floats, Ints, Likelihood, RandomState
from ..checks import check_number, generator_of
from ..energies import Cauchy, Gaussian, StudentT, resolve
from ..execution.select import device_named
from ..kernels import Memories
from ..network import Network
from ..rows.complete import Complete
from ._dynamics import check_steps, patient_states, states_of
from ._stored import StoredPatterns

# Energies whose bandwidth is the scale of a Gaussian, or of what becomes one.
OF_COVARIANCE = (Gaussian, StudentT, Cauchy)
# Fixed points this near, in bandwidths, are one; and one that attracts does so from
# this far.
NEAR = 1e-3


class KernelDensityMemory(StoredPatterns):
    """Kernel density whose modes are memories.

    With N patterns x_n, bandwidth h and kernel k the density, the energy and a step of
    the dynamics are::

        p(x) = sum_n k(beta * |x - x_n|^2) / (N * c)
        E(x) = -h^2 * log(sum_n k(beta * |x - x_n|^2) / N)
        x <- x + step_size * (sum_n w_n x_n / sum_n w_n - x)

    with c for what makes k integrate to 1, beta for ``1 / (2 h^2)`` with "gaussian",
    "student_t" and "cauchy" and ``1 / h^2`` with the others, as in scikit-learn's
    `KernelDensity`, and w_n for the slope of k: with the Gaussian the kernel itself,
    and the step one of mean shift. A step never raises the energy, as long as k is
    convex in the squared distance. The "uniform" kernel has no slope, and states stay:
    flat mean shift is the dynamics of "epanechnikov".

    If patterns are dense beside the bandwidth their basins merge, and what is retrieved
    is a mode of the density: two patterns have one exactly if they are nearer than 2 h.
    The attributes say what became of each, in the words of [1]_, Appendix A. Those
    marked with a star are found out when they are first looked at, which takes as long
    as to retrieve all patterns.

    Parameters
    ----------
    bandwidth : float, default=1.0
        The h, in units of X.
    kernel : {"gaussian", "student_t", "cauchy", "laplace", "epanechnikov", \
            "biweight", "uniform"}, str or energy, default="gaussian"
        Which energy; another name is that of one of your own: see
        `amcluster.energies.register`. An instance has parameters of its own.
    n_steps : int, default=None
        Number of steps of the dynamics; None: until the state rests.
    step_size : float, default=1.0
        In (0, 2).
    random_state : int, RandomState instance, default=None
        Draws what `sample` returns.
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run.

    Attributes
    ----------
    patterns_ : ndarray of shape (n_patterns, n_features)
        What is stored.
    bandwidth_ : float
        The h.
    beta_ : float
        The inverse temperature, in 1 / length^2.
    stored_ : ndarray of shape (n_patterns,), bool
        Whether a pattern is stored*: its retrieval ends at a fixed point that attracts,
        and at which that of no other pattern ends (Definition A.2, but for the radius
        of its ball).
    merged_ : ndarray of shape (n_patterns,), bool
        Whether its retrieval ends where that of another pattern does*.
    retrieval_error_ : ndarray of shape (n_patterns,), float64
        How far a stored pattern is from its fixed point*; NaN for the others
        (Definition A.3).
    separation_ : ndarray of shape (n_patterns,), float64
        Half the squared distance to the nearest other pattern* (Definition A.1);
        infinite if there is none.
    well_separated_ : ndarray of shape (n_patterns,), bool
        Whether that is enough for a proof that the pattern is stored* (Assumption
        A.12), of Gaussian kernels: ``separation_ >= 2 h^2 / N + h^2 log(2 (N - 1) N M^2
        / h^2)`` with M the largest norm of a pattern.
    radius_ : float
        What is then retrieved as that pattern, all patterns being well separated:
        ``h^2 / (N M)`` (Proposition A.11), of Gaussian kernels.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str objects
        Their names, if X had any.

    See Also
    --------
    kde_capacity : A scale for how many random patterns can be stored.
    ModernHopfieldNetwork : The same if all patterns have one length.

    References
    ----------
    .. [1] R. Schaeffer et al., "Bridging Associative Memory and Probabilistic
       Modeling", 2024, arXiv:2402.10202.

    Examples
    --------
    Two of the patterns are nearer than two bandwidths:

    >>> from amcluster.memory import KernelDensityMemory
    >>> memory = KernelDensityMemory(1.0).fit([[0.0], [1.9], [9.0]])
    >>> memory.transform([[0.5], [7.0]]).round(2)
    array([[0.95],
           [9.  ]])
    >>> memory.stored_
    array([False, False,  True])
    """

    bandwidth_: float
    beta_: float
    _energy: Energy
    _ends: "Ends | None"

    def __init__(
        self,
        bandwidth: float = 1.0,
        kernel: Likelihood = "gaussian",
        *,
        n_steps: int | None = None,
        step_size: float = 1.0,
        random_state: RandomState = None,
        device: Device = "cpu",
    ) -> None:
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.n_steps = n_steps
        self.step_size = step_size
        self.random_state = random_state
        self.device = device

    def score_samples(self, X: ArrayLike) -> Floats:
        """Log density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        return Complete(self._checked(X)).log_density(self._network())

    def score(self, X: ArrayLike, y: None = None) -> float:
        """Mean log density of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        score : float
            In nats per row.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def energy(self, X: ArrayLike) -> Floats:
        """Energy of each row as a state of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In squared units of X and in float64.
        """
        evidence = Complete(self._checked(X)).log_evidence(self._network())
        return -(self.bandwidth_**2) * evidence.astype(np.float64)

    def sample(self, n_samples: int = 1) -> tuple[Floats, Ints]:
        """Draw rows from the density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows.
        y : ndarray of shape (n_samples,), int
            The patterns about which they were drawn.
        """
        check_is_fitted(self)
        check_number(n_samples, "n_samples", Integral, min_val=1)
        random_state, patterns = generator_of(self.random_state), self.patterns_
        y = random_state.randint(len(patterns), size=n_samples)
        noise = self._energy.draw((n_samples, patterns.shape[1]), random_state)
        X = patterns[y] + noise / math.sqrt(self.beta_)
        return X.astype(patterns.dtype, copy=False), y

    @property
    def stored_(self) -> NDArray[np.bool_]:
        """Whether each pattern is stored (n_patterns,)."""
        return self._found().attracts & ~self.merged_

    @property
    def merged_(self) -> NDArray[np.bool_]:
        """Whether each pattern is retrieved as another one is (n_patterns,)."""
        return self._found().distances <= NEAR * self.bandwidth_

    @property
    def retrieval_error_(self) -> NDArray[np.float64]:
        """How far stored patterns are from their fixed points (n_patterns,)."""
        errors = np.linalg.norm(self._found().points - self.patterns_, axis=1)
        return np.where(self.stored_, errors, np.nan)

    @property
    def separation_(self) -> NDArray[np.float64]:
        """Half the squared distance to the nearest other pattern (n_patterns,)."""
        return distances_to_others(self.patterns_.astype(np.float64)) ** 2 / 2

    @property
    def well_separated_(self) -> NDArray[np.bool_]:
        """Whether patterns are proven to be stored (n_patterns,)."""
        n_patterns, variance = len(self.patterns_), self._variance("well_separated_")
        if n_patterns == 1:
            return np.ones(1, bool)
        scaled = (n_patterns - 1) * n_patterns * self._largest_norm() ** 2 / variance
        with np.errstate(divide="ignore"):  # all patterns may be at the origin
            least = 2 * variance / n_patterns + variance * np.log(2 * scaled)
        return self.separation_ >= least

    @property
    def radius_(self) -> float:
        """The radius of convergence about well separated patterns."""
        variance, norm = self._variance("radius_"), self._largest_norm()
        return variance / (len(self.patterns_) * norm) if norm else math.inf

    def _variance(self, asked: str) -> float:
        if not isinstance(self._energy, Gaussian):
            raise AttributeError(
                f"{type(self).__name__} has {asked} with kernel='gaussian' only."
            )
        return self.bandwidth_**2

    def _largest_norm(self) -> float:
        return float(np.linalg.norm(self.patterns_.astype(np.float64), axis=1).max())

    def _found(self) -> "Ends":
        """Where patterns are retrieved, found out once."""
        if self._ends is None:
            self._ends = Ends.of(
                self._network(), self.patterns_, self.step_size, self.bandwidth_
            )
        return self._ends

    def _network(self) -> Network:
        patterns = self.patterns_
        log_weights = np.full(len(patterns), -math.log(len(patterns)))
        memories = Memories(
            patterns, log_weights, self.beta_, self._energy, patterns.shape[1]
        )
        return Network(memories, device=device_named(self.device))

    def _check_parameters(self) -> None:
        check_number(
            self.bandwidth, "bandwidth", min_val=0, include_boundaries="neither"
        )
        self._resolved()
        check_steps(self.n_steps, self.step_size)
        generator_of(self.random_state)
        device_named(self.device)

    def _resolved(self) -> Energy:
        try:
            return resolve(self.kernel)
        except ValueError as error:  # which names the parameter of a clusterer
            raise ValueError(str(error).replace("likelihood", "kernel", 1)) from None

    def _learned(self, patterns: Floats) -> dict[str, Any]:
        energy, bandwidth = self._resolved(), float(self.bandwidth)
        share = 2 if isinstance(energy, OF_COVARIANCE) else 1
        return {
            "bandwidth_": bandwidth,
            "beta_": 1 / (share * bandwidth**2),
            "_energy": energy,
            "_ends": None,
        }

    def _retrieved(self, X: Floats) -> Floats:
        check_steps(self.n_steps, self.step_size)
        return states_of(self._network(), X, self.n_steps, self.step_size)


class Ends(NamedTuple):
    """Where the retrieval of each pattern ends."""

    points: Floats  # (n_patterns, n_features), float64
    distances: NDArray[np.float64]  # (n_patterns,) to that of the nearest other one
    attracts: NDArray[np.bool_]  # (n_patterns,) whether states nearby come back

    @classmethod
    def of(
        cls, network: Network, patterns: Floats, step_size: float, bandwidth: float
    ) -> "Ends":
        """The ends of patterns, in float64; states nearby are in one direction."""
        points = patient_states(network, patterns.astype(np.float64), step_size)
        aside = np.random.RandomState(0).normal(size=patterns.shape[1])
        aside *= NEAR * bandwidth / float(np.linalg.norm(aside))
        back = patient_states(network, points + aside, step_size)
        attracts = np.linalg.norm(back - points, axis=1) < NEAR * bandwidth / 2
        return cls(points, distances_to_others(points), attracts)


def distances_to_others(points: Floats) -> NDArray[np.float64]:
    """The distance of each point to the nearest other one; infinite for one alone."""
    if len(points) == 1:
        return np.full(1, np.inf)
    neighbours = NearestNeighbors(n_neighbors=1).fit(points)
    index = neighbours.kneighbors(return_distance=False)[:, 0]
    # Not what it measures, by inner products, which rounding spoils.
    return np.linalg.norm(points - points[index], axis=1)
