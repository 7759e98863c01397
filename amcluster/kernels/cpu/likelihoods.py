"""The likelihoods: each is a log-kernel of the squared distance, and its pull.

The pull is g = -(1 / beta) d log_kernel / d squared, the weight with which a memory
draws a row in learning: 1 for the Gaussian, less the farther the row for Student-t.
Normalisers are in `amcluster._likelihoods`.
"""

from .. import STUDENT_T
from ._jit import kernel
from .elementary import log1p


@kernel
def log_kernel(squared, memories):
    """Log-likelihood at a squared distance, but for the normaliser."""
    scaled = memories.beta * squared
    if memories.likelihood == STUDENT_T:
        return -memories.exponent * log1p((scaled + scaled) / memories.nu)
    return -scaled


@kernel
def pull(squared, memories):
    """Weight in learning of a row at a squared distance."""
    if memories.likelihood == STUDENT_T:
        scaled = memories.beta * squared
        both = memories.exponent + memories.exponent
        return both / (memories.nu + (scaled + scaled))
    return 1.0
