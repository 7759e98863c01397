"""Decorators that compile kernels for the CPU, with one set of options for all."""

import os

import numba


def _njit(**options):
    """As `numba.njit`, with machine code kept on disk unless that is switched off."""

    def decorate(function):
        dispatcher = numba.njit(**options)(function)
        if os.environ.get("AMCLUSTER_NUMBA_CACHE", "1") != "0":
            _keep(dispatcher)
        return dispatcher

    return decorate


def _keep(dispatcher):
    """Give a dispatcher a cache on disk: `KernelCache`, else numba's own, else none.

    `KernelCache` uses internals of numba, which another version may have renamed.
    """
    try:
        from ._cache import KernelCache

        dispatcher._cache = KernelCache(dispatcher.py_func)
    except Exception:
        try:
            dispatcher.enable_caching()
        except Exception:
            return


# `reassoc` lets sums over features use vector registers: the compiler then chooses the
# order of a sum, which is the same for every row and every call. `nnan` and `ninf` stay
# off, because kernels rely on NaN and infinity.
#
# Kernels are inlined where others call them. A process that compiles would call the
# copy that was compiled alone, while one that loads kernels from disk would run the
# copy that was optimised within its caller, and these may order sums differently.
OPTIONS = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "forceinline": True,
    "_nrt": False,
}

# Kernels do not allocate arrays; the caller passes room for intermediate results. So
# reference counting is switched off, which would be two fifths of the code of the
# longest kernel. A kernel that does allocate fails to compile: "NRT required but not
# enabled".
kernel = _njit(**OPTIONS)

# Row-by-row kernels may allocate.
allocating = _njit(**OPTIONS | {"_nrt": True})

# Functions that only kernels call: no wrapper for calls from Python is compiled.
inner = _njit(**OPTIONS | {"no_cpython_wrapper": True})

# Functions that do the same to every lane have no sums to reorder. Without `reassoc`
# their rounding is the same whether they are compiled alone or inlined into others.
LANEWISE = OPTIONS | {"fastmath": {"contract", "nsz"}}
lanewise = _njit(**LANEWISE)
inner_lanewise = _njit(**LANEWISE | {"no_cpython_wrapper": True})

# Part of a kernel: inlined by numba before types are known, never compiled alone.
part = _njit(inline="always", **OPTIONS)
