"""What the spherical clusterer says of rows, by their directions."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._typing import Floats, Ints, Table
from ..checks import check_number, check_sample_weight, generator_of, moderate
from ..energies.von_mises_fisher import draw
from ..kernels import Directions
from ..learning.spherical import directions_of
from ..rows.sphere import unit_rows
from .answers import warn_of_moving


class SphericalAnswersMixin(TransformerMixin):
    """The methods that ask the memories of a fitted spherical clusterer."""

    def predict(self, X: Table) -> Ints:
        """Label of the memory with the largest posterior, for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            The argmax of `predict_proba`; of equal ones the first.
        """
        rows, memories = self._asked(X)
        return rows.labels(memories)

    def predict_proba(self, X: Table) -> Floats:
        """Posterior of each memory given each row.

        This is the softmax over k of the logits ``log weights_[k] +
        log c(concentrations_[k]) + concentrations_[k] * cos(x, cluster_centers_[k])``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; dtype of X.
        """
        rows, memories = self._asked(X)
        return rows.posteriors(memories)

    def transform(self, X: Table) -> Floats:
        """Cosine distance to each memory, 1 - cosine.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            From 0 to 2; half the squared Euclidean distance of the unit rows.
        """
        rows, memories = self._asked(X)
        away = 1 - rows.cosines(memories.directions)
        return np.clip(away, 0, 2, out=away)  # rounding leads out of it

    def score_samples(self, X: Table) -> Floats:
        """Log density of the direction of each row, on the unit sphere.

        It is the logsumexp over k of the logits of `predict_proba`: that of a mixture
        of von Mises-Fisher distributions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, by the area of the unit sphere in n_features dimensions.
        """
        rows, memories = self._asked(X)
        evidence = rows.log_evidence(memories)
        return evidence + evidence.dtype.type(self._memories()[1])

    def score(
        self, X: Table, y: None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log density of the directions of the rows.

        Comparable between models of the same data with any number of clusters and any
        concentration, so that a grid search for them means something.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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
        return float(np.average(log_density, weights=weights))

    def energy(self, X: Table) -> Floats:
        """Energy of the direction of each row as a state of the network.

        It is ``-1 / concentrations_[0]`` times the logsumexp over k of the logits
        ``log weights_[k] + concentrations_[k] * cos(x, cluster_centers_[k])``, with
        ``log c(concentrations_[k]) - log c(concentrations_[0])`` added where memories
        have concentrations of their own.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In the unit of a cosine, which is none: with one memory minus the cosine.
        """
        rows, memories = self._asked(X)
        evidence = rows.log_evidence(memories)
        return evidence / evidence.dtype.type(-memories.concentrations[0])

    def retrieve(
        self, X: Table, n_steps: int | None = None, step_size: float = 1.0
    ) -> Floats:
        """State of the network after its dynamics, started at each row's direction.

        A step is ``v <- (1 - step_size) * v + step_size * u``, brought back to the
        sphere, with u the mean of the memories under the posterior of v times their
        concentrations. It never raises the energy.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=None
            Number of steps; None: until the state rests.
        step_size : float, default=1.0
            In (0, 1].

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            Unit rows, dense.
        """
        check_step_size(step_size)
        if n_steps is not None:
            check_number(n_steps, "n_steps", Integral, min_val=0)
        rows, memories = self._asked(X)
        if n_steps is not None:
            return rows.retrieved(memories, int(n_steps), float(step_size))
        states, moving = rows.at_rest(memories, float(step_size))
        warn_of_moving(np.count_nonzero(moving), len(rows))
        return states

    def trajectory(self, X: Table, n_steps: int = 10, step_size: float = 0.3) -> Floats:
        """Follow the states of the network on their way from each row's direction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=10
            Number of steps.
        step_size : float, default=0.3
            In (0, 1].

        Returns
        -------
        states : ndarray of shape (n_samples, n_steps + 1, n_features)
            Unit rows, dense; the first is the direction of the row.
        """
        check_step_size(step_size)
        check_number(n_steps, "n_steps", Integral, min_val=0)
        rows, memories = self._asked(X)
        return rows.path(memories, int(n_steps), float(step_size))

    def sample(self, n_samples: int = 1) -> tuple[Floats, Ints]:
        """Draw directions from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Unit rows, dense, ordered by label.
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
        X = draw(self.cluster_centers_[y], self.concentrations_[y], random_state)
        return X.astype(self.cluster_centers_.dtype, copy=False), y

    def bic(self, X: Table) -> float:
        """Bayesian information criterion: lower is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        bic : float
            -2 times the log likelihood plus n_parameters * log(n_samples).
        """
        log_density = self.score_samples(X)
        penalty = self._n_parameters() * np.log(len(log_density))
        return float(penalty - 2 * log_density.sum(dtype=np.float64))

    def aic(self, X: Table) -> float:
        """Akaike information criterion: lower is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        aic : float
            -2 times the log likelihood plus 2 * n_parameters.
        """
        log_density = self.score_samples(X)
        return float(2 * (self._n_parameters() - log_density.sum(dtype=np.float64)))

    def _asked(self, X: Table) -> tuple[Any, Directions]:
        """The rows of X, checked, and the memories."""
        check_is_fitted(self)
        rows = unit_rows_of(self._validated(X, reset=False))
        return rows, self._memories()[0]

    def _memories(self) -> tuple[Directions, float]:
        """The memories, and what makes their log evidence a log density."""
        return directions_of(self.cluster_centers_, self.weights_, self.concentrations_)


def unit_rows_of(X: Any) -> Any:
    """The rows of X as unit rows.

    Raises
    ------
    ValueError
        If the length of one is no number.
    """
    rows = unit_rows(X)
    without = np.flatnonzero(
        ~((rows.inverse_norms > 0) & (rows.inverse_norms < np.inf))
    )
    with np.errstate(over="ignore"):
        sizes = np.ravel(abs(X[without]).sum(axis=1))
    bad = without[sizes > 0]
    if len(bad):
        raise ValueError(
            f"X has values in row {bad[0]} with which its length leaves the range of"
            f" {rows.dtype}: multiply the row by a number. Its direction stays."
        )
    return rows


def check_step_size(step_size: float) -> None:
    """Raise unless the energy is sure to fall on the sphere."""
    check_number(
        step_size, "step_size", min_val=0, max_val=1, include_boundaries="right"
    )
