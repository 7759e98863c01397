"""How a fit goes, whatever a clusterer learns: computed first, and kept last."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
)

from .._typing import Floats, Ints
from ..checks import check_sample_weight
from ..execution.threads import blas_in_one_thread
from .callbacks import CallbackSupportMixin, Task, with_callbacks


class Learned(NamedTuple):
    """What learning hands to fit."""

    attributes: dict  # cluster_centers_, weights_, beta_ and more
    history: np.ndarray  # the objective, one value an iteration


class MemoryClusterer(
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    CallbackSupportMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base of the clusterers whose model is an associative memory.

    A subclass checks its parameters and learns memories from rows. A fit is a
    transaction: it is computed first and kept last, and what an earlier one left stays
    if it fails.
    """

    # What a fit leaves.
    cluster_centers_: Floats
    weights_: Floats
    labels_: Ints
    history_: Floats
    objective_: float
    n_iter_: int
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise for a parameter that cannot be."""

    @abstractmethod
    def _n_starts(self) -> int | None:
        """How often `_learn` begins anew."""

    @abstractmethod
    def _validated(self, X: Any) -> Any:
        """X as `_fit_rows` takes it."""

    @abstractmethod
    def _fit_rows(self, X: Any, weights: Floats, task: Task) -> None:
        """Learn from the validated X, and keep what is learned.

        Each start is a subtask.
        """

    def fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn the memories.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data; float32 stays float32, all else becomes float64.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; a weight of 3 is the same as three copies of the row.
            None: all rows weigh 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or sample_weight is not valid. What an earlier fit left is
            kept.
        """
        with earlier_fit_kept(self), blas_in_one_thread:
            self._check_parameters()
            _forget_fit(self)
            self._fit(X, y, sample_weight)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: None, sample_weight: ArrayLike | None) -> None:
        X = self._validated(X)
        weights = check_sample_weight(sample_weight, X)
        task = Task.root(self, X, y, sample_weight, max_subtasks=self._n_starts())
        self._fit_rows(X, weights, task)
        task.end({})

    def _keep(self, learned: Learned) -> None:
        self.__dict__.update(learned.attributes)
        self.history_ = np.asarray(learned.history)
        self.objective_ = float(self.history_[-1])
        self.n_iter_ = len(self.history_)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def _report(self, start: int, iteration: int, what: str) -> None:
        if self.verbose:
            print(f"Start {start + 1}, iteration {iteration}: {what}")


def _forget_fit(estimator: BaseEstimator) -> None:
    for name in [name for name in vars(estimator) if name.endswith("_")]:
        delattr(estimator, name)


@contextmanager
def earlier_fit_kept(estimator: BaseEstimator) -> Iterator[None]:
    """Undo what a fit has set if it does not come to its end."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
