"""Decorators that compile kernels and their parts, for a device or the simulator.

The simulator of numba runs a Python thread for each thread of the device. With it,
parts of kernels are plain functions here, and the name `cuda` always refers to the
running kernel. numba itself would replace that name in the module of a part when a
thread enters the part, and restore it when one leaves while others are still inside.
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
    """Shared arrays of the running kernel, one for each line of code that makes one."""

    def __init__(self, arrays):
        self.arrays = arrays

    def array(self, shape, dtype, alignment=None):
        caller = sys._getframe(1)
        key = caller.f_code, caller.f_lineno
        return self.arrays.setdefault(key, np.empty(shape, dtype))


class _Simulated:
    """The module `cuda` of the kernel that the simulator is running."""

    def __getattr__(self, name):
        from numba.cuda.simulator.kernel import _get_kernel_context

        running = _get_kernel_context()
        if name == "shared":
            return _SimulatedShared(vars(running).setdefault("_shared_arrays", {}))
        return getattr(running, name)


def _plain(argument):
    """The array, or tuple with arrays, inside the slow wrappers of the simulator."""
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


def _simulated_overload(function, **options):
    return lambda choice: choice


@contextmanager
def running():
    """Ignore warnings while a kernel is launched.

    In the simulator NumPy warns of infinities and NaN, which a device does not. On a
    device numba warns of small grids, which come from few rows.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size")
        if SIMULATED:
            warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _compiled_kernel(function):
    """A kernel whose code is kept on disk, except for energies of users."""
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
    # Only inlined functions may return views of arrays.
    view = _cuda.jit(device=True, inline="always")
    # Unsigned indices save the code for negative ones, which count from the end.
    index = uint64
