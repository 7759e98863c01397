"""Memories that follow a stream of batches."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from ..checks import check_range, check_sample_weight, generator_of
from ..execution.threads import blas_in_one_thread
from ..nonparametric.coordinates import about
from ..nonparametric.model import Grown
from ..nonparametric.own_stream import decayed_own, follow_own
from ..nonparametric.shapes import LearnedShapes, Shaped
from ..nonparametric.stream import (
    MOST_STRANGE,
    Buffer,
    Seated,
    decayed,
    distinct,
    far_rows,
    follow,
    learned_weights,
    strangeness,
)
from ..rows.distinct import distinct_rows
from ..rows.kinds import as_one_kind
from ..rows.missing import has_missing
from ..rows.weights import Weighing
from .callbacks import Task
from .crp_hierarchy import HierarchyMixin
from .crp_network import BaseMeasureMixin
from .fitting import earlier_fit_kept

# A stream is refitted until this many rows are seen; then it is followed.
WARM_UP_ROWS = 500
# Until then it is followed between fits, too: a batch of so many rows is worth a fit,
# or as many rows again as were in the last one.
REFIT_ROWS = 40


class StreamMixin(BaseMeasureMixin, HierarchyMixin):
    """`partial_fit` of the CRP."""

    _buffer: Any  # the fields of a Buffer; None: rows are no longer kept

    def partial_fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from a batch of a stream; every call leaves a usable model.

        The rows of the first calls are kept, until there are 500, and fitted again when
        a batch of 40 or more comes, or as many rows as were in the last fit. Between
        these, from then on, and after `fit`, each batch is seated in one pass: a row
        adds to the memory that explains it best, or makes a new one. What is kept does
        not grow with the rows seen. New kinds among rows with missing values are sought
        among those of the batch that are novel, by a soft path.

        Rows that are no data do not spoil what was learned. One that is 10,000 times
        further from all memories than values of a column are from each other counts for
        the memory of its label, and does not move it. Rows further than five radii from
        their memory, or with a memory of their own, do not change `beta_`; where
        covariances are own, far rows weigh as little as the tails say. Where a
        fifth of the last hundred rows or so are like that, the stream has another scale
        than it began with: memories and the next 500 rows are then kept and fitted as
        in the beginning. Of a row that comes again and again, as from an idle sensor,
        not all copies are learned from while rows are kept; all are counted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, as for `fit`. Relative weights are compared with those
            of all batches so far: see `weighting`.

        Returns
        -------
        self : object
            The estimator; `labels_` and `inertia_` are of the batch, or, while all rows
            of the stream are kept, of all of them.

        Raises
        ------
        ValueError
            If a parameter, X or sample_weight is not valid, ``merge="valley"``, since
            groups of memories are told by all rows, or if a row is so far from
            the others that squared distances leave the range of X's dtype. The model is
            then as before the batch.
        """
        with earlier_fit_kept(self), blas_in_one_thread:
            self._check_parameters()
            if self.merge is not None:
                raise ValueError(
                    f"merge == {self.merge!r} groups memories by all rows, of which"
                    " partial_fit sees some: set merge=None, or call fit on all rows."
                )
            first = not hasattr(self, "cluster_centers_")
            X = self._validated(X, reset=first)
            weights = check_sample_weight(sample_weight, X)
            check_range(X, None if first else self.base_mean_)
            earlier = Weighing() if first else Weighing(*getattr(self, "_weighing", ()))
            weights, weighing = earlier.in_rows(weights, self.weighting)
            self._weighing = tuple(weighing)
            if first:
                self._buffer = tuple(Buffer(X[:0], weights[:0], weights[:0], 0, True))
            if self._buffer is not None:
                self._collect(X, weights)
            else:
                self._follow_or_learn_anew(X, weights)
            self._drop_hierarchy()
        return self

    def _collect(
        self, X: Floats, weights: Floats, learned: NDArray[np.bool_] | bool = True
    ) -> None:
        """Keep the rows of a stream that is still short; fit all when more have come.

        In between they are followed. Some may count without being learned from.
        """
        buffer = Buffer(*self._buffer).decayed(self._forgetting(weights))
        buffer = buffer.joined(X, weights, learned)
        n_rows = len(buffer.rows)
        full, n_fitted = n_rows >= WARM_UP_ROWS, buffer.n_fitted
        if full or len(X) >= REFIT_ROWS or n_rows >= 2 * n_fitted:
            self._refit(buffer)
            n_fitted = n_rows
        else:
            self._follow(X, weights)
        if buffer.whole:
            self._set_labels(buffer.rows, buffer.weights, self._device())
        else:
            self._set_labels(X, weights, self._device())
        self._buffer = None if full else tuple(buffer._replace(n_fitted=n_fitted))

    def _refit(self, buffer: Buffer) -> None:
        """Fit the rows of a buffer; some count for more than is learned from them."""
        most = 2.0 * self.min_cluster_size
        learned = learned_weights(buffer.rows, buffer.weights, most)
        super()._fit_rows(buffer.rows, learned, Task.silent(self))
        self._learn_tail(buffer.rows, learned)
        self._count(buffer.rows, buffer.others + (buffer.weights - learned))

    def _follow_or_learn_anew(self, X: Floats, weights: Floats) -> None:
        """Seat a batch; where many rows are unlike all that was learned, learn anew."""
        centers, counts = self.cluster_centers_, self.counts_
        is_strange = self._follow(X, weights)
        self._set_labels(X, weights, self._device())
        before = getattr(self, "_strangeness", 0.0)
        counted = weights > 0
        self._strangeness = strangeness(before, X[counted], is_strange[counted])
        if self._strangeness > MOST_STRANGE:
            most = 2.0 * self.min_cluster_size
            self._buffer = tuple(Buffer.of_memories(centers, counts, most))
            self._collect(X, weights, learned=is_strange)

    def _follow(self, X: Floats, weights: Floats) -> NDArray[np.bool_]:
        """Seat the rows of a batch; returns which are unlike all that was learned.

        Rows that are no data count for the memory of their label, and do not move it.
        """
        factor = self._forgetting(weights)
        far = np.zeros(len(X), bool)
        if hasattr(self, "_spreads"):
            far = far_rows(X, self.base_mean_, self.cluster_centers_, self._spreads)
        near, is_strange = ~far & (weights > 0), far.copy()
        metric = as_one_kind(X[near]).usable(self._learned_metric())
        base_mean = self._base_mean()
        centers = self.cluster_centers_ - base_mean
        if metric is not None:
            centers = metric.coordinates(centers)
        grown = self._faded(centers, factor)
        if near.any():
            batch = distinct_rows(X[near], weights[near])
            batch = batch._replace(device=self._device())
            seated = self._seated(about(batch, base_mean, metric), grown)
            grown = seated.grown
            is_strange[near] = seated.is_strange[distinct(X[near])[1]]
        centers = grown.centers
        if metric is not None:
            centers = metric.features(centers)
        centers, dtype = centers + base_mean, self.cluster_centers_.dtype
        shapes = self._followed_shapes(grown)
        self.__dict__.update(self._of_memories(centers, grown.counts, shapes, dtype))
        self._count(X[far], weights[far])
        return is_strange

    def _faded(self, centers: Floats, factor: float) -> Grown | Shaped:
        """The memories before a batch, in the coordinates of its metric."""
        shapes = self._learned_shapes()
        if shapes.roots is None:
            grown = Grown(centers, self.counts_, self.beta_)
            return decayed(grown, factor, self.discount)
        # Memories with roots have a metric whose axes are the features for all rows.
        return decayed_own(shapes.shaped(centers, self.counts_), factor, self.discount)

    def _seated(self, rows: Any, grown: Grown | Shaped) -> Seated:
        """What a batch makes of the memories."""
        random_state, model = generator_of(self.random_state), self._model()
        if isinstance(grown, Shaped):
            return follow_own(rows, grown, model, random_state)
        return follow(rows, grown, model, self.creation == "flow", random_state)

    def _followed_shapes(self, grown: Grown | Shaped) -> LearnedShapes:
        if isinstance(grown, Shaped):
            return self._learned_shapes().after(grown)
        return LearnedShapes.alike(grown.beta)

    def _base_mean(self) -> Floats:
        return self.base_mean_.astype(np.float64)

    def _count(self, X: Floats, weights: Floats) -> None:
        """Add rows to the counts of the memories of their labels; nothing else."""
        if not weights.any():
            return
        order = np.argsort(weights)  # sums are then the same in any order of rows
        X, weights = X[order], weights[order]
        of_rows = self._network().asked(
            self._nearer(X), has_missing(X), lambda rows, network: rows.labels(network)
        )
        counts = self.counts_ + np.bincount(of_rows, weights, len(self.counts_))
        centers, dtype = self.cluster_centers_, self.cluster_centers_.dtype
        self.__dict__.update(
            self._of_memories(centers, counts, self._learned_shapes(), dtype)
        )

    def _forgetting(self, weights: Floats) -> float:
        """What is left of what was learned before rows of these weights."""
        return float(self.decay ** np.sort(weights).sum())
