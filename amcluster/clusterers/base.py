"""What all clusterers share: how a fit goes, what it keeps, and what it is asked."""

import math
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from .._typing import Floats
from ..checks import (
    check_fits,
    check_seen,
    check_spread,
    check_state,
    generator_of,
    refuse,
)
from ..energies import Gaussian
from ..execution.select import device_named
from ..kernels import Memories
from ..network import Network
from ..rows.distinct import distinct_rows
from ..rows.kinds import as_one_kind
from ..rows.weighted import WeightedRows
from ..spaces.metric import LearnedMetric
from .answers import AnswersMixin
from .callbacks import Task
from .fitting import Learned, MemoryClusterer

# Rows in float32 are learned from in float64 if the rounding of squared distances,
# epsilon times the total variance, may be more than this part of that about memories.
RESOLUTION = 0.01


class AssociativeClusterer(AnswersMixin, MemoryClusterer):
    """Base of the clusterers whose memories are points, at distances from rows."""

    beta_: float | Floats
    inertia_: float

    @abstractmethod
    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        """Learn from the validated X and its centred distinct rows; return Learned.

        Each start is a subtask.
        """

    def _fit_rows(self, X: Floats, weights: Floats, task: Task) -> None:
        check_fits(self.beta, "beta", X.dtype)
        check_seen(X, weights, getattr(self, "feature_names_in_", None))
        device = self._device()
        rows = distinct_rows(X, self._in_range(weights))._replace(device=device)
        check_spread(rows.values)
        random_state = generator_of(self.random_state)
        learned = self._learn(X, rows, random_state, task)
        if X.dtype == np.float32 and isinstance(self.beta, str):
            unknown = sharpness(rows, learned.attributes) * np.finfo(X.dtype).eps
            if unknown > RESOLUTION:
                learned = self._learned_in_float64(X, weights, learned, task)
        self._keep(learned)
        self._set_labels(X, weights, device)
        more = len(rows.values) > len(self.cluster_centers_)
        if X.dtype == np.float32 and more and rows.total_variance > 0:
            warn_of_rounding(rows, self.inertia_ / weights.sum())
        self._warn_of_labels(X, weights)

    def _warn_of_labels(self, X: Floats, weights: Floats) -> None:
        """Say so if labels are not what was asked for."""

    def _learned_in_float64(
        self, X: Floats, weights: Floats, learned: Learned, task: Task
    ) -> Learned:
        """What is learned of the same rows in float64, in the dtypes of `learned`.

        That is `learned` again where memories are as good as equal to their rows: then
        float32 could not tell how far a row is from them.
        """
        eps = np.finfo(X.dtype).eps
        X = X.astype(np.float64)
        rows = distinct_rows(X, self._in_range(weights))
        rows = rows._replace(device=self._device())
        random_state = generator_of(self.random_state)
        task = Task.silent(self, task.max_subtasks)
        wide = self._learn(X, rows, random_state, task)
        if sharpness(rows, wide.attributes) * eps**2 > 1:
            return learned
        attributes = wide.attributes.copy()
        for name, value in learned.attributes.items():
            both = value, attributes.get(name)
            if all(isinstance(one, np.ndarray) for one in both):
                attributes[name] = attributes[name].astype(value.dtype)
        return wide._replace(attributes=attributes)

    def _set_labels(self, X: Floats, weights: Floats, device: Any) -> None:
        """Labels of the rows that were learned from, and their inertia.

        The device may have X already.
        """
        network, counts = self._network()._replace(device=device), weights > 0
        rows = as_one_kind(X)

        # Rows of weight 0 may lie where squared distances are no numbers.
        reached = X if counts.all() else self._nearer(X)
        self.labels_ = labels = network.asked(
            reached, rows.has_missing, lambda rows, network: rows.labels(network)
        )
        if not counts.all():
            rows = rows._replace(values=X[counts])
            weights, labels = weights[counts], self.labels_[counts]
        memories = network.memories.astype(X.dtype)
        (inertia,) = device.sum_over(
            device.kernels.squared_error,
            rows.without_missing(memories.centers, labels),
            weights,
            memories,
            out=(labels,),
        )
        self.inertia_ = float(inertia)

    def _in_range(self, weights: Floats) -> Floats:
        """Weights as learning sees them."""
        return weights

    @property
    def metric_(self) -> Floats:
        """The learned metric A, of determinant 1 (n_features, n_features).

        Squared distances are ``(x - y) @ A @ (x - y)``. The fit keeps its factors; each
        look at this attribute makes the matrix of them.
        """
        metric = self._learned_metric()
        if metric is None:
            raise AttributeError(
                f"{type(self).__name__} has metric_ after a fit with metric='learned'."
            )
        return metric.to_matrix()

    @metric_.setter
    def metric_(self, matrix: Floats) -> None:
        self._metric_ = tuple(LearnedMetric.of_matrix(matrix))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        return tags

    def _validated(
        self,
        X: Any,
        reset: bool = True,
        ensure_all_finite: bool | str = "allow-nan",
    ) -> Floats:
        X = validate_data(
            self,
            X,
            dtype=[np.float64, np.float32],
            ensure_all_finite=ensure_all_finite,
            reset=reset,
        )
        if not reset:
            self._check_state(X.shape[1])
        return X

    def _check_state(self, n_features: int) -> None:
        """Raise unless the fitted attributes fit together, and rows of X."""
        own = self._has_own()
        check_state(self, self._shapes(n_features), [] if own else ["beta_"])
        if own and not np.all(self.beta_ > 0):
            refuse(f"beta_ == {self.beta_!r}", "positive numbers")
        metric = self._learned_metric()
        if metric is not None:
            metric.check(n_features)

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        """Shapes of fitted arrays, which follow from that of the memories."""
        shape = getattr(getattr(self, "cluster_centers_", None), "shape", ())
        n_clusters = max(1, *shape[:1], 0)
        shapes = {
            "cluster_centers_": (n_clusters, n_features),
            "weights_": (n_clusters,),
        }
        if self._has_own():
            shapes["beta_"] = (n_clusters,)
        return shapes

    def _has_own(self) -> bool:
        """Whether each memory has an inverse temperature of its own."""
        return getattr(self, "_roots_", None) is not None

    def _device(self) -> Any:
        """Where kernels run, for one call of a user."""
        return device_named(self.device)

    def _likelihood(self) -> Any:
        """The energy of the memories: how likely rows are about them."""
        return Gaussian()

    def _memories(self, n_features: int) -> Memories:
        """The memories, in the coordinates of X."""
        return Memories(
            self.cluster_centers_,
            np.log(self.weights_),
            self.beta_,
            self._likelihood(),
            n_features,
        )

    def _network(self) -> Network:
        """The network of the memories, for one call of a user."""
        metric = self._learned_metric()
        middle = None if metric is None else self._middle()
        n_features = self.cluster_centers_.shape[1]
        return Network(self._memories(n_features), metric, middle, self._device())

    def _learned_metric(self) -> LearnedMetric | None:
        """The learned metric; None where it is Euclidean."""
        factors = getattr(self, "_metric_", None)
        return None if factors is None else LearnedMetric(*factors)

    def _metric_or_identity(self) -> LearnedMetric:
        n_features = self.cluster_centers_.shape[1]
        return self._learned_metric() or LearnedMetric.of_matrix(np.eye(n_features))

    def _middle(self) -> Floats:
        """Where those coordinates are 0, so that they keep float32's precision."""
        return np.ascontiguousarray(self.weights_) @ self.cluster_centers_


