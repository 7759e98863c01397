"""What a network says of rows that may belong to no memory yet."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from .._typing import Floats
from ..network import Network
from ..rows.complete import Complete
from ..rows.missing import Missing
from .answers import AnswersMixin

Rows: TypeAlias = Complete | Missing


class BaseMeasureMixin(AnswersMixin):
    """Methods of the CRP whose network has the base measure as one more memory."""

    def novelty(self, X: ArrayLike) -> Floats:
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
        X, missing = self._checked(X)
        return self._landscape().asked(X, missing, new_part)

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
        power, metric = 1.0, network.metric
        dimension = len(self.base_mean_) if metric is None else metric.rank
        if tempered:
            power, dimension = model.tempering, model.effective_dimension
        memories = network.memories._replace(
            log_weights=np.log(counts - self.discount), beta=power * self.beta_
        )
        return network._replace(memories=memories).with_base(
            self.base_mean_,
            np.log(model.restaurant.new_weight(len(counts))),
            power * model.base_beta(self._prior_beta_),
            dimension,
        )


def new_part(rows: Rows, network: Network) -> Floats:
    """Posterior mass of a new memory: softmax(a)_0.

    It is 1 where memories are too far away for the dtype, even if the base measure is
    too, which is wider.
    """
    of_memories = rows.log_evidence(network.known)
    of_base = rows.log_evidence(network.base)
    beyond = of_memories == -np.inf
    return expit(np.where(beyond, np.inf, of_base - np.where(beyond, 0, of_memories)))
