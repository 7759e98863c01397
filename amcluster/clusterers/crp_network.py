"""What a network says of rows that may belong to no memory yet."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from .._typing import Floats
from ..network import Network
from ..nonparametric.tail import Tail
from ..rows.complete import Complete
from ..rows.missing import Missing, has_missing
from .answers import AnswersMixin

Rows: TypeAlias = Complete | Missing


class BaseMeasureMixin(AnswersMixin):
    """Methods of the CRP whose network has the base measure as one more memory."""

    def novelty(self, X: ArrayLike) -> Floats:
        """How likely each row is of a kind that was not learned.

        Two things speak for it, and it is ``1 - (1 - a) * (1 - b)``: the posterior mass
        a of a new memory, which is softmax(a)_0 over the base measure and the memories
        with the logits of the class, and how rare its log density is, ``b = r^2 / (r^2
        + p^2)`` with r = 0.02 and the part p of the rows of the fit whose log density
        is lower. So about one row in fifty like those of the fit is above 0.5. Beyond
        the lowest p declines exponentially. What is missing of a row counts as
        expected.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        novelty : ndarray of shape (n_samples,)
            In [0, 1].
        """
        X, missing = self._checked(X)
        is_new = self._landscape().asked(X, missing, new_part)
        is_rare = Tail(*self._tail_).strangeness(self._completed_density(X))
        return (1 - (1 - is_new) * (1 - is_rare)).astype(X.dtype, copy=False)

    def _learn_tail(self, X: Floats, weights: Floats) -> None:
        """Keep how log densities are distributed among the rows of a fit."""
        log_densities = self._completed_density(self._nearer(X))
        self._tail_ = tuple(Tail.of(log_densities, weights))

    def _completed_density(self, X: Floats) -> Floats:
        """Log density of rows with what is missing as it is expected."""
        whole = self._network()

        def ask(rows: Rows, network: Network) -> Floats:
            return self._log_density(Complete(rows.completed(network)), whole)

        return whole.asked(X, has_missing(X), ask)

    def score_samples(self, X: ArrayLike) -> Floats:
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

    def _log_density(self, rows: Rows, network: Network) -> Floats:
        network = self._with_base(network, tempered=False)
        evidence, normaliser = rows.evidence_and_normaliser(network)
        # Outside the axes of the metric the base measure is as narrow as a memory.
        outside = network.memories.reference_beta * np.square(
            rows.length_outside(network)
        )
        normaliser = normaliser - outside
        normaliser = normaliser - np.log(self.concentration + self.counts_.sum())
        return (evidence + normaliser).astype(evidence.dtype, copy=False)

    def _landscape(self) -> Network:
        """The network with the base measure as one more memory."""
        return self._with_base(self._network())

    def _with_base(self, network: Network, tempered: bool = True) -> Network:
        model, counts = self._model(), self.counts_
        log_weights = np.log(counts - self.discount)
        log_new = np.log(model.restaurant.new_weight(len(counts)))
        n_features, metric = len(self.base_mean_), network.metric
        memories = network.memories._replace(log_weights=log_weights)
        if self._base_ is not None:
            network = network._replace(memories=memories)
            gamma, root = self._base_
            return network.with_base(self.base_mean_, log_new, gamma, n_features, root)
        power, dimension = 1.0, n_features if metric is None else metric.rank
        if tempered:
            power, dimension = model.tempering, model.effective_dimension
        memories = memories._replace(beta=power * self.beta_)
        gamma = power * model.base_beta(self.beta_)
        network = network._replace(memories=memories)
        return network.with_base(self.base_mean_, log_new, gamma, dimension)


def new_part(rows: Rows, network: Network) -> Floats:
    """Posterior mass of a new memory: softmax(a)_0.

    It is 1 where memories are too far away for the dtype, even if the base measure is
    too, which is wider.
    """
    of_memories = rows.log_evidence(network.known)
    of_base = rows.log_evidence(network.base)
    beyond = of_memories == -np.inf
    return expit(np.where(beyond, np.inf, of_base - np.where(beyond, 0, of_memories)))
