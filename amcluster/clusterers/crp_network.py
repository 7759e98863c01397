"""What a network says of rows that may belong to no memory yet."""

from functools import partial
from numbers import Integral

import numpy as np

from ..checks import check_number
from ..nonparametric.landscape import Clamp, Landscape, WithBase, new_part
from .answers import check_step_size, warn_of_moving


class BaseMeasureMixin:
    """Methods of the CRP whose network has the base measure as one more memory."""

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
        return self._answer(
            X, lambda rows, network: new_part(*self._with_base(network).evidences(rows))
        )

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
        evidence = self._answer(
            X,
            lambda rows, network: np.logaddexp(
                *self._with_base(network).evidences(rows)
            ),
        )
        sharpness = self._model().tempering * self.beta_
        return evidence / evidence.dtype.type(-sharpness)

    def score_samples(self, X):
        """Log density of each row: that of the next row, given all learned from.

        It is a mixture of the memories, ``N(cluster_centers_[k], inv(metric_) / (2 *
        beta_))`` with weights ``counts_[k] - discount``, and of the base measure's
        predictive with weight ``concentration + discount * n_clusters_``. It is not
        tempered by `effective_dimension_`, so that it integrates to 1: with missing
        values over the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        return self._answer(X, self._log_density)

    def retrieve(self, X, n_steps=None, step_size=1.0):
        """State of the network after its dynamics, started at each row.

        A step is ``v <- v + step_size * f(v)``, with f the pull of the memories and of
        the base measure, minus half the gradient of the energy in the metric. In a row
        with missing values only those move, from where `complete` puts them.

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
        X, missing, _ = self._as_given(X)
        network = self._network()
        states, moving = network.asked(
            X, missing, partial(self._retrieved, n_steps=n_steps, step_size=step_size)
        )
        warn_of_moving(np.count_nonzero(moving), len(X))
        return states

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
        X, missing, _ = self._as_given(X)
        network = self._network()
        return network.asked(
            X, missing, partial(self._paths, n_steps=int(n_steps), step_size=step_size)
        )

    def _log_density(self, rows, network):
        both = self._with_base(network, tempered=False)
        known, normaliser = rows.evidence_and_normaliser(both.known)
        # Outside the axes of the metric the base measure is as narrow as a memory.
        outside = self.beta_ * np.square(rows.length_outside(network))
        normaliser = normaliser - outside
        normaliser = normaliser - np.log(self.concentration + self.counts_.sum())
        density = np.logaddexp(known, both.base_evidence(rows)) + normaliser
        return density.astype(known.dtype, copy=False)

    def _retrieved(self, rows, network, n_steps, step_size):
        (start, landscape, clamp), n_moving = self._flow(rows, network), 0
        if n_steps is None:
            states, n_moving = landscape.rest(start, step_size, clamp)
        else:
            *_, states = landscape.flow(start, n_steps, step_size, clamp)
        left = 0.0 if n_steps is None else (1 - step_size) ** n_steps
        states = self._points(states, rows, network, left)
        # Only their number is of interest.
        return states, np.arange(len(states)) < n_moving

    def _paths(self, rows, network, n_steps, step_size):
        start, landscape, clamp = self._flow(rows, network)
        path = landscape.flow(start, n_steps, step_size, clamp)
        states = [
            self._points(v, rows, network, (1 - step_size) ** t)
            for t, v in enumerate(path)
        ]
        X = rows.values
        states[0] = np.where(np.isnan(X), states[0], X)
        return np.stack(states, axis=1)

    def _with_base(self, network, tempered=True):
        """The network with the base measure as one more memory."""
        model, counts = self._model(), self.counts_
        power, metric = 1.0, network.metric
        dimension = len(self.base_mean_) if metric is None else metric.rank
        if tempered:
            power, dimension = model.tempering, model.effective_dimension
        memories = network.memories._replace(
            log_weights=np.log(counts - self.discount), beta=power * self.beta_
        )
        return WithBase.of(
            network._replace(memories=memories),
            self.base_mean_,
            np.log(model.restaurant.new_weight(len(counts))),
            power * model.base_beta(self.beta_),
            dimension / 2,
        )

    def _flow(self, rows, network):
        """States to start from, their landscape, and what holds them."""
        rows = rows._replace(values=self._nearer(rows.values))
        start, metric = rows.completed(network), rows.usable(network.metric)
        network = network._replace(metric=metric)
        both, dtype = self._with_base(network), start.dtype
        known, new = both.known.memories, both.new.memories
        landscape = Landscape.of(
            network.coordinates(known.centers.astype(dtype)),
            known.log_weights,
            network.coordinates(new.centers.astype(dtype))[0],
            new.log_weights[0],
            known.beta,
            new.beta,
            both.half,
            dtype,
        )._replace(device=network.device)
        clamp = None
        if rows.has_missing:
            clamp = Clamp(rows.values, None if metric is None else metric.matrix)
        return network.coordinates(start), landscape, clamp

    def _points(self, states, rows, network, left):
        """States of the network as points of X, where they began.

        What was outside the axes of a metric is pulled to them, and a part is `left`.
        """
        metric, X = rows.usable(network.metric), rows.values
        if metric is None:
            return seen_kept(states, X)
        points = metric.features(states) + network.middle
        if metric.axes is not None and left:
            start = X - network.middle
            inside = metric.features(metric.coordinates(start))
            points += left * (start - inside)
        return seen_kept(points.astype(states.dtype), X)


def seen_kept(states, X):
    """States of rows; where values are missing, the others are as they were."""
    seen = ~np.isnan(X)
    return np.where(seen & ~seen.all(axis=1, keepdims=True), X, states)
