"""The one way kernels and their parts are compiled, for a device or the simulator.

The simulator of numba runs a Python thread for each thread of the device. There, parts
of kernels are plain functions, and the name `cuda` is what the running kernel sees:
numba would exchange that name in the module of a part when a thread enters it, and
change it back when one leaves though others are still inside.
"""

import functools
import os
import sys
import warnings
from contextlib import contextmanager

import numpy as np
from numba import config, uint64
from numba import cuda as _cuda

from ..cpu._cache import is_ours

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


def _simulated_overload(function):
    return lambda choice: choice


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


def _compiled_kernel(function):
    """A kernel; its code is kept on disk, but for energies that are not amcluster's."""
    if os.environ.get("AMCLUSTER_NUMBA_CACHE", "1") == "0":
        return _cuda.jit(function)
    dispatcher = _cuda.jit(cache=True)(function)
    save = dispatcher._cache.save_overload

    def save_ours(sig, data):
        if is_ours(sig):
            save(sig, data)

    dispatcher._cache.save_overload = save_ours
    return dispatcher


if SIMULATED:
    cuda, kernel, part = _Simulated(), _simulated_kernel, _simulated_part
    view, index, overload = part, int, _simulated_overload
else:
    from numba.cuda import extending

    cuda, part, kernel = _cuda, _cuda.jit(device=True), _compiled_kernel
    overload = extending.overload
    # A part that returns a view of an array: only what is put in its place may.
    view = _cuda.jit(device=True, inline="always")
    # An index that is not negative: without it numba counts negative ones from the end.
    index = uint64
