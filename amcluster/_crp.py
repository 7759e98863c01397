"""CLAM+CRP and CLAM+CRP+ELBO: memories made as the data need them."""

from functools import partial
from numbers import Integral

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.utils.validation import validate_data

from ._base import (
    AssociativeClusterer,
    Learned,
    check_step_size,
    earlier_fit_kept,
    warn_of_moving,
)
from ._callbacks import Iterations, Task
from ._canonical import DistinctRows, distinct_rows
from ._checks import check_choice, check_number, check_sample_weight
from ._coarsening import SoftObjective, coarsen, path_rows
from ._collapsed import Collapsed, first_numbers, lower
from ._dissolving import dissolve
from ._landscape import Landscape
from ._nonparametric import ChineseRestaurant, Grown, Nonparametric
from ._preparation import coordinates, prepare
from ._seeded import is_word
from ._stream import decayed, follow
from .kernels import Memories

# A stream is refitted until this many rows are seen; then it is followed.
WARM_UP_ROWS = 500


class CRPAssociativeClusterer(AssociativeClusterer):
    """placeholder"""

    def __init__(
        self,
        concentration=1e-3,
        *,
        discount=0.0,
        base_precision="auto",
        beta="auto",
        metric="learned",
        creation="posterior",
        assignment="soft",
        min_cluster_size=5,
        decay=1.0,
        n_init="auto",
        max_iter=100,
        tol=1e-6,
        random_state=None,
        verbose=0,
    ):
        self.concentration = concentration
        self.discount = discount
        self.base_precision = base_precision
        self.beta = beta
        self.metric = metric
        self.creation = creation
        self.assignment = assignment
        self.min_cluster_size = min_cluster_size
        self.decay = decay
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    def partial_fit(self, X, y=None, sample_weight=None):
        """Learn from a batch of a stream; every call leaves a usable model.

        The rows of the first calls are kept and fitted again with each batch, until
        there are 500. From then on, and after `fit`, each batch is seated in one pass:
        a row adds to the memory that explains it best, or makes a new one. What is kept
        does not grow with the rows seen.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, as for `fit`.

        Returns
        -------
        self : object
            The estimator; `labels_` and `inertia_` are of the batch, or, while rows are
            kept, of all of them.

        Raises
        ------
        ValueError
            If a parameter, X or sample_weight is not valid. The model is then as before
            the batch.
        """
        with earlier_fit_kept(self):
            self._check_parameters()
            first = not hasattr(self, "cluster_centers_")
            X = validate_data(self, X, dtype=[np.float64, np.float32], reset=first)
            weights = check_sample_weight(sample_weight, X)
            if first or self._buffer is not None:
                self._refit(X, weights)
            else:
                self._follow(X, weights)
        return self

    def novelty(self, X):
        """Posterior mass of a new memory, for each row.

        It is softmax(a)_0 over the base measure and the memories, with the logits of
        the class. Rows unlike all that was learned are near 1; use it to rank rows, or
        with a threshold chosen on data, as 0.5 depends on `concentration`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        novelty : ndarray of shape (n_samples,)
            In [0, 1].
        """
        rows, landscape = self._landscape(self._check_X(X))
        return landscape.new_memory(rows)

    def energy(self, X):
        """Energy of each row as a state of the network, base measure included.

        It is ``-1 / b`` times the logsumexp of the logits a_0, ..., a_K of the class,
        with ``b = beta_ * effective_dimension_ / rank_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In squared units of X.
        """
        rows, landscape = self._landscape(self._check_X(X))
        return landscape.log_evidence(rows) / -landscape.memories.beta

    def score_samples(self, X):
        """Log density of each row: that of the next row, given all learned from.

        It is a mixture of the memories, ``N(cluster_centers_[k], inv(metric_) / (2 *
        beta_))`` with weights ``counts_[k] - discount``, and of the base measure's
        predictive with weight ``concentration + discount * n_clusters_``. It is not
        tempered by `effective_dimension_`, so that it integrates to 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        rows, landscape = self._landscape(self._check_X(X), tempered=False)
        normaliser = rows.shape[1] / 2 * np.log(self.beta_ / np.pi)
        normaliser -= np.log(self.concentration + self.counts_.sum())
        return landscape.log_evidence(rows) + rows.dtype.type(normaliser)

    def retrieve(self, X, n_steps=None, step_size=1.0):
        """State of the network after its dynamics, started at each row.

        A step is ``v <- v + step_size * f(v)``, with f the pull of the memories and of
        the base measure, minus half the gradient of the energy in the metric.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=None
            Number of steps; None: until the state rests.
        step_size : float, default=1.0
            In (0, 2): the energy never rises.

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            In units of X.
        """
        check_step_size(step_size)
        if n_steps is not None:
            check_number(n_steps, "n_steps", Integral, min_val=0)
        rows, landscape = self._landscape(self._check_X(X))
        if n_steps is None:
            states, n_moving = landscape.rest(rows, step_size)
            warn_of_moving(n_moving, len(rows))
        else:
            *_, states = landscape.flow(rows, n_steps, step_size)
        return self._points(states)

    def trajectory(self, X, n_steps=10, step_size=0.3):
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
        X = self._check_X(X)
        rows, landscape = self._landscape(X)
        states = [self._points(v) for v in landscape.flow(rows, n_steps, step_size)]
        states[0] = X
        return np.stack(states, axis=1)

    def _check_parameters(self):
        check_number(
            self.discount, "discount", min_val=0, max_val=1, include_boundaries="left"
        )
        check_number(
            *(self.concentration, "concentration"),
            min_val=-self.discount,
            include_boundaries="neither",
        )
        for name in ("base_precision", "beta"):
            value = getattr(self, name)
            if not is_word(value, "auto"):
                check_number(value, name, min_val=0, include_boundaries="neither")
        check_choice(self.metric, "metric", ("learned", "euclidean"))
        check_choice(self.creation, "creation", ("posterior", "flow"))
        check_choice(self.assignment, "assignment", ("soft", "hard"))
        check_number(self.min_cluster_size, "min_cluster_size", Integral, min_val=1)
        check_number(
            self.decay, "decay", min_val=0, max_val=1, include_boundaries="right"
        )
        if not is_word(self.n_init, "auto"):
            check_number(self.n_init, "n_init", Integral, min_val=1)
        check_number(self.max_iter, "max_iter", Integral, min_val=1)
        check_number(self.tol, "tol", min_val=0)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _n_starts(self):
        return None if self.assignment == "hard" else self._n_repeats()

    def _n_repeats(self):
        return 1 if is_word(self.n_init, "auto") else self.n_init

    def _learn(self, X, rows, random_state, task):
        self._buffer = None
        if rows.total_weight <= self.discount:
            raise ValueError(
                f"The sum of sample_weight is {rows.total_weight}, must be more than"
                f" discount={self.discount}: weights count rows."
            )
        offset = rows.offset
        sample = path_rows(rows, random_state)
        prepared = prepare(sample, random_state, self.metric == "learned")
        rows = coordinates(rows, prepared.matrix)
        sample = coordinates(sample, prepared.matrix)
        model = self._first_model(prepared)
        attributes = partial(self._attributes, prepared, offset, model)
        best, tried = None, []
        for start, grow in enumerate(self._starts(rows, sample, model, random_state)):
            subtask = task.subtask("start", max_subtasks=None)
            iterations = Iterations(subtask)

            def watch(iteration, objective, grown, start=start, iterations=iterations):
                what = f"{len(grown.counts)} memories, objective {objective:.6g} nats"
                self._report(start, iteration, what)
                return iterations.end_one(partial(attributes, grown))

            outcome = grow(watch)
            iterations.close()
            tried += outcome.tried
            if best is None or outcome.history[-1] < best.history[-1]:
                best = outcome
            if subtask.end(partial(attributes, best.grown)):
                break
        grown, soft = best.grown, self.assignment == "soft"
        if soft:
            grown = SoftObjective(rows, model, self.tol).settle(grown, self.max_iter)
        grown = dissolve(rows, grown, model, self.min_cluster_size, soft)
        return Learned(attributes(grown) | {"runs_": np.array(tried)}, best.history)

    def _starts(self, rows, sample, model, random_state):
        """Functions of `watch` that each come to an outcome."""
        if self.assignment == "soft":
            objective = SoftObjective(sample, model, self.tol)
            grow = partial(coarsen, objective, random_state)
            return [grow] * self._n_repeats()
        rows = rows._replace(values=rows.values.astype(np.float64))
        squares = rows.weights @ np.square(rows.values).sum(axis=1)
        grow = partial(
            *(lower, Collapsed(model, rows.total_weight, squares), rows, random_state),
            by_flow=self.creation == "flow",
            max_iter=self.max_iter,
            tol=self.tol,
        )
        numbers = first_numbers(rows.total_weight, len(rows.values))
        return [partial(grow, number) for number in numbers * self._n_repeats()]

    def _first_model(self, prepared):
        """The model in the coordinates of a preparation."""
        given = {
            name: float(getattr(self, name)) / prepared.scale
            for name in ("base_precision", "beta")
            if not is_word(getattr(self, name), "auto")
        }
        return Nonparametric(
            *(self._restaurant(), prepared.rank),
            *(prepared.effective_dimension, prepared.misfit),
            **given,
        )

    def _restaurant(self):
        return ChineseRestaurant(float(self.concentration), float(self.discount))

    def _attributes(self, prepared, offset, model, grown):
        """What the estimator keeps of memories in the coordinates of a preparation."""
        centers = grown.centers @ np.linalg.pinv(prepared.matrix) + offset
        attributes = {
            "base_mean_": offset,
            "base_precision_": float(model.base_precision * prepared.scale),
            "effective_dimension_": float(prepared.effective_dimension),
            "misfit_": float(prepared.misfit),
            "rank_": prepared.rank,
        }
        if self.metric == "learned":
            attributes["metric_"] = prepared.metric.astype(offset.dtype)
        beta = grown.beta * prepared.scale
        return attributes | self._of_memories(centers, grown.counts, beta, offset.dtype)

    def _of_memories(self, centers, counts, beta, dtype):
        """What it keeps of memories in the units of X."""
        sizes = counts - self.discount
        return {
            "cluster_centers_": centers.astype(dtype, copy=False),
            "counts_": counts,
            "weights_": (sizes / sizes.sum()).astype(dtype),
            "beta_": float(beta),
            "n_clusters_": len(counts),
        }

    def _refit(self, X, weights):
        """Fit the rows of a stream that is still short."""
        if getattr(self, "_buffer", None) is not None:
            earlier, earlier_weights = self._buffer
            earlier_weights = earlier_weights * self.decay ** weights.sum()
            X = np.concatenate([earlier, X])
            weights = np.concatenate([earlier_weights, weights])
        self._fit_rows(X, weights, Task.silent(self))
        self._buffer = (X, weights) if len(X) < WARM_UP_ROWS else None

    def _follow(self, X, weights):
        """Seat the rows of a batch."""
        root = self._root() if hasattr(self, "metric_") else np.eye(X.shape[1])
        base_mean = self.base_mean_.astype(np.float64)
        batch = distinct_rows(X, weights)
        values = (batch.values + (batch.offset - base_mean)) @ root
        batch = DistinctRows(np.ascontiguousarray(values), batch.weights, base_mean)
        centers = (self.cluster_centers_ - base_mean) @ root
        factor = self.decay**batch.total_weight
        grown = decayed(Grown(centers, self.counts_, self.beta_), factor, self.discount)
        by_flow = self.creation == "flow"
        grown = follow(batch, grown, self._model(), by_flow).grown
        centers = _unprojected(grown.centers, root) + base_mean
        dtype = self.cluster_centers_.dtype
        vars(self).update(self._of_memories(centers, grown.counts, grown.beta, dtype))
        self._set_labels(X, weights)

    def _model(self):
        """The fitted model, in the units of X and the learned metric."""
        return Nonparametric(
            *(self._restaurant(), self.rank_),
            *(self.effective_dimension_, self.misfit_, self.base_precision_),
            beta=None if is_word(self.beta, "auto") else float(self.beta),
        )

    def _memories(self, n_features):
        sharpness = self._model().tempering * self.beta_
        log_weights = np.log(self.weights_)
        return Memories(self.cluster_centers_, log_weights, sharpness)

    def _landscape(self, X, tempered=True):
        """Rows, and the landscape they are in, where the metric is Euclidean."""
        model, counts = self._model(), self.counts_
        centers = self.cluster_centers_.astype(X.dtype)
        base_mean = self.base_mean_[None].astype(X.dtype)
        rows, centers, base_mean = self._coordinates(X, centers, base_mean)
        power, dimension = 1.0, X.shape[1]
        if tempered:
            power, dimension = model.tempering, model.effective_dimension
        gamma = self.beta_ * model.base_precision / (self.beta_ + model.base_precision)
        landscape = Landscape.of(
            *(centers, np.log(counts - self.discount)),
            *(base_mean[0], np.log(model.restaurant.new_weight(len(counts)))),
            *(power * self.beta_, power * gamma, dimension / 2, X.dtype),
        )
        return rows, landscape

    def _points(self, states):
        """States of the network as points of X."""
        if not hasattr(self, "metric_"):
            return states
        points = _unprojected(states, self._root()) + self._middle()
        return points.astype(states.dtype)


def _unprojected(values, root):
    """The inverse of values @ root."""
    return solve_triangular(root, values.T, trans="T", lower=True).T
