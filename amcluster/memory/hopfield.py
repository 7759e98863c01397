"""The Hopfield network of 1982: binary units, and weights by Hebb's rule."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats, Ints, RandomState
from ._stored import StoredPatterns
from ._updates import check_binary, check_updates, drawn_order, settled


class HopfieldNetwork(StoredPatterns):
    """Binary associative memory with weights by Hebb's rule.

    Patterns p_k and states s are rows of +1 and -1. The weights of the network, its
    energy, and how unit i of a state is updated are::

        W = sum_k p_k p_k^T, without its diagonal
        E(s) = -s^T W s / 2
        s_i <- sign(sum_j W_ij s_j)

    and a unit without a field stays. Asynchronous updates never raise the energy and
    end at a fixed point; synchronous ones may end in a cycle of two states. About 0.14
    random patterns a feature can be stored: for more there is
    `DenseAssociativeMemory`.

    Parameters
    ----------
    update : {"asynchronous", "synchronous"}, default="asynchronous"
        Units one after the other, in an order that is drawn once, or all at once.
    max_iter : int, default=100
        The most updates of every unit. A state in which nothing changes is at rest
        before.
    random_state : int, RandomState instance, default=None
        Draws the order of the units.

    Attributes
    ----------
    patterns_ : ndarray of shape (n_patterns, n_features)
        What is stored.
    weights_ : ndarray of shape (n_features, n_features)
        W: whole numbers, symmetric.
    order_ : ndarray of shape (n_features,), int
        The order of the units.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str objects
        Their names, if X had any.

    See Also
    --------
    DenseAssociativeMemory : The same with steeper energies, for more patterns.

    References
    ----------
    .. [1] J. J. Hopfield, "Neural networks and physical systems with emergent
       collective computational abilities", PNAS 79, 1982.

    Examples
    --------
    >>> from amcluster.memory import HopfieldNetwork
    >>> patterns = [[1, 1, 1, 1, -1, -1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]]
    >>> network = HopfieldNetwork(random_state=0).fit(patterns)
    >>> network.transform([[1, 1, 1, -1, -1, -1, -1, -1]])
    array([[ 1.,  1.,  1.,  1., -1., -1., -1., -1.]])
    """

    weights_: Floats
    order_: Ints

    def __init__(
        self,
        update: Literal["asynchronous", "synchronous"] = "asynchronous",
        *,
        max_iter: int = 100,
        random_state: RandomState = None,
    ) -> None:
        self.update = update
        self.max_iter = max_iter
        self.random_state = random_state

    def energy(self, X: ArrayLike) -> Floats:
        """Energy of each row as a state of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            The ``-s^T W s / 2``: whole numbers, in float64.
        """
        states = self._checked(X).astype(np.float64, copy=False)
        return -((states @ self.weights_) * states).sum(axis=1) / 2

    def _check_parameters(self) -> None:
        check_updates(self.update, self.max_iter)

    def _learned(self, patterns: Floats) -> dict[str, Any]:
        patterns = patterns.astype(np.float64, copy=False)
        weights = patterns.T @ patterns
        np.fill_diagonal(weights, 0)
        order = drawn_order(patterns.shape[1], self.random_state)
        return {"weights_": weights, "order_": order}

    def _retrieved(self, X: Floats) -> Floats:
        def fields_of(states: Floats) -> WeightedSums:
            return WeightedSums(self.weights_, states)

        return settled(X, fields_of, self.order_, self.update, self.max_iter)

    def _checked_values(self, X: Any, copy: bool = False) -> Floats:
        values = super()._checked_values(X, copy)
        check_binary(values)
        return values


class WeightedSums(NamedTuple):
    """The fields of a Hopfield network."""

    weights: Floats  # (n_features, n_features)
    states: Floats  # (n_features, n_states), which change in place

    def on(self, unit: int) -> Floats:
        """The weighted sums of all units, for one (n_states,)."""
        return self.weights[unit] @ self.states

    def flip(self, unit: int, change: Floats) -> None:
        """Nothing: sums are of the states as they are."""
