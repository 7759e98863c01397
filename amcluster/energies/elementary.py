"""The functions of a number that energies are made of.

Here they are Python's. In compiled kernels for the CPU they are ones that run on many
rows at once, for the arguments that their docstrings name; in kernels for a GPU they
are those of the GPU.
"""

import math


def exp(x: float) -> float:
    """e to the power x, for x <= 0."""
    return math.exp(x)


def log(x: float) -> float:
    """Natural logarithm, for x > 0."""
    return math.log(x)


def log1p(x: float) -> float:
    """log(1 + x) for x >= 0, exact where x is small."""
    return math.log1p(x)


def sqrt(x: float) -> float:
    """Square root, for x >= 0."""
    return math.sqrt(x)
