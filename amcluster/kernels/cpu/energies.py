"""Energies in kernels: numba chooses what to compile by the type of the energy.

A kernel calls `log_kernel` and `weight` of whatever energy is among its memories, and
is compiled with that one and without the others.
"""

from numba.extending import overload

from ...energies import Gaussian
from ._jit import LANEWISE

# What numba chooses by the type of an energy, and LLVM makes a part of the kernel.
CHOSEN = LANEWISE | {"forceinline": True}


def log_kernel(self, scaled, n_seen, n_hidden):
    """Log density at a scaled squared distance, but for the normaliser."""
    return self.log_kernel(scaled, n_seen, n_hidden)


def weight(self, scaled, n_seen, n_hidden):
    """Minus the slope of `log_kernel`: how much a row weighs in learning."""
    return self.weight(scaled, n_seen, n_hidden)


@overload(log_kernel, jit_options=CHOSEN)
def _log_kernel(self, scaled, n_seen, n_hidden):
    return self.instance_class.log_kernel


@overload(weight, jit_options=CHOSEN)
def _weight(self, scaled, n_seen, n_hidden):
    return self.instance_class.weight


def weighs(self):
    """Whether rows weigh differently, depending on how far they are."""
    return not isinstance(self, Gaussian)


@overload(weighs, jit_options=CHOSEN)
def _weighs(self):
    answer = not issubclass(self.instance_class, Gaussian)
    return lambda self: answer
