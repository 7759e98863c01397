"""What a clusterer says of rows, once it has memories."""

import math
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from sklearn.base import TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import nan_euclidean_distances
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_is_fitted

from .._typing import Floats, Ints
from ..checks import check_number, check_sample_weight, moderate
from ..network import Network
from ..rows.complete import Complete
from ..rows.kinds import apart, as_one_kind
from ..rows.missing import Missing
from ..rows.states import MAX_RETRIEVAL_STEPS

# A row with values so many times those of memories is by itself when distances are
# measured by inner products.
FAR = 1000
DISTANCES: dict[type, Any] = {Complete: cdist, Missing: nan_euclidean_distances}


class AnswersMixin(TransformerMixin):
    """The methods that ask the network of a fitted clusterer."""

    def predict(self, X: ArrayLike) -> Ints:
        """Label of the memory with the largest posterior, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            The argmax of `predict_proba`; of equal ones the first.
        """
        return self._answer(X, lambda rows, network: rows.labels(network))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Posterior of each memory given each row.

        This is the softmax over k of the logits
        ``log weights_[k] - beta_ * |x - cluster_centers_[k]|^2``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; dtype of X.
        """
        return self._answer(X, lambda rows, network: rows.posteriors(network))

    def transform(self, X: ArrayLike) -> Floats:
        """Euclidean distance to each memory.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            In units of X.
        """
        X, missing, far = self._as_given(X)
        if not (missing or far):
            return self._distances(X)
        centers = np.abs(self.cluster_centers_).max() + np.min(self.beta_) ** -0.5
        beyond = (np.abs(X) > FAR * centers).any(axis=1)
        return apart(beyond, X, self._far_distances, self._distances)

    def score_samples(self, X: ArrayLike) -> Floats:
        """Log density of each row.

        It is the logsumexp over k of the logits
        ``log weights_[k] - beta_ * |x - cluster_centers_[k]|^2``, plus
        ``(n_features / 2) * log(beta_ / pi)``: that of a Gaussian mixture with
        covariance ``I / (2 * beta_)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        return self._answer(X, lambda rows, network: rows.log_density(network))

    def score(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log density of the rows.

        Comparable between models of the same data with any number of clusters and any
        beta, so that a grid search for them means something.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the mean.

        Returns
        -------
        score : float
            In nats per row.
        """
        log_density = self.score_samples(X)
        weights = moderate(check_sample_weight(sample_weight, log_density))
        counts = weights > 0  # a log density may be -infinity
        return float(np.average(log_density[counts], weights=weights[counts]))

    def energy(self, X: ArrayLike) -> Floats:
        """Energy of each row as a state of the network.

        It is ``-1 / beta_`` times the logsumexp over k of the logits
        ``log weights_[k] - beta_ * |x - cluster_centers_[k]|^2``: Eqn 1 of [1]_ with
        weights that sum to 1. A class with a base measure has one more logit, and says
        what takes the place of ``beta_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In squared units of X.

        References
        ----------
        .. [1] Schaeffer et al. "Associative Memory Under the Probabilistic Lens:
           Improved Transformers & Dynamic Memory Creation", 2023.
        """
        X, missing = self._checked(X)
        landscape = self._landscape()
        evidence = landscape.asked(
            X, missing, lambda rows, network: rows.log_evidence(network)
        )
        return evidence / evidence.dtype.type(-landscape.memories.reference_beta)

    def retrieve(
        self, X: ArrayLike, n_steps: int | None = None, step_size: float = 1.0
    ) -> Floats:
        """State of the network after its dynamics, started at each row.

        A step is ``v <- v + step_size * (u - v)``, with u the mean of the memories
        under the posterior of v; it never raises the energy. A base measure pulls as
        the memories do, weaker by its share of their ``beta_``. In a row with missing
        values only those move, from where `complete` puts them; the rest is clamped.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=None
            Number of steps; None: until the state rests.
        step_size : float, default=1.0
            In (0, 2).

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            In units of X.
        """
        check_step_size(step_size)
        if n_steps is not None:
            check_number(n_steps, "n_steps", Integral, min_val=0)
        X, missing, far = self._as_given(X)
        network = self._landscape()
        X = self._within_reach(X, network) if far else X
        if n_steps is not None:
            return network.asked(
                X,
                missing,
                lambda rows, here: here.states_after(rows, int(n_steps), step_size),
            )
        states, moving = network.asked(
            X, missing, lambda rows, here: here.states_at_rest(rows, step_size)
        )
        warn_of_moving(np.count_nonzero(moving), len(X))
        return states

    def trajectory(
        self, X: ArrayLike, n_steps: int = 10, step_size: float = 0.3
    ) -> Floats:
        """Follow the states of the network on their way from each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=10
            Number of steps.
        step_size : float, default=0.3
            In (0, 2).

        Returns
        -------
        states : ndarray of shape (n_samples, n_steps + 1, n_features)
            The first is the row itself.
        """
        check_step_size(step_size)
        check_number(n_steps, "n_steps", Integral, min_val=0)
        X, missing, far = self._as_given(X)
        network = self._landscape()
        states = network.asked(
            self._within_reach(X, network) if far else X,
            missing,
            lambda rows, here: here.paths(rows, int(n_steps), step_size),
        )
        states[:, 0] = np.where(np.isnan(X), states[:, 0], X)
        return states

    def complete(self, X: ArrayLike) -> Floats:
        """Fill the missing values of rows in.

        A hidden value becomes its expectation, given the rest of the row: the mean over
        memories, under the posterior of the row, of what each expects. Without a
        learned metric that is the memory's own value; with one, the rest of the row
        moves it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data; NaN where a value is missing.

        Returns
        -------
        completed : ndarray of shape (n_samples, n_features)
            What was there is untouched.
        """
        X, missing, far = self._as_given(X)
        if not missing:
            return X.copy()
        X = X.copy()
        where = np.isnan(X)
        some = where.any(axis=1)
        rows = Missing(self._nearer(X[some]) if far else X[some])
        with np.errstate(over="ignore"):
            X[where] = rows.completed(self._network())[where[some]]
        return X

    def _answer(self, X: ArrayLike, ask: Callable[..., Any]) -> Any:
        """What ``ask(rows, network)`` says of the rows of X."""
        X, missing = self._checked(X)
        return self._network().asked(X, missing, ask)

    def _landscape(self) -> Network:
        """The network whose energy is asked for, and lowered by the dynamics."""
        return self._network()

    def _check_X(self, X: ArrayLike) -> Floats:
        """X, checked."""
        return self._as_given(X)[0]

    def _checked(self, X: ArrayLike) -> tuple[Floats, bool]:
        """X as `_nearer`, and whether values are missing."""
        X, missing, far = self._as_given(X)
        return self._nearer(X) if far else X, missing

    def _as_given(self, X: Any) -> tuple[Floats, bool, bool]:
        """X, checked; whether values are missing; whether some may be too far away.

        Its smallest and its largest value tell all three.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False, ensure_all_finite=False)
        reach = reach_of(X)
        if X.max() < reach and X.min() > -reach:
            return X, False, False
        name = type(self).__name__
        assert_all_finite(X, allow_nan=True, estimator_name=name, input_name="X")
        return X, bool(np.isnan(X).any()), True

    def _nearer(self, X: Floats) -> Floats:
        """X with what is too far away brought to where squared distances are numbers.

        All memories are as good as at one point, seen from there.
        """
        middle = self.cluster_centers_.mean(axis=0, dtype=np.float64)
        ends = [(middle + sign * reach_of(X)).astype(X.dtype) for sign in (-1, 1)]
        return X.clip(*ends)

    def _within_reach(self, X: Floats, network: Network) -> Floats:
        """The same if coordinates of the metric could not be numbers else."""
        return X if network.metric is None else self._nearer(X)

    def _distances(self, X: Floats) -> Floats:
        between = DISTANCES[type(as_one_kind(X))]
        return between(X, self.cluster_centers_).astype(X.dtype, copy=False)

    def _far_distances(self, X: Floats) -> Floats:
        """The same where squares may be no numbers, row by row."""
        seen = np.count_nonzero(~np.isnan(X), axis=1)[:, None]
        with np.errstate(over="ignore"):
            away = np.nan_to_num(X[:, None].astype(float) - self.cluster_centers_)
            distances = np.hypot.reduce(away, axis=2) * np.sqrt(X.shape[1] / seen)
        return np.minimum(distances, np.finfo(X.dtype).max).astype(X.dtype)


def reach_of(X: Floats) -> float:
    """How far from memories a value may be: squared distances leave no dtype's range.

    `check_spread` has fits end far below.
    """
    return math.sqrt(float(np.finfo(X.dtype).max) / X.shape[1]) / 8


def check_step_size(step_size: float) -> None:
    """Raise unless the energy is sure to fall and the state to settle."""
    check_number(
        step_size, "step_size", min_val=0, max_val=2, include_boundaries="neither"
    )


def warn_of_moving(n_moving: int | np.integer, n_states: int) -> None:
    """Say so if states did not come to rest."""
    if n_moving:
        warnings.warn(
            f"{n_moving} of {n_states} states still moved after {MAX_RETRIEVAL_STEPS}"
            " steps.",
            ConvergenceWarning,
            stacklevel=3,
        )
