"""Clusters as modes of a kernel density: rows are the memories of a network."""

import warnings
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._typing import Auto, Device, Floats, Ints, RandomState
from ..checks import check_number, check_spread, generator_of, shown
from ..kernels import Memories
from ..learning.bandwidth import bandwidth_of
from ..learning.kernel_density import evidence_and_effective_rows, kernel_density
from ..network import Network
from ..nonparametric.modes import MOST_STEPS, Flow
from ..nonparametric.prominence import (
    dissolved,
    highest_passes,
    merged,
    saddles_between,
)
from ..rows.complete import Complete
from ..rows.distinct import distinct_rows
from ..rows.weighted import WeightedRows
from .answers import check_step_size
from .base import AssociativeClusterer, Learned
from .callbacks import Iterations, Task
from .centers import is_word

# With fewer effective rows at half of the rows, a density is a row and its kernel.
LEAST_EFFECTIVE = 2.0


class ModeClusterer(AssociativeClusterer):
    """DOC"""

    bandwidth_: float
    beta_: float
    memories_: Floats
    memory_counts_: Floats
    memory_labels_: Ints
    n_clusters_: int
    n_modes_: int
    modes_: Floats
    mode_labels_: Ints
    prominences_: Floats
    saddles_: Floats

    def __init__(
        self,
        bandwidth: Auto | float = "auto",
        *,
        significance: float = 0.5,
        min_cluster_size: int = 5,
        max_memories: int = 4096,
        step_size: float = 1.7,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.bandwidth = bandwidth
        self.significance = significance
        self.min_cluster_size = min_cluster_size
        self.max_memories = max_memories
        self.step_size = step_size
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def predict(self, X: ArrayLike) -> Ints:
        """Label of the cluster with the largest posterior, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            The argmax of `predict_proba`; of equal ones the first.
        """
        return self.predict_proba(X).argmax(axis=1)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Posterior of each cluster given each row.

        This is the softmax over memories of the logits
        ``log memory_counts_[k] - beta_ * |x - memories_[k]|^2``, summed over the
        memories of each cluster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; dtype of X.
        """
        X, missing = self._checked(X)
        return self._posteriors(X, missing, self._network())

    def sample(self, n_samples: int = 1) -> tuple[Floats, Ints]:
        """Draw rows from the kernel density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows, ordered by the memory that each was drawn about.
        y : ndarray of shape (n_samples,), int
            The labels of these memories.
        """
        check_is_fitted(self)
        self._check_state(self.n_features_in_)
        check_number(n_samples, "n_samples", Integral, min_val=1)
        random_state = generator_of(self.random_state)
        shares = self.memory_counts_ / self.memory_counts_.sum()
        index = np.repeat(
            np.arange(len(shares)), random_state.multinomial(n_samples, shares)
        )
        noise = random_state.normal(size=(n_samples, self.memories_.shape[1]))
        X = self.memories_[index] + self.bandwidth_ * noise
        return X.astype(self.memories_.dtype), self.memory_labels_[index]

    def _check_parameters(self) -> None:
        if not is_word(self.bandwidth, "auto"):
            if isinstance(self.bandwidth, str):
                raise ValueError(
                    f'bandwidth == {shown(self.bandwidth)}, must be "auto" or a'
                    " positive number."
                )
            check_number(
                self.bandwidth, "bandwidth", min_val=0, include_boundaries="neither"
            )
        check_number(self.significance, "significance", min_val=0)
        check_number(self.min_cluster_size, "min_cluster_size", Integral, min_val=1)
        check_number(self.max_memories, "max_memories", Integral, min_val=1)
        check_step_size(self.step_size)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _n_starts(self) -> int:
        return 1

    def _fit_rows(self, X: Floats, weights: Floats, task: Task) -> None:
        complete = self._complete_rows(X, weights)
        device = self._device()
        rows = distinct_rows(X[complete], weights[complete])._replace(device=device)
        check_spread(rows.values)
        learned = self._learn(X, rows, generator_of(self.random_state), task)
        self.__dict__.update(learned.attributes)
        self.history_ = np.asarray(learned.history)
        self.objective_ = float(self.history_[-1])
        self.n_iter_ = len(self.history_)
        counts = weights > 0
        self.labels_ = self.predict(X)
        away = X[counts] - self.cluster_centers_[self.labels_[counts]]
        squares = np.nansum(np.square(away, dtype=np.float64), axis=1)
        self.inertia_ = float(weights[counts] @ squares)

    def _complete_rows(self, X: Floats, weights: Floats) -> Any:
        """Which rows can be memories: those without missing values."""
        missing = np.isnan(X).any(axis=1)
        if not missing.any():
            return slice(None)
        if not (weights > 0)[~missing].any():
            raise ValueError(
                "X has NaN in every row of positive weight, and only complete rows can"
                " be memories. Fill missing values first, as by AssociativeImputer."
            )
        warnings.warn(
            f"{np.count_nonzero(missing)} of {len(X)} rows have missing values: they"
            " get labels, but only the others are memories. Fill missing values first,"
            " as by AssociativeImputer, if these are few or unlike the rest.",
            UserWarning,
            stacklevel=6,
        )
        return ~missing

    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        bandwidth = self._bandwidth_of(rows, random_state)
        memories = self._drawn(rows, random_state)
        network = kernel_density(
            memories.values.astype(np.float64),
            memories.weights,
            bandwidth,
            rows.device,
        )
        flow = Flow.of(network, bandwidth, float(self.step_size))
        subtask = task.subtask("start", max_subtasks=MOST_STEPS + 1)
        iterations, history = Iterations(subtask), []
        for step in range(MOST_STEPS):
            flow = flow.step()
            history.append(flow.free_energy())
            self._report(0, step + 1, f"{len(flow.states)} states")
            attributes = partial(self._attributes, flow, memories)
            if iterations.end_one(attributes) or not flow.goes_on:
                break
        iterations.close()
        attributes = self._attributes(flow, memories)
        subtask.end(attributes)
        self._warn_of(network, attributes)
        return Learned(attributes, np.array(history))

    def _bandwidth_of(
        self, rows: WeightedRows, random_state: np.random.RandomState
    ) -> float:
        automatic = bandwidth_of(rows, random_state)
        bandwidth = automatic if is_word(self.bandwidth, "auto") else self.bandwidth
        bandwidth, info = float(bandwidth), np.finfo(rows.values.dtype)
        least = float(2 * np.sqrt(1 / info.max))
        if not least < bandwidth < 1 / least:
            raise ValueError(
                f"bandwidth == {bandwidth}, must be between {least:.2g} and"
                f" {1 / least:.2g} for X of {rows.values.dtype}."
            )
        return bandwidth

    def _drawn(
        self, rows: WeightedRows, random_state: np.random.RandomState
    ) -> WeightedRows:
        """Rows that are memories, each with the weight of those nearest to it."""
        some = rows.in_strata(int(self.max_memories), random_state)
        if some is rows:
            return rows
        device, n_rows = rows.device, len(rows.values)
        memories = Memories(some.values, np.zeros(len(some.values)), 1.0)
        nearest = np.empty(n_rows, np.intp)
        device.rows_of(
            device.kernels.label,
            rows.values,
            memories.astype(rows.values.dtype),
            out=(nearest,),
        )
        counts = np.bincount(nearest, rows.weights, len(some.values))
        return some._replace(weights=counts)

    def _attributes(self, flow: Flow, memories: WeightedRows) -> dict[str, Any]:
        """What the fit keeps if states have come so far."""
        modes = flow.modes()
        saddles = saddles_between(flow.network, modes)
        groups = merged(modes, saddles, float(self.significance))
        sizes = np.bincount(modes.basins, memories.weights, len(groups))
        groups = dissolved(groups, saddles, sizes, self.min_cluster_size)
        groups = self._seen(groups, saddles, modes.basins, flow.network, memories)
        kept, labels = np.unique(groups, return_inverse=True)
        passes = highest_passes(modes, saddles)
        of_passes = np.append(saddles.evidence, -np.inf)[passes]
        points = np.vstack([saddles.points, np.full(memories.values.shape[1], np.nan)])
        dtype, of_memories = memories.values.dtype, labels[modes.basins]
        shares = np.bincount(of_memories, memories.weights) / memories.total_weight
        centers = (modes.points + memories.offset).astype(dtype)
        return {
            "cluster_centers_": centers[kept],
            "weights_": shares.astype(dtype),
            "bandwidth_": flow.bandwidth,
            "beta_": 0.5 / flow.bandwidth**2,
            "memories_": memories.values + memories.offset,
            "memory_counts_": memories.weights,
            "memory_labels_": of_memories,
            "n_clusters_": len(kept),
            "n_modes_": len(groups),
            "modes_": centers,
            "mode_labels_": labels,
            "prominences_": (modes.evidence - of_passes).astype(dtype),
            "saddles_": (points[passes] + memories.offset).astype(dtype),
        }

    def _seen(
        self,
        groups: Ints,
        saddles: Any,
        basins: Ints,
        network: Network,
        memories: WeightedRows,
    ) -> Ints:
        """Groups of modes that are the label of enough rows, too."""
        centers = network.memories.centers
        while True:
            present, labels = np.unique(groups, return_inverse=True)
            evidence = evidence_of(
                Complete(centers), network, labels[basins], len(present)
            )
            sizes = np.zeros(len(groups))
            sizes[present] = np.bincount(
                evidence.argmax(axis=1), memories.weights, len(present)
            )
            fewer = dissolved(groups, saddles, sizes, self.min_cluster_size)
            if np.array_equal(fewer, groups):
                return groups
            groups = fewer

    def _warn_of(self, network: Network, attributes: dict[str, Any]) -> None:
        centers, counts = network.memories.centers, attributes["memory_counts_"]
        n_rows = evidence_and_effective_rows(network, centers)[1]
        order = np.argsort(n_rows)
        middle = np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)
        median = n_rows[order][min(middle, len(order) - 1)]
        if len(centers) > 1 and median < LEAST_EFFECTIVE:
            warnings.warn(
                f"For half of the rows no more than {median:.2g} rows make the density"
                f" there, and modes mean little: X has {centers.shape[1]} features,"
                " where neighbours are far. Use CRPAssociativeClusterer, fewer columns"
                " (as by PCA), or a larger bandwidth.",
                UserWarning,
                stacklevel=7,
            )

    def _posteriors(self, X: Floats, missing: bool, network: Network) -> Floats:
        labels, n_clusters = self.memory_labels_, len(self.cluster_centers_)
        evidence = network.asked(
            X, missing, lambda rows, here: evidence_of(rows, here, labels, n_clusters)
        )
        # All memories of a row are out of reach of its dtype: none is preferred.
        evidence[np.isneginf(evidence).all(axis=1)] = 0
        evidence -= evidence.max(axis=1, keepdims=True)
        posteriors = np.exp(evidence, out=evidence)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        return posteriors

    def _memories(self, n_features: int) -> Memories:
        counts = self.memory_counts_ / self.memory_counts_.sum()
        return Memories(
            self.memories_,
            np.log(counts),
            self.beta_,
            self._likelihood(),
            n_features,
        )

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        n_memories = len(np.atleast_1d(getattr(self, "memories_", 0)))
        shapes = super()._shapes(n_features)
        return shapes | {
            "memories_": (n_memories, n_features),
            "memory_counts_": (n_memories,),
            "memory_labels_": (n_memories,),
        }


def evidence_of(rows: Any, network: Network, labels: Ints, n_clusters: int) -> Floats:
    """Log evidence of the memories of each cluster (n_rows, n_clusters)."""
    memories = network.memories.astype(rows.values.dtype)
    out = np.empty((len(rows.values), n_clusters), rows.values.dtype)
    for cluster in range(n_clusters):
        some = network._replace(memories=memories.some(labels == cluster))
        out[:, cluster] = rows.log_evidence(some)
    return out
