"""The one way kernels are compiled."""

import os

import numba

# `reassoc` lets the sums over features use vector registers: the order of a sum is then
# the compiler's, but the same for every row and every call. NaN and infinity keep their
# meaning: `nnan` and `ninf` stay off.
kernel = numba.njit(
    nogil=True,
    cache=os.environ.get("AMCLUSTER_NUMBA_CACHE", "1") != "0",
    fastmath={"reassoc", "contract", "nsz"},
    error_model="numpy",
)
