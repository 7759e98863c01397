"""What the networks that store their data share: patterns go in, and out again."""

from abc import ABCMeta, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._typing import Floats, Ints
from ..checks import check_range
from ..execution.threads import blas_in_one_thread
from ..kernels import Memories
from ..network import Network
from ..rows.complete import Complete


class StoredPatterns(
    OneToOneFeatureMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of the networks whose memories are the patterns they were given.

    All that is learned follows from the patterns, by `_learned`: so adding some or
    removing some is the same as a fit to those that are stored then.
    """

    # What a fit leaves.
    patterns_: Floats
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise for a parameter that cannot be."""

    @abstractmethod
    def _learned(self, patterns: Floats) -> dict[str, Any]:
        """The further attributes of a fit to these patterns."""

    @abstractmethod
    def _retrieved(self, X: Floats) -> Floats:
        """The states where the dynamics end that start at checked rows."""

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Store patterns, in the place of those stored before.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Patterns; float32 stays float32, all else becomes float64.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted network.

        Raises
        ------
        ValueError
            If a parameter or X is not valid. What was stored before is kept.
        """
        self._check_parameters()
        patterns = self._checked_values(X, copy=True)
        check_range(patterns, patterns[0])
        learned = self._learned(patterns)
        validate_data(self, X, skip_check_array=True)  # keeps the names of features
        return self._keep(patterns, learned)

    def partial_fit(self, X: ArrayLike, y: None = None) -> Self:
        """Store further patterns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Patterns; they take the dtype of those that are stored.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The network, as a fit to all patterns would leave it.
        """
        if not hasattr(self, "patterns_"):
            return self.fit(X)
        self._check_parameters()
        further = self._checked(X).astype(self.patterns_.dtype, copy=False)
        patterns = np.concatenate([self.patterns_, further])
        return self._keep(patterns, self._learned(patterns))

    def forget(self, indices: ArrayLike) -> Self:
        """Remove patterns.

        Parameters
        ----------
        indices : array-like of shape (n_forgotten,)
            Which rows of `patterns_`; those that stay keep their order.

        Returns
        -------
        self : object
            The network, as a fit to the other patterns would leave it.
        """
        check_is_fitted(self)
        self._check_parameters()
        indices, n_patterns = np.atleast_1d(indices), len(self.patterns_)
        if indices.size == 0:
            return self
        if indices.dtype.kind not in "iu" or indices.ndim != 1:
            raise ValueError(
                f"indices is of {indices.dtype} and shape {indices.shape}, must be"
                " whole numbers in one dimension: pass np.flatnonzero(mask) for a mask."
            )
        beyond = indices[(indices < -n_patterns) | (indices >= n_patterns)]
        if len(beyond):
            raise ValueError(
                f"indices contains {beyond[0]}, must be in"
                f" [{-n_patterns}, {n_patterns}): patterns_ has {n_patterns} rows."
            )
        left = np.delete(self.patterns_, indices, axis=0)
        if not len(left):
            raise ValueError(
                f"indices names all {n_patterns} patterns; at least one must stay: call"
                " fit to store others in their place."
            )
        return self._keep(left, self._learned(left))

    def transform(self, X: ArrayLike) -> Floats:
        """Retrieve: the states where the dynamics end that start at each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Queries.

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            In the dtype of X.
        """
        X = self._checked(X)
        with blas_in_one_thread:
            return self._retrieved(X)

    def predict(self, X: ArrayLike) -> Ints:
        """Index of the pattern that is nearest to what is retrieved for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Queries.

        Returns
        -------
        indices : ndarray of shape (n_samples,), int
            Rows of `patterns_`; of equally near ones the first.
        """
        return nearest(self.transform(X), self.patterns_)

    def _keep(self, patterns: Floats, learned: dict[str, Any]) -> Self:
        self.__dict__.update(learned, patterns_=patterns)
        return self

    def _checked(self, X: Any) -> Floats:
        """Rows for the patterns that are stored."""
        check_is_fitted(self)
        values = self._checked_values(X)
        validate_data(self, X, skip_check_array=True, reset=False)
        check_range(values, self.patterns_[0].astype(values.dtype))
        return values

    def _checked_values(self, X: Any, copy: bool = False) -> Floats:
        return check_array(
            X, dtype=[np.float64, np.float32], estimator=self, input_name="X", copy=copy
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def nearest(rows: Floats, patterns: Floats) -> Ints:
    """The index of the pattern at the least distance from each row."""
    memories = Memories(patterns, np.zeros(len(patterns)), 1.0)
    return Complete(rows).labels(Network(memories))
