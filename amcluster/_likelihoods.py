"""The likelihoods a memory can have, and what kernels need not know of them."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from .kernels import GAUSSIAN, STUDENT_T, Memories

# With so many degrees of freedom Student-t is the Gaussian; float32 holds products of
# more than these.
MOST_FREEDOM = 1e30
# From here on Stirling's series gives the logarithm of gamma.
STIRLING = 30.0

CODES = {"gaussian": GAUSSIAN, "student_t": STUDENT_T}


class Likelihood(NamedTuple):
    """p(x | memory) as a function of beta * |x - memory|^2.

    Its log-kernel and its pull, which kernels compute, are in
    `kernels/cpu/likelihoods.py` under the code of its name.
    """

    name: str = "gaussian"
    nu: float = 4.0  # degrees of freedom of "student_t"

    def memories(self, centers, log_weights, beta, n_features):
        """Memories with this likelihood, for data of n_features dimensions."""
        nu = min(self.nu, MOST_FREEDOM)
        exponent = (nu + n_features) / 2
        return Memories(centers, log_weights, beta, CODES[self.name], nu, exponent)

    def log_normaliser(self, beta, n_features):
        """Log of what makes the density integrate to 1, in nats."""
        half = n_features / 2
        gaussian = half * np.log(beta / np.pi)
        if self.name == "student_t":
            return gaussian + log_gamma_ratio(self.nu / 2, half)
        return gaussian

    def radii(self, size, random_state):
        """Factors that make standard normal draws draws of this likelihood."""
        if self.name == "student_t":
            squares = random_state.chisquare(self.nu, size=size)
            # With few degrees of freedom they underflow.
            return np.sqrt(self.nu / np.maximum(squares, np.finfo(np.float64).tiny))
        return np.ones(size)


def log_gamma_ratio(a, b):
    """log(gamma(a + b) / gamma(a)) - b log(a), which goes to 0 for large a.

    There the difference of two logarithms of gamma would cancel.
    """
    if a < STIRLING:
        return gammaln(a + b) - gammaln(a) - b * np.log(a)
    whole = (a + b - 0.5) * np.log1p(b / a) - b
    return whole + stirling_rest(a + b) - stirling_rest(a)


def stirling_rest(x):
    """What Stirling's series adds to (x - 1/2) log(x) - x + log(2 pi) / 2."""
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / x / x) / x / x) / x / x) / x
