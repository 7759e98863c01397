"""What a mixture says of rows: posteriors that settle, draws, and criteria."""

from numbers import Integral
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax
from sklearn.utils.validation import check_is_fitted

from .._typing import Floats, Ints
from ..checks import check_choice, check_number, generator_of
from ..learning.posterior_flow import STEPS, flow, free_energies
from .answers import AnswersMixin
from .centers import is_word

Dynamics = Literal["natural", "euclidean"]


class PosteriorStateMixin(AnswersMixin):
    """Methods of a network whose state is the posterior."""

    _form_: str
    _roots_: Floats | None

    def retrieve(
        self, X: ArrayLike, n_steps: int | None = None, step_size: float = 1.0
    ) -> Floats:
        """Mean of the memories under the state of the network, started from uniform.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        n_steps : int, default=None
            Number of steps of the natural flow; None: its fixed point, the posterior.
        step_size : float, default=1.0
            In (0, 1].

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            In units of X.
        """
        if n_steps is None:
            q = self.predict_proba(X)
        else:
            q = self.trajectory(X, n_steps, step_size)[:, -1]
        return q @ self.cluster_centers_.astype(q.dtype, copy=False)

    @overload
    def trajectory(
        self,
        X: ArrayLike,
        n_steps: int = ...,
        step_size: float = ...,
        dynamics: Dynamics = ...,
        return_energy: Literal[False] = ...,
    ) -> Floats: ...

    @overload
    def trajectory(
        self,
        X: ArrayLike,
        n_steps: int = ...,
        step_size: float = ...,
        dynamics: Dynamics = ...,
        *,
        return_energy: Literal[True],
    ) -> tuple[Floats, Floats]: ...

    def trajectory(
        self,
        X: ArrayLike,
        n_steps: int = 10,
        step_size: float = 0.5,
        dynamics: Dynamics = "natural",
        return_energy: bool = False,
    ) -> Floats | tuple[Floats, Floats]:
        """Follow the posterior of each row as it settles.

        The state is q = softmax(v), from uniform. With l the joint log densities, the
        natural flow is ``v <- v + step_size * (l - v)``, and the Euclidean one, Eqn 14
        of [1]_, is ``v <- v + step_size * q * (l - log q + E(q))``. The Euclidean flow
        can need thousands of steps where a posterior is nearly 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        n_steps : int, default=10
            Number of steps T.
        step_size : float, default=0.5
            In (0, 1] for the natural flow, where 1 is exact, and (0, 4] for the
            Euclidean: the free energy never rises.
        dynamics : {"natural", "euclidean"}, default="natural"
            The flow.
        return_energy : bool, default=False
            Whether to return the free energies too.

        Returns
        -------
        states : ndarray of shape (n_samples, n_steps + 1, n_clusters)
            The posterior q after each step; rows sum to 1.
        energies : ndarray of shape (n_samples, n_steps + 1)
            Their free energies in nats, only if asked for.

        References
        ----------
        .. [1] Schaeffer et al. "Bridging Associative Memory and Probabilistic
           Modeling", 2024, Sect. 3.1.1.
        """
        check_number(n_steps, "n_steps", Integral, min_val=0)
        check_choice(dynamics, "dynamics", tuple(STEPS))
        largest = 1 if dynamics == "natural" else 4
        check_number(
            step_size,
            "step_size",
            min_val=0,
            max_val=largest,
            include_boundaries="right",
        )
        joint = self._answer(X, lambda rows, network: rows.joint(network))
        # A memory out of reach has a logit of -infinity, whose differences are NaN.
        joint = np.maximum(joint, np.finfo(joint.dtype).min / 16)
        start = np.zeros(joint.shape[1])
        v = flow(joint, start, int(n_steps), float(step_size), dynamics)
        log_q = log_softmax(v, axis=2)
        states = np.exp(log_q)
        return (states, free_energies(log_q, joint)) if return_energy else states

    def sample(self, n_samples: int = 1) -> tuple[Floats, Ints]:
        """Draw rows from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows, ordered by label; where heavy tails lead out of the range of the
            dtype, its largest number.
        y : ndarray of shape (n_samples,), int
            Their labels.
        """
        check_is_fitted(self)
        self._check_state(self.n_features_in_)
        check_number(n_samples, "n_samples", Integral, min_val=1)
        random_state = generator_of(self.random_state)
        shares = self.weights_ / self.weights_.sum(dtype=np.float64)
        y = np.repeat(
            np.arange(len(shares)), random_state.multinomial(n_samples, shares)
        )
        n_features = self.cluster_centers_.shape[1]
        noise = self._likelihood().draw((n_samples, n_features), random_state)
        if self._roots_ is not None:
            for k, inverse in enumerate(np.linalg.inv(self._roots_)):
                noise[y == k] = noise[y == k] @ inverse
        metric = self._learned_metric()
        if metric is not None:
            noise = metric.coloured_noise(noise)
        beta = self.beta_ if np.ndim(self.beta_) == 0 else self.beta_[y, None]
        X = self.cluster_centers_[y] + noise / np.sqrt(beta)
        dtype = self.cluster_centers_.dtype
        # Draws of few degrees of freedom may leave the range of the dtype.
        largest = np.finfo(dtype).max
        return np.clip(X, -largest, largest).astype(dtype, copy=False), y

    def bic(self, X: ArrayLike) -> float:
        """Bayesian information criterion: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        bic : float
            -2 times the log likelihood plus n_parameters * log(n_samples).
        """
        n_samples = len(X)  # type: ignore[arg-type]
        deviance = -2 * self.score(X) * n_samples
        return deviance + self._n_parameters() * np.log(n_samples)

    def aic(self, X: ArrayLike) -> float:
        """Akaike information criterion: lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        aic : float
            -2 times the log likelihood plus 2 * n_parameters.
        """
        n_samples = len(X)  # type: ignore[arg-type]
        return -2 * self.score(X) * n_samples + 2 * self._n_parameters()

    def _n_parameters(self) -> int:
        n_clusters, n_features = self.cluster_centers_.shape
        of_weights = n_clusters - 1 if self.weights == "learned" else 0
        of_full = n_features * (n_features + 1) // 2
        of_each = {"spherical": 1, "diagonal": n_features, "full": of_full}
        if self._form_ != "shared":
            of_spread = n_clusters * of_each[self._form_]
        else:
            of_metric = of_full - 1 if self._learned_metric() is not None else 0
            of_spread = is_word(self.beta, "auto") + of_metric
        return n_clusters * n_features + of_weights + of_spread
