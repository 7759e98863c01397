"""Energies, as in `cpu/energies.py`: the compiler chooses by the type of the energy.

In the simulator they are ordinary Python functions.
"""

import math

from ...energies import Gaussian, elementary
from ._jit import overload


def log_kernel(self, scaled, n_seen, n_hidden):
    """Log density at a scaled squared distance, without the normaliser."""
    return self.log_kernel(scaled, n_seen, n_hidden)


def weight(self, scaled, n_seen, n_hidden):
    """The IRLS weight of a row in learning: minus the slope of `log_kernel`."""
    return self.weight(scaled, n_seen, n_hidden)


def weighs(self):
    """Whether IRLS weights depend on the distance; those of the Gaussian are all 1."""
    return not isinstance(self, Gaussian)


@overload(log_kernel, strict=False)
def _log_kernel(self, scaled, n_seen, n_hidden):
    return self.instance_class.log_kernel


@overload(weight, strict=False)
def _weight(self, scaled, n_seen, n_hidden):
    return self.instance_class.weight


@overload(weighs)
def _weighs(self):
    answer = not issubclass(self.instance_class, Gaussian)
    return lambda self: answer


@overload(elementary.exp)
def _exp(x):
    return lambda x: math.exp(x)


@overload(elementary.log)
def _log(x):
    return lambda x: math.log(x)


@overload(elementary.log1p)
def _log1p(x):
    return lambda x: math.log1p(x)


@overload(elementary.sqrt)
def _sqrt(x):
    return lambda x: math.sqrt(x)
