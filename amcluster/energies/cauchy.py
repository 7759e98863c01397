"""Cauchy: tails so heavy that rows have no mean."""

from typing import NamedTuple

from ._registry import register
from .elementary import log1p
from .student_t import StudentT


@register("cauchy")
class Cauchy(NamedTuple):
    """``(1 + 2 t)^(-(1 + n_features) / 2)`` at ``t = beta * |x - memory|^2``.

    It is Student-t with one degree of freedom, of scale 1 / sqrt(2 * beta).
    """

    heavy_tailed = True

    def log_kernel(self, scaled, n_seen, n_hidden):
        """Log density at a scaled squared distance, but for the normaliser."""
        number = type(scaled)
        return -number(0.5) * (number(1) + n_seen) * log1p(scaled + scaled)

    def weight(self, scaled, n_seen, n_hidden):
        """Minus the slope of `log_kernel`: less than 1 for far rows."""
        number = type(scaled)
        return (number(1) + n_seen) / (number(1) + (scaled + scaled))

    def log_normaliser(self, beta, n_seen, n_hidden):
        """Log of what makes the density of the seen features integrate to 1."""
        return StudentT(1.0).log_normaliser(beta, n_seen, n_hidden)

    def draw(self, shape, random_state):
        """Rows minus their memory, where beta is 1."""
        return StudentT(1.0).draw(shape, random_state)
