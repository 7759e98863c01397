"""The one way kernels are compiled."""

import os
import warnings

import numba


def _cache():
    """Whether machine code is kept on disk: unless switched off or not writable.

    numba looks for a place beside this file, then in the user's cache folder, and
    raises if it can write to neither.
    """
    if os.environ.get("AMCLUSTER_NUMBA_CACHE", "1") == "0":
        return False
    try:
        numba.njit(_cache, cache=True)
    except RuntimeError as error:
        warnings.warn(
            f"Kernels will be compiled anew in every process ({error}). Set"
            " NUMBA_CACHE_DIR to a folder that can be written to, or"
            " AMCLUSTER_NUMBA_CACHE=0 to accept it.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


# `reassoc` lets the sums over features use vector registers: the order of a sum is then
# the compiler's, but the same for every row and every call. NaN and infinity keep their
# meaning: `nnan` and `ninf` stay off.
OPTIONS = {
    "nogil": True,
    "cache": _cache(),
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}

# Kernels make no arrays: room for what they need is given to them. So numba counts no
# references, which would be two fifths of the code of the longest one. A kernel that
# makes an array is not compiled: "NRT required but not enabled".
kernel = numba.njit(**OPTIONS)

# Where rows come one by one they may.
allocating = numba.njit(**OPTIONS | {"_nrt": True})

# Called by kernels only: what Python needs to call them is not compiled.
inner = numba.njit(**OPTIONS | {"no_cpython_wrapper": True})

# What does the same to every lane has no sum to reorder. A function may be compiled by
# itself and as part of others: so both have the same rounding.
LANEWISE = OPTIONS | {"fastmath": {"contract", "nsz"}}
lanewise = numba.njit(**LANEWISE)
inner_lanewise = numba.njit(**LANEWISE | {"no_cpython_wrapper": True})

# Part of a kernel: compiled with it, and never by itself. So should be what sums over
# lanes or features. A process that compiles a function runs the copy that was compiled
# by itself; one that finds kernels on disk runs the copy that was optimised with its
# kernel. Sums that may be reordered need not be the same in both.
part = numba.njit(inline="always", **OPTIONS)

# What numba chooses by the types of its arguments, and LLVM makes a part of the kernel.
CHOSEN = {option: OPTIONS[option] for option in OPTIONS if option != "cache"}
CHOSEN["forceinline"] = True
