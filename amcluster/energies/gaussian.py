"""Gaussian: the energy of the papers, a squared distance."""

from typing import NamedTuple

import numpy as np

from ._registry import register


@register("gaussian")
class Gaussian(NamedTuple):
    """``exp(-t)`` at ``t = beta * |x - memory|^2``: covariance I / (2 * beta)."""

    def log_kernel(self, scaled, n_seen, n_hidden):
        """Log density at a scaled squared distance, but for the normaliser."""
        return -scaled

    def weight(self, scaled, n_seen, n_hidden):
        """Minus the slope of `log_kernel`."""
        return type(scaled)(1)

    def log_normaliser(self, beta, n_seen, n_hidden):
        """Log of what makes the density of the seen features integrate to 1."""
        return n_seen / 2 * np.log(beta / np.pi)

    def draw(self, shape, random_state):
        """Rows minus their memory, where beta is 1."""
        return random_state.normal(size=shape) * 0.5**0.5
