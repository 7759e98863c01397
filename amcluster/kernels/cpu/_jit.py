"""The one way kernels are compiled."""

import os

import numba


def _njit(**options):
    """As numba's, with machine code kept on disk unless that is switched off."""

    def decorate(function):
        dispatcher = numba.njit(**options)(function)
        if os.environ.get("AMCLUSTER_NUMBA_CACHE", "1") != "0":
            _keep(dispatcher)
        return dispatcher

    return decorate


def _keep(dispatcher):
    """Give it a cache: ours, or numba's, or none; each wants less of its surroundings.

    Ours is made of parts of numba that another version may name otherwise.
    """
    try:
        from ._cache import KernelCache

        dispatcher._cache = KernelCache(dispatcher.py_func)
    except Exception:
        try:
            dispatcher.enable_caching()
        except Exception:
            return


# `reassoc` lets the sums over features use vector registers: the order of a sum is then
# the compiler's, but the same for every row and every call. NaN and infinity keep their
# meaning: `nnan` and `ninf` stay off.
OPTIONS = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}

# Kernels make no arrays: room for what they need is given to them. So numba counts no
# references, which would be two fifths of the code of the longest one. A kernel that
# makes an array is not compiled: "NRT required but not enabled".
kernel = _njit(**OPTIONS)

# Where rows come one by one they may.
allocating = _njit(**OPTIONS | {"_nrt": True})

# Called by kernels only: what Python needs to call them is not compiled.
inner = _njit(**OPTIONS | {"no_cpython_wrapper": True})

# What does the same to every lane has no sum to reorder. A function may be compiled by
# itself and as part of others: so both have the same rounding.
LANEWISE = OPTIONS | {"fastmath": {"contract", "nsz"}}
lanewise = _njit(**LANEWISE)
inner_lanewise = _njit(**LANEWISE | {"no_cpython_wrapper": True})

# Part of a kernel: compiled with it, and never by itself. So should be what sums over
# lanes or features. A process that compiles a function runs the copy that was compiled
# by itself; one that finds kernels on disk runs the copy that was optimised with its
# kernel. Sums that may be reordered need not be the same in both.
part = _njit(inline="always", **OPTIONS)

# What numba chooses by the types of its arguments, and LLVM makes a part of the kernel.
CHOSEN = OPTIONS | {"forceinline": True}
