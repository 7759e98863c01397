"""Clusters that are unions of memories."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats, Ints
from .answers import AnswersMixin


class ComponentsMixin(AnswersMixin):
    """Answers of the CRP where memories that no valley separates are one cluster."""

    labels_: Ints
    component_of_: NDArray[np.integer]
    n_components_: int
    _labels_of_memories_: Ints

    def predict(self, X: ArrayLike) -> Ints:
        """Label of the cluster with the largest posterior, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            The argmax of `predict_proba`; of equal ones the first. A cluster is a
            memory, or with ``merge="valley"`` a group of them.
        """
        if self._has_components():
            return self.predict_proba(X).argmax(axis=1)
        return self._memories_of(X)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Posterior of each cluster given each row.

        That of a memory is the softmax over k of the logits, which are the log of
        ``weights_[k]`` plus the log density of the memory, tempered where memories have
        one covariance. With ``merge="valley"`` those of a group of memories are summed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; dtype of X. One column for each memory, or with
            ``merge="valley"`` for each of `n_components_`.
        """
        posteriors = super().predict_proba(X)
        if not self._has_components():
            return posteriors
        groups = np.eye(self.n_components_, dtype=posteriors.dtype)
        return posteriors @ groups[self.component_of_]

    def _memories_of(self, X: ArrayLike) -> Ints:
        """Label of the memory with the largest posterior, for each row."""
        return super().predict(X)

    def _has_components(self) -> bool:
        return hasattr(self, "component_of_")

    def _set_components(self, X: Floats) -> None:
        """Have the labels of the rows of a fit be of clusters."""
        self._labels_of_memories_ = self.labels_
        if self._has_components():
            self.n_components_ = int(self.component_of_.max()) + 1
            self.labels_ = self.predict(X)
