"""The modern continuous Hopfield network: attention, as an associative memory."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Device, Floats
from ..checks import check_number
from ..execution.select import device_named
from ..kernels import Memories
from ..network import Network
from ..rows.complete import Complete
from ._dynamics import check_steps, states_of
from ._stored import StoredPatterns


class ModernHopfieldNetwork(StoredPatterns):
    """Associative memory of continuous states, whose update is attention.

    For patterns p_k, the largest norm M and K patterns, energy and update are::

        E(s) = -log(sum_k exp(beta * p_k . s)) / beta
               + |s|^2 / 2 + log(K) / beta + M^2 / 2
        s <- (1 - step_size) * s + step_size * sum_k softmax(beta * p . s)_k p_k

    Updates never raise the energy. This is one of the library's networks: a kernel
    density with ``bandwidth = beta^-0.5``, in which patterns weigh
    ``exp(beta * |p_k|^2 / 2)``. So if all patterns have one length it is
    `KernelDensityMemory`; and if not, long patterns attract more.

    Parameters
    ----------
    beta : float, default=1.0
        Inverse temperature, in 1 / length^2.
    n_steps : int, default=None
        Number of updates; 1 is one attention. None: until the state rests.
    step_size : float, default=1.0
        In (0, 2).
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run.

    Attributes
    ----------
    patterns_ : ndarray of shape (n_patterns, n_features)
        What is stored.
    beta_ : float
        The inverse temperature.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str objects
        Their names, if X had any.

    See Also
    --------
    hopfield_retrieve : A function, also for values of other features.
    KernelDensityMemory : The same by distances.

    References
    ----------
    .. [1] H. Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021.

    Examples
    --------
    >>> from amcluster.memory import ModernHopfieldNetwork
    >>> network = ModernHopfieldNetwork(beta=10.0).fit([[1.0, 0.0], [0.0, 1.0]])
    >>> network.transform([[0.7, 0.2]]).round(3)
    array([[1., 0.]])

    One update is attention:

    >>> import numpy as np
    >>> from scipy.special import softmax
    >>> rng = np.random.default_rng(0)
    >>> X, queries = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    >>> states = ModernHopfieldNetwork(beta=0.5, n_steps=1).fit(X).transform(queries)
    >>> np.allclose(states, softmax(0.5 * queries @ X.T, axis=1) @ X)
    True
    """

    beta_: float

    def __init__(
        self,
        beta: float = 1.0,
        *,
        n_steps: int | None = None,
        step_size: float = 1.0,
        device: Device = "cpu",
    ) -> None:
        self.beta = beta
        self.n_steps = n_steps
        self.step_size = step_size
        self.device = device

    def energy(self, X: ArrayLike) -> Floats:
        """Energy of each row as a state of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In squared units of X and in float64; not negative.
        """
        X, squares = self._checked(X), self._squares()
        evidence = Complete(X).log_evidence(self._network())
        largest = squares.max()
        evidence = evidence + self.beta_ * largest / 2 - math.log(len(squares))
        return largest / 2 - evidence.astype(np.float64) / self.beta_

    def _squares(self) -> Floats:
        patterns = self.patterns_
        return np.einsum("kd,kd->k", patterns, patterns, dtype=np.float64)

    def _network(self) -> Network:
        # exp(beta p . s) = exp(beta |p|^2 / 2) exp(-beta |s - p|^2 / 2) * a function of
        # s alone. The largest logarithm is taken off, so that float32 keeps the others.
        squares = self._squares()
        log_weights = self.beta_ / 2 * (squares - squares.max())
        memories = Memories(self.patterns_, log_weights, self.beta_ / 2)
        return Network(memories, device=device_named(self.device))

    def _check_parameters(self) -> None:
        check_number(self.beta, "beta", min_val=0, include_boundaries="neither")
        check_steps(self.n_steps, self.step_size)
        device_named(self.device)

    def _learned(self, patterns: Floats) -> dict[str, Any]:
        return {"beta_": float(self.beta)}

    def _retrieved(self, X: Floats) -> Floats:
        check_steps(self.n_steps, self.step_size)
        return states_of(self._network(), X, self.n_steps, self.step_size)
