"""What clusterers with a given number of memories share: where learning starts."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array

from .._typing import Floats
from ..checks import check_choice, check_number, moderate, shown
from ..learning.seeding import Partition, partition_rows, random_rows, seed
from ..rows.weighted import WeightedRows
from .base import AssociativeClusterer
from .fitting import MemoryClusterer

INITS = ("k-means++", "random")


class SeededBase(MemoryClusterer):
    """Parameters n_clusters, weights, init, n_init, max_iter, tol and verbose."""

    def _check_parameters(self) -> None:
        check_number(self.n_clusters, "n_clusters", Integral, min_val=1)
        check_choice(self.weights, "weights", ("uniform", "learned"))
        if isinstance(self.init, str):
            check_choice(self.init, "init", INITS)
        if not is_word(self.n_init, "auto"):
            check_number(self.n_init, "n_init", Integral, min_val=1)
        check_number(self.max_iter, "max_iter", Integral, min_val=1)
        check_number(self.tol, "tol", min_val=0)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _check_rows(self, X: Any) -> None:
        n_samples = X.shape[0]
        if self.n_clusters > n_samples:
            raise ValueError(
                f"n_samples={n_samples} should be >= n_clusters={self.n_clusters}."
            )

    def _n_starts(self) -> int:
        if is_word(self.n_init, "auto"):
            return 1
        if isinstance(self.init, str) or callable(self.init):
            return int(self.n_init)
        if self.n_init > 1:
            warnings.warn(
                f"init is an array: one start instead of n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=5,
            )
        return 1

    def _in_range(self, weights: Floats) -> Floats:
        # The model has only what a row weighs beside the others.
        return moderate(weights)

    def _given_centers(self, X: Any, random_state: np.random.RandomState) -> Floats:
        """The array that `init` is or returns, checked."""
        init = self.init
        if callable(init):
            init = init(X, self.n_clusters, random_state=random_state)
        if np.ndim(init) != 2:
            raise ValueError(
                f"init == {shown(init)}, must be one of {INITS}, a callable or an array"
                " of shape (n_clusters, n_features)."
            )
        centers = check_array(init, dtype=X.dtype, input_name="init")
        if centers.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init has shape {centers.shape}, must be"
                f" ({self.n_clusters}, {X.shape[1]}): (n_clusters, n_features)."
            )
        return centers


class SeededClusterer(SeededBase, AssociativeClusterer):
    """Base of clusterers that also have a parameter beta."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not is_word(self.beta, "auto"):
            check_number(self.beta, "beta", min_val=0, include_boundaries="neither")

    def _warn_of_labels(self, X: Floats, weights: Floats) -> None:
        n_alive = np.count_nonzero(np.bincount(self.labels_[weights > 0]))
        n_clusters = len(self.cluster_centers_)
        if n_alive < n_clusters:
            n_distinct = len(np.unique(X[weights > 0], axis=0))
            warnings.warn(
                f"Only {n_alive} of n_clusters={n_clusters} memories are the label of"
                f" some row. X has {n_distinct} distinct rows of positive weight; if"
                " that is enough, a larger beta keeps memories apart.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _swaps(self) -> bool:
        """Whether seeds by k-means++ are improved by swaps."""
        return is_word(self.n_init, "auto")

    def _first_partition(
        self, X: Floats, rows: WeightedRows, random_state: np.random.RandomState
    ) -> Partition:
        """Rows given to the memories that learning starts with."""
        return partition_rows(rows, self._first_centers(X, rows, random_state))

    def _first_centers(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        trim: float = 0.0,
    ) -> Floats:
        """The memories that learning starts with.

        `trim` is the part of the weight, that of the farthest rows, which seeds by
        k-means++ leave out.
        """
        if is_word(self.init, "k-means++"):
            return seed(
                rows,
                int(self.n_clusters),
                random_state,
                swaps=self._swaps(),
                trim=trim,
            )
        if is_word(self.init, "random"):
            return random_rows(rows, int(self.n_clusters), random_state)
        return rows.place(self._given_centers(X, random_state))


def variance_about(rows: WeightedRows, partition: Partition) -> tuple[float, float]:
    """Mean variance of a feature about the centers, and the least that is resolved."""
    n_features = rows.values.shape[1]
    part = partition.weights.sum() / rows.total_weight  # not left out
    variance = partition.inertia / (part * rows.n_values)
    floor = np.finfo(rows.values.dtype).eps * (rows.total_variance or 1.0) / n_features
    return max(variance, floor), floor


def is_word(parameter: object, word: str) -> bool:
    """Whether a parameter that may be an array is this string."""
    return isinstance(parameter, str) and parameter == word
