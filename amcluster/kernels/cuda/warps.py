"""Sums over the threads of a warp, which read each other's registers.

The simulator has no warps: its threads use shared memory instead.
"""

from ._jit import SIMULATED, cuda, part

WARP = 2 if SIMULATED else 32

if SIMULATED:

    def sum_of_warp(value, thread, shared):
        """The sum of `value` over the threads of a warp."""
        cuda.syncthreads()
        shared[thread] = value
        cuda.syncthreads()
        first = thread - thread % WARP
        total = shared[first]
        for other in range(1, WARP):
            total += shared[first + other]
        return total

else:

    @part
    def sum_of_warp(value, thread, shared):
        """The sum of `value` over the threads of a warp."""
        distance = WARP // 2
        while distance > 0:
            value += cuda.shfl_xor_sync(0xFFFFFFFF, value, distance)
            distance //= 2
        return value
