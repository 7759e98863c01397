"""Cauchy: tails so heavy that rows have no mean."""

from typing import NamedTuple

import numpy as np

from .._typing import Floats, Numbers
from ._registry import register
from .elementary import log1p
from .student_t import StudentT


@register("cauchy", heavy_tailed=True)
class Cauchy(NamedTuple):
    """``(1 + 2 t)^(-(1 + n_features) / 2)`` at ``t = beta * |x - memory|^2``.

    It is Student-t with one degree of freedom, of scale 1 / sqrt(2 * beta).
    """

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Log density at a scaled squared distance, but for the normaliser."""
        number = type(scaled)
        return -number(0.5) * (number(1) + n_seen) * log1p(scaled + scaled)

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Minus the slope of `log_kernel`: less than 1 for far rows."""
        number = type(scaled)
        return (number(1) + n_seen) / (number(1) + (scaled + scaled))

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers:
        """Log of what makes the density of the seen features integrate to 1."""
        return StudentT(1.0).log_normaliser(beta, n_seen, n_hidden)

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats:
        """Rows minus their memory, where beta is 1."""
        return StudentT(1.0).draw(shape, random_state)
