"""Two ways down the reconstruction loss, and what is kept of the way."""

import numpy as np
from scipy.optimize import minimize

from ._seeding import draw

# Adam gives up after so many epochs without a gain of `tol`.
ADAM_PATIENCE = 10


class Best:
    """The path of a solver and the point that is kept: the one with the lowest loss.

    A loss may fall by giving a memory up. From seeds that is not better: where
    `keep_alive` is true, points with fewer memories alive than the start lose to the
    others.
    """

    def __init__(self, loss, theta, value, keep_alive, watch):
        self._loss, self._watch = loss, watch
        self._alive = loss.n_alive(theta) if keep_alive else 0
        self.history = []
        self.rank = (False, 0.0)
        self.visit(theta, value)

    def visit(self, theta, value):
        """Note one more point of the path; return whether to stop there."""
        self.history.append(float(value))
        alive = not self._alive or self._loss.n_alive(theta) >= self._alive
        if (alive, -value) > self.rank or len(self.history) == 1:
            self.rank = (alive, -value)
            self.theta = np.array(theta)
            self.kept = len(self.history)
        return self._watch(len(self.history), value, theta)


def lbfgs(loss, theta, *, max_iter, tol, keep_alive, watch):
    """Full-batch L-BFGS (scipy); ends when an iteration gains no more than tol."""
    value, gradient = loss.loss_and_gradient(theta)
    best = Best(loss, theta, value, keep_alive, watch)
    # SciPy's first trial step has length 1. The curvature of the loss is about
    # 2 / len(theta), since each memory has its share of the rows and each feature its
    # share of the variance; in this unit the first step is the one that fits it.
    unit = np.linalg.norm(gradient) * len(theta) / 2 or 1.0
    # Such a step gains half its length times the gradient. Where that is not worth an
    # iteration, a line search would look for gains that rounding hides.
    if unit * np.linalg.norm(gradient) / 2 <= tol:
        return best

    def scaled(x):
        value, gradient = loss.loss_and_gradient(x * unit)
        return value, gradient * unit

    def callback(intermediate_result):
        if best.visit(intermediate_result.x * unit, intermediate_result.fun):
            raise StopIteration

    minimize(
        scaled,
        theta / unit,
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={"maxiter": max_iter, "ftol": tol, "gtol": 0.0},
    )
    return best


def adam(
    loss,
    theta,
    *,
    max_iter,
    tol,
    learning_rate,
    batch_size,
    random_state,
    keep_alive,
    watch,
):
    """Minibatch Adam (Kingma and Ba, 2015); an iteration is one epoch.

    Rows are drawn by their weight, with replacement; the masks take turns.
    """
    best = Best(loss, theta, loss.loss(theta), keep_alive, watch)
    weights = loss.rows.weights
    batch_size = min(batch_size, len(weights))
    steps_per_epoch = -(-len(weights) // batch_size)
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    step = 0
    for _ in range(max_iter):
        for _ in range(steps_per_epoch):
            batch = draw(weights, random_state.uniform(size=batch_size))
            gradient = loss.minibatch_gradient(theta, batch, step)
            step += 1
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            corrected = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            theta = theta - learning_rate * mean / (1 - 0.9**step) / corrected
        if best.visit(theta, loss.loss(theta)):
            break
        recent = best.history[-ADAM_PATIENCE - 1 :]
        if len(recent) > ADAM_PATIENCE and recent[0] - min(recent[1:]) <= tol:
            break
    return best
