"""The reconstruction loss of the memories, as a function of one vector."""

import numpy as np

from ..kernels import Dynamics


def feature_folds(n_features, mask_fraction, random_state):
    """Masks that hide about mask_fraction of the features and hide each equally often.

    The features are split into folds; each mask hides one fold, or all but one where
    more than half is to be hidden. One feature cannot be masked.

    Returns
    -------
    list of ndarray of shape (n_features,), bool
        True is hidden. Empty for a single feature or mask_fraction 0.
    """
    if mask_fraction == 0 or n_features == 1:
        return []
    smaller = min(mask_fraction, 1 - mask_fraction)
    n_folds = int(np.clip(round(1 / smaller), 2, n_features))
    fold_of = random_state.permutation(n_features) % n_folds
    hidden = [fold_of == fold for fold in range(n_folds)]
    return hidden if mask_fraction <= 0.5 else [~mask for mask in hidden]


class Reconstruction:
    """Mean reconstruction loss over rows, relative to their total variance.

    L(centers, weights) = sum_n w_n |m * (x_n - v_n(T))|^2 / (sum_n w_n * variance),
    averaged over masks so that each feature counts once. Parameters travel as one
    vector: the centers in units of `length`, then, where weights are learned, their
    logits.

    Parameters
    ----------
    rows : DistinctRows
    start : Memories
        Gives beta, the shape of the centers and, unless they are learned, the weights.
    hidden : list of ndarray
        The masks; none: nothing is hidden.
    n_steps, step_size : int, float
        The dynamics.
    learn_weights : bool
    """

    def __init__(self, rows, start, hidden, n_steps, step_size, learn_weights):
        n_features = rows.values.shape[1]
        dtype = rows.values.dtype
        self.rows = rows
        self.start = start
        self.learn_weights = learn_weights
        self.variance = rows.total_variance or 1.0
        self.length = np.sqrt(self.variance / n_features)
        settings = n_steps, step_size, dtype, rows.has_missing
        self.dynamics = [Dynamics.clamped(mask, *settings) for mask in hidden] or [
            Dynamics.free(n_features, *settings)
        ]
        times_hidden = sum(dynamics.moves for dynamics in self.dynamics)[0]
        self._scale = 1.0 / (self.variance * times_hidden)

    def pack(self, memories):
        """The vector of these memories."""
        parts = [memories.centers.ravel() / self.length]
        if self.learn_weights:
            parts.append(memories.log_weights)
        return np.concatenate(parts, dtype=np.float64)

    def unpack(self, theta):
        """The memories of a vector, in the dtype of the rows."""
        shape = self.start.centers.shape
        n_values = self.start.centers.size
        centers = theta[:n_values].reshape(shape) * self.length
        log_weights = self.start.log_weights
        if self.learn_weights:
            logits = theta[n_values:]
            log_weights = logits - np.logaddexp.reduce(logits)
        memories = self.start._replace(centers=centers, log_weights=log_weights)
        return memories.astype(self.rows.values.dtype)

    def loss(self, theta):
        """The loss over all rows and masks."""
        device = self.rows.device
        values, weights = self.rows.values, self.rows.weights
        memories = self.unpack(theta)
        total = 0.0
        for dynamics in self.dynamics:
            passes = 2 * dynamics.n_steps
            (loss,) = device.sum_over(
                device.kernels.reconstruction_loss,
                values,
                weights,
                memories,
                dynamics,
                passes=passes,
            )
            total += loss
        return total * self._scale / self.rows.total_weight

    def loss_and_gradient(self, theta):
        """The loss and its gradient over all rows and masks."""
        values, weights = self.rows.values, self.rows.weights
        loss, gradient = 0.0, 0.0
        for dynamics in self.dynamics:
            part, d_theta = self._sums(theta, values, weights, dynamics)
            loss, gradient = loss + part, gradient + d_theta
        scale = self._scale / self.rows.total_weight
        return loss * scale, gradient * scale

    def at_posterior_means(self, theta):
        """The vector with each center at the mean of the rows under its posteriors."""
        memories = self.unpack(theta)
        statistics = self.rows.expectation(memories)
        irls = statistics.irls.reshape(len(statistics.irls), -1)
        means = statistics.sums / np.where(irls > 0, irls, 1.0)
        moved = np.where(irls > 0, means, memories.centers) / self.length
        return np.concatenate([moved.ravel(), theta[moved.size :]])

    def minibatch_gradient(self, theta, batch, mask):
        """An unbiased estimate: rows drawn by weight, one mask for all of them."""
        values = self.rows.values[batch]
        dynamics = self.dynamics[mask % len(self.dynamics)]
        _, gradient = self._sums(theta, values, np.ones(len(batch)), dynamics)
        return gradient * self._scale * len(self.dynamics) / len(batch)

    def n_alive(self, theta):
        """Number of memories that are the label of some row."""
        labels = self.rows.labels(self.unpack(theta))
        return np.count_nonzero(np.bincount(labels))

    def _sums(self, theta, values, weights, dynamics):
        device = self.rows.device
        loss, d_centers, d_log_weights = device.sum_over(
            device.kernels.reconstruction_gradient,
            values,
            weights,
            self.unpack(theta),
            dynamics,
            passes=5 * dynamics.n_steps,
        )
        parts = [d_centers.ravel() * self.length]
        if self.learn_weights:
            parts.append(d_log_weights)
        return loss, np.concatenate(parts)
