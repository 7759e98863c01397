"""Laplace: the distance itself, not its square, as for medians."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ._isotropic import spread_over_directions
from ._registry import register
from .elementary import sqrt

# A row at a memory would weigh infinitely much, and hold it there for good.
LEAST = 1e-6


@register("laplace")
class Laplace(NamedTuple):
    """``exp(-sqrt(t))`` at ``t = beta * |x - memory|^2``: its scale is 1 / sqrt(beta).

    Where features are missing, what is left is not of this form.
    """

    heavy_tailed = True
    marginals = False

    def log_kernel(self, scaled, n_seen, n_hidden):
        """Log density at a scaled squared distance, but for the normaliser."""
        return -sqrt(scaled)

    def weight(self, scaled, n_seen, n_hidden):
        """Minus the slope of `log_kernel`; bounded nearer than 1e-3 of the scale."""
        number = type(scaled)
        least = number(LEAST)
        return number(0.5) / sqrt(scaled if scaled > least else least)

    def log_normaliser(self, beta, n_seen, n_hidden):
        """Log of what makes the density integrate to 1."""
        half = n_seen / 2
        ball = gammaln(half) - np.log(2) - gammaln(n_seen)
        return half * np.log(beta / np.pi) + ball

    def draw(self, shape, random_state):
        """Rows minus their memory, where beta is 1."""
        lengths = random_state.gamma(shape[1], size=shape[0])
        return spread_over_directions(lengths**2, shape, random_state)
