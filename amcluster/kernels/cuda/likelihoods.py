"""The likelihoods, as in `cpu/likelihoods.py`."""

import math

from .. import STUDENT_T
from ._jit import part


@part
def log_kernel(squared, memories):
    """Log-likelihood at a squared distance, but for the normaliser."""
    scaled = memories.beta * squared
    if memories.likelihood == STUDENT_T:
        return -memories.exponent * math.log1p((scaled + scaled) / memories.nu)
    return -scaled


@part
def pull(squared, memories):
    """Weight in learning of a row at a squared distance."""
    if memories.likelihood == STUDENT_T:
        scaled = memories.beta * squared
        both = memories.exponent + memories.exponent
        return both / (memories.nu + (scaled + scaled))
    return memories.log_weights.dtype.type(1)
