"""Biweight: Tukey's kernel, whose edge is smooth."""

import math
from typing import NamedTuple

import numpy as np

from .._typing import Floats, Numbers
from ._isotropic import draw_of_power, log_normaliser_of_power
from ._registry import register
from .elementary import log

POWER = 2


@register("biweight", bounded=True)
class Biweight(NamedTuple):
    """``(1 - t)^2`` at ``t = beta * |x - memory|^2 < 1``, and 0 beyond."""

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Log density at a scaled squared distance, but for the normaliser."""
        number = type(scaled)
        power = number(POWER) + number(0.5) * n_hidden
        inside = scaled < number(1)
        return power * log(number(1) - scaled) if inside else number(-math.inf)

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Minus the slope of `log_kernel`; 0 where there is no density."""
        number = type(scaled)
        power = number(POWER) + number(0.5) * n_hidden
        inside = scaled < number(1)
        return power / (number(1) - scaled) if inside else number(0)

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers:
        """Log of what makes the density of the seen features integrate to 1."""
        return log_normaliser_of_power(POWER, beta, n_seen, n_hidden)

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats:
        """Rows minus their memory, where beta is 1."""
        return draw_of_power(POWER, shape, random_state)
