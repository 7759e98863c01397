"""Student-t: heavy tails, so that outliers pull less."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from .._typing import Floats, Numbers
from ._registry import register
from .elementary import log1p

# From here on Stirling's series gives the logarithm of gamma.
STIRLING = 30.0


@register("student_t", heavy_tailed=True)
class StudentT(NamedTuple):
    """``(1 + 2 t / nu)^(-(nu + n_features) / 2)`` at ``t = beta * |x - memory|^2``.

    Its scale matrix is I / (2 * beta), as the covariance of the Gaussian, which it
    becomes for large nu.

    Parameters
    ----------
    nu : float, default=4.0
        Degrees of freedom.
    """

    nu: float = 4.0

    def check(self) -> None:
        """Raise for parameters that cannot be."""
        if not (self.nu > 0 and np.isfinite(self.nu)):
            raise ValueError(f"nu == {self.nu!r}, must be a finite number > 0.")

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Log density at a scaled squared distance, but for the normaliser."""
        exponent = type(scaled)(0.5) * (self.nu + n_seen)
        return -exponent * log1p((scaled + scaled) / self.nu)

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float:
        """Minus the slope of `log_kernel`: less than 1 for far rows."""
        return (self.nu + n_seen) / (self.nu + (scaled + scaled))

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers:
        """Log of what makes the density of the seen features integrate to 1."""
        half = n_seen / 2
        return half * np.log(beta / np.pi) + log_gamma_ratio(self.nu / 2, half)

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats:
        """Rows minus their memory, where beta is 1."""
        normal = random_state.normal(size=shape) * 0.5**0.5
        squares = random_state.chisquare(self.nu, size=shape[0])
        # With few degrees of freedom they underflow.
        squares = np.maximum(squares, np.finfo(np.float64).tiny)
        return normal * np.sqrt(self.nu / squares)[:, None]


def log_gamma_ratio(a: float, b: Numbers) -> Numbers:
    """log(gamma(a + b) / gamma(a)) - b log(a), which goes to 0 for large a.

    There the difference of two logarithms of gamma would cancel.
    """
    if a < STIRLING:
        return gammaln(a + b) - gammaln(a) - b * np.log(a)
    whole = (a + b - 0.5) * np.log1p(b / a) - b
    return whole + _stirling_rest(a + b) - _stirling_rest(a)


def _stirling_rest(x: Numbers) -> Numbers:
    """What Stirling's series adds to (x - 1/2) log(x) - x + log(2 pi) / 2."""
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / x / x) / x / x) / x / x) / x