def sharpness(rows: WeightedRows, attributes: dict[str, Any]) -> float:
    """The variance of rows in units of that about their memories.

    In the mean over features, or, in a learned metric, the largest of one feature,
    given the others.
    """
    factors, variances = attributes.get("_metric_"), rows.variances
    beta = np.max(attributes["beta_"])
    if factors is None:
        return 2 * beta * variances.mean()
    return 2 * beta * (variances * LearnedMetric(*factors).diagonal).max()


def warn_of_rounding(rows: WeightedRows, mean_square: float) -> None:
    """Say so if rows are no farther from their memories than numbers from the next."""
    values = rows.values + rows.offset
    largest = np.maximum(np.nanmax(values, axis=0), -np.nanmin(values, axis=0))
    unit = float(np.square(np.spacing(largest).astype(float)).sum())
    if mean_square < unit:
        warnings.warn(
            f"Rows are {math.sqrt(mean_square):.1e} from their memories, and"
            f" {values.dtype} resolves {math.sqrt(unit):.1e} of X. Take an offset from"
            " X before it becomes so, or use float64.",
            RuntimeWarning,
            stacklevel=6,
        )


def fitted_attributes(
    centers: Floats, weights: Floats, beta: float, offset: Floats
) -> dict[str, Any]:
    """What an estimator keeps of memories learned from rows minus `offset`."""
    least = np.finfo(offset.dtype).tiny  # a weight of 0 would have no logarithm
    return {
        "cluster_centers_": (centers + offset).astype(offset.dtype, copy=False),
        "weights_": np.maximum(weights, least).astype(offset.dtype, copy=False),
        "beta_": float(beta),
    }
