"""What the spherical clusterer learns from each start, and which start is kept."""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ..learning.directions import Clusters, hard_phase
from ..learning.em import Mixture, lower
from ..learning.spherical import Concentrations, SphericalFreeEnergy, first_mixture
from .callbacks import Iterations, Task
from .centers import SeededBase
from .starts import best_of


class Outcome(NamedTuple):
    """What one start comes to."""

    mixture: Mixture
    history: list[float]


class SphericalLearningBase(SeededBase):
    """EM, or spherical k-means, from several starts."""

    def _lowest(
        self,
        rows: Any,
        spread: Concentrations,
        first: Callable[[], Clusters],
        task: Task,
    ) -> Outcome:
        """What EM comes to from the best of the starts."""
        tol, max_iter = float(self.tol), int(self.max_iter)
        # Starts that end in the same place differ by rounding: the first is kept.
        least_gain = tol * rows.n_features
        free_energy = SphericalFreeEnergy(rows, self.weights == "learned")

        def descend(start: int, mixture: Mixture, iterations: Iterations) -> Outcome:
            def watch(iteration: int, value: float, mixture: Mixture) -> bool:
                self._report(start, iteration, f"free energy {value:.6g} nats")
                if iteration == 1:  # the start, before any step
                    return False
                return iterations.end_one(partial(attributes_of, mixture, rows.dtype))

            mixture, history, _ = lower(
                free_energy, mixture, max_iter=max_iter, tol=tol, watch=watch
            )
            return Outcome(mixture, history)

        return best_of(
            (first_mixture(first(), spread) for _ in range(task.max_subtasks)),
            descend,
            lambda one, best: best.history[-1] - one.history[-1] > least_gain,
            lambda outcome: attributes_of(outcome.mixture, rows.dtype),
            task,
            max_iter,
        )

    def _closest(
        self,
        rows: Any,
        spread: Concentrations,
        first: Callable[[], Clusters],
        task: Task,
    ) -> Outcome:
        """The best that spherical k-means comes to."""
        losses, tol, max_iter = [inf], float(self.tol), int(self.max_iter)

        def iterate(start: int, clusters: Clusters, iterations: Iterations) -> Outcome:
            def watch(iteration: int, loss: float, clusters: Clusters) -> bool:
                self._report(start, iteration, f"mean of 1 - cosine {loss:.6g}")
                if iteration == 1:  # the start, before any step
                    return False
                return iterations.end_one(
                    lambda: attributes_of(first_mixture(clusters, spread), rows.dtype)
                )

            clusters, history = hard_phase(
                rows,
                clusters,
                max_iter=max_iter,
                tol=tol,
                watch=watch,
                bar=min(losses),
            )
            losses.append(history[-1])
            return Outcome(first_mixture(clusters, spread), history)

        return best_of(
            (first() for _ in range(task.max_subtasks)),
            iterate,
            lambda one, best: best.history[-1] - one.history[-1] > tol,
            lambda outcome: attributes_of(outcome.mixture, rows.dtype),
            task,
            max_iter,
        )


def attributes_of(mixture: Mixture, dtype: Any) -> dict[str, Any]:
    """What an estimator keeps of a mixture on the sphere."""
    n_clusters = len(mixture.weights)
    least = np.finfo(dtype).tiny  # a weight of 0 would have no logarithm
    return {
        "cluster_centers_": mixture.centers.astype(dtype),
        "weights_": np.maximum(mixture.weights, least).astype(dtype),
        "concentrations_": np.broadcast_to(mixture.spread.values, n_clusters).astype(
            dtype
        ),
    }
