"""The one way kernels and their parts are compiled, for a device or the simulator.

The simulator of numba runs a Python thread for each thread of the device. There, parts
of kernels are plain functions, and the name `cuda` is what the running kernel sees:
numba would exchange that name in the module of a part when a thread enters it, and
change it back when one leaves though others are still inside.
"""

import functools
import sys
import warnings
from contextlib import contextmanager

import numpy as np
from numba import config, uint64
from numba import cuda as _cuda

from ..cpu._jit import OPTIONS

SIMULATED = bool(config.ENABLE_CUDASIM)


class _SimulatedShared:
    """Shared arrays of the running kernel, one for each line that asks for one."""

    def __init__(self, arrays):
        self.arrays = arrays

    def array(self, shape, dtype, alignment=None):
        caller = sys._getframe(1)
        key = caller.f_code, caller.f_lineno
        return self.arrays.setdefault(key, np.empty(shape, dtype))


class _Simulated:
    """The module `cuda`, as the kernel sees it that the simulator is running."""

    def __getattr__(self, name):
        from numba.cuda.simulator.kernel import _get_kernel_context

        running = _get_kernel_context()
        if name == "shared":
            return _SimulatedShared(vars(running).setdefault("_shared_arrays", {}))
        return getattr(running, name)


def _plain(argument):
    """What numba wraps, slowly, in the simulator: an array, or arrays in a tuple."""
    if isinstance(argument, tuple):
        fields = map(_plain, argument)
        return type(argument)(*fields) if hasattr(argument, "_fields") else (*fields,)
    for name in ("_item", "_ary"):
        argument = getattr(argument, "__dict__", {}).get(name, argument)
    return argument


def _simulated_kernel(function):
    @functools.wraps(function)
    def plain(*arguments):
        function(*map(_plain, arguments))

    return _cuda.jit(plain)


def _simulated_part(function):
    return function


@contextmanager
def running():
    """Around the launch of a kernel.

    In the simulator NumPy warns of numbers that a device passes over. On a device numba
    warns that few rows do not keep it busy.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size")
        if SIMULATED:
            warnings.simplefilter("ignore", RuntimeWarning)
        yield


if SIMULATED:
    cuda, kernel, part = _Simulated(), _simulated_kernel, _simulated_part
    view, index = part, int
else:
    cuda, part = _cuda, _cuda.jit(device=True)
    kernel = _cuda.jit(cache=OPTIONS["cache"])
    # A part that returns a view of an array: only what is put in its place may.
    view = _cuda.jit(device=True, inline="always")
    # An index that is not negative: without it numba counts negative ones from the end.
    index = uint64
