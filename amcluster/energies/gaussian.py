"""Gaussian: the energy of the papers, a squared distance."""

from typing import NamedTuple

import numpy as np

from .._typing import Floats, Numbers
from ._registry import register


@register("gaussian")
class Gaussian(NamedTuple):
    """``exp(-t)`` at ``t = beta * |x - memory|^2``: covariance I / (2 * beta)."""

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Log density at a scaled squared distance, but for the normaliser."""
        return -scaled

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Minus the slope of `log_kernel`."""
        return type(scaled)(1)

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers:
        """Log of what makes the density of the seen features integrate to 1."""
        return n_seen / 2 * np.log(beta / np.pi)

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats:
        """Rows minus their memory, where beta is 1."""
        return random_state.normal(size=shape) * 0.5**0.5
