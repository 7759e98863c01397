"""Energies in kernels: numba chooses the code to compile by the type of the energy.

The functions of an energy may have type hints, which a strict check of signatures would
refuse.

A kernel calls `log_kernel` and `weight` of the energy in its `Memories`, and is
compiled with that energy only.
"""

from numba.extending import overload

from ...energies import Gaussian
from ._jit import LANEWISE


def log_kernel(self, scaled, n_seen, n_hidden):
    """Log density at a scaled squared distance, without the normaliser."""
    return self.log_kernel(scaled, n_seen, n_hidden)


def weight(self, scaled, n_seen, n_hidden):
    """The IRLS weight of a row in learning: minus the slope of `log_kernel`."""
    return self.weight(scaled, n_seen, n_hidden)


@overload(log_kernel, jit_options=LANEWISE, strict=False)
def _log_kernel(self, scaled, n_seen, n_hidden):
    return self.instance_class.log_kernel


@overload(weight, jit_options=LANEWISE, strict=False)
def _weight(self, scaled, n_seen, n_hidden):
    return self.instance_class.weight


def weighs(self):
    """Whether IRLS weights depend on the distance; those of the Gaussian are all 1."""
    return not isinstance(self, Gaussian)


@overload(weighs, jit_options=LANEWISE)
def _weighs(self):
    answer = not issubclass(self.instance_class, Gaussian)
    return lambda self: answer
