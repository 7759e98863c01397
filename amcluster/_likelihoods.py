"""The likelihoods a memory can have, and what kernels need not know of them."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from .kernels import GAUSSIAN, STUDENT_T, Memories

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
        exponent = (self.nu + n_features) / 2
        code = CODES[self.name]
        return Memories(centers, log_weights, beta, code, self.nu, exponent)

    def log_normaliser(self, beta, n_features):
        """Log of what makes the density integrate to 1, in nats."""
        half = n_features / 2
        if self.name == "student_t":
            gammas = gammaln(self.nu / 2 + half) - gammaln(self.nu / 2)
            return gammas + half * np.log(2 * beta / (self.nu * np.pi))
        return half * np.log(beta / np.pi)

    def radii(self, size, random_state):
        """Factors that make standard normal draws draws of this likelihood."""
        if self.name == "student_t":
            return np.sqrt(self.nu / random_state.chisquare(self.nu, size=size))
        return np.ones(size)
