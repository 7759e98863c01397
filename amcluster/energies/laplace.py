"""Laplace: the distance itself, not its square, as for medians."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from .._typing import Floats, Numbers
from ._isotropic import spread_over_directions
from ._registry import register
from .elementary import sqrt

# A row at a memory would weigh infinitely much, and hold it there for good.
LEAST = 1e-6


@register("laplace", heavy_tailed=True, marginals=False)
class Laplace(NamedTuple):
    """``exp(-sqrt(t))`` at ``t = beta * |x - memory|^2``: its scale is 1 / sqrt(beta).

    Where features are missing, what is left is not of this form.
    """

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Log density at a scaled squared distance, but for the normaliser."""
        return -sqrt(scaled)

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Minus the slope of `log_kernel`; bounded nearer than 1e-3 of the scale."""
        number = type(scaled)
        least = number(LEAST)
        return number(0.5) / sqrt(scaled if scaled > least else least)

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers:
        """Log of what makes the density integrate to 1."""
        half = n_seen / 2
        ball = gammaln(half) - np.log(2) - gammaln(n_seen)
        return half * np.log(beta / np.pi) + ball

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats:
        """Rows minus their memory, where beta is 1."""
        lengths = random_state.gamma(shape[1], size=shape[0])
        return spread_over_directions(lengths**2, shape, random_state)
