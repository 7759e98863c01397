"""Energies: how likely a row is at a distance from a memory. Each is one file.

An energy is a named tuple of its parameters. `Gaussian` and the other classes here can
be given as the `likelihood` of a `CLAMELBOClusterer`, and so can one of your own, once
it is registered: see `register`.
"""

from ._registry import ENERGIES, register, resolve
from .biweight import Biweight
from .cauchy import Cauchy
from .epanechnikov import Epanechnikov
from .gaussian import Gaussian
from .laplace import Laplace
from .student_t import StudentT
from .uniform import Uniform

__all__ = [
    "ENERGIES",
    "Biweight",
    "Cauchy",
    "Epanechnikov",
    "Gaussian",
    "Laplace",
    "StudentT",
    "Uniform",
    "register",
    "resolve",
]
