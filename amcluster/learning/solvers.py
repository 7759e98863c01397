"""Two ways down the reconstruction loss, and what is kept of the way."""

from contextlib import suppress
from functools import cached_property

import numpy as np
from scipy.optimize import minimize

from .seeding import draw

# Adam ends if so many epochs together gain no more than `tol`.
ADAM_PATIENCE = 10
# L-BFGS ends if so many points of one line search are not lower. Rows between two
# memories make the loss steep in a small region, where a line search can evaluate it at
# twenty points without finding a lower one.
SEARCH_PATIENCE = 4


class Best:
    """The path of a solver and the point that is kept: the one with the lowest loss.

    A loss may fall by giving a memory up. From seeds that is not better: where
    `keep_alive` is true, points with fewer memories alive than the start are not kept.
    """

    def __init__(self, loss, theta, value, keep_alive, watch):
        self.loss, self._watch = loss, watch
        self._fewest = loss.n_alive(theta) if keep_alive else 0
        self.history = [float(value)]
        self._keep(theta)
        watch(1, value, theta)

    def visit(self, theta, value):
        """Note one more point of the path; return whether to stop there."""
        lower = value < self.history[self.kept - 1]
        self.history.append(float(value))
        if lower and (not self._fewest or self.loss.n_alive(theta) >= self._fewest):
            self._keep(theta)
        return self._watch(len(self.history), value, theta)

    def _keep(self, theta):
        self.theta, self.kept = np.array(theta), len(self.history)

    @cached_property
    def rank(self):
        """Of two paths the better one is larger: memories alive, then a low loss."""
        return self.loss.n_alive(self.theta), -self.history[self.kept - 1]


class NothingFound(Exception):
    """A line search does not get on."""


class LineSearches:
    """The loss at the points that line searches try, in units that fit the solver."""

    def __init__(self, loss, theta, value, gradient, unit, tol):
        self._loss, self._unit, self._tol = loss, unit, tol
        self._known = value, gradient
        self.start_anew(theta, value)

    def start_anew(self, theta, value):
        """A search from this point begins."""
        self.theta, self.value, self._failures = theta, value, 0

    def __call__(self, x):
        """The loss and its gradient; raise NothingFound if the search is to end."""
        theta = x * self._unit
        if self._known:  # the solver asks first for where it starts
            value, gradient = self._known
            self._known = None
            return value, gradient * self._unit
        if self._failures >= SEARCH_PATIENCE:
            raise NothingFound
        value, gradient = self._loss.loss_and_gradient(theta)
        self._failures += 1
        if value < self.value - self._tol:
            self.start_anew(theta, value)
        return value, gradient * self._unit


def lbfgs(loss, theta, *, max_iter, tol, keep_alive, watch):
    """Full-batch L-BFGS (scipy); ends when an iteration gains no more than tol.

    From seeds, closed-form steps come first: memories move to the means of the rows
    they explain, as in EM at this beta, while that gains more than tol. Such a step
    lowers the free energy, which need not lower the reconstruction loss, but it is not
    stopped by a region where that is steep.
    """
    value, gradient = loss.loss_and_gradient(theta)
    best = Best(loss, theta, value, keep_alive, watch)
    goes_on = keep_alive
    while goes_on and promised(gradient) > tol and len(best.history) <= max_iter:
        means = loss.at_posterior_means(theta)
        there = loss.loss_and_gradient(means)
        if there[0] < value:
            theta, (value, gradient) = means, there
        goes_on = value < best.history[-1] - tol
        if goes_on and best.visit(theta, value):
            return best
    left = max_iter + 1 - len(best.history)
    # If not even the first step promises `tol`, the gains that a line search compares
    # are below the rounding of the loss.
    if left > 0 and promised(gradient) > tol:
        search(loss, theta, value, gradient, best, left, tol)
    return best


def fitting_step(gradient):
    """Length of the step along the gradient that fits the curvature of the loss.

    That is about 2 / n_parameters, since each memory has its share of the rows and each
    feature its share of the variance.
    """
    return np.linalg.norm(gradient) * len(gradient) / 2


def promised(gradient):
    """What such a step gains: half its length times the gradient."""
    return fitting_step(gradient) * np.linalg.norm(gradient) / 2


def search(loss, theta, value, gradient, best, max_iter, tol):
    """L-BFGS from a point whose loss and gradient are known."""
    # SciPy's first trial step has length 1.
    unit = fitting_step(gradient)
    searches = LineSearches(loss, theta, value, gradient, unit, tol)

    def callback(intermediate_result):
        theta, value = intermediate_result.x * unit, intermediate_result.fun
        searches.start_anew(theta, value)
        if best.visit(theta, value):
            raise StopIteration

    with suppress(NothingFound):
        minimize(
            searches,
            theta / unit,
            jac=True,
            method="L-BFGS-B",
            callback=callback,
            options={"maxiter": max_iter, "ftol": tol, "gtol": 0.0},
        )
    if searches.value < best.history[-1]:
        best.visit(searches.theta, searches.value)


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
