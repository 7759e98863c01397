"""numba's simulator of a GPU, whose threads take turns.

Those of numba's own are threads of Python, which wait for each other and for Python's
lock: most of the time of a simulated kernel. Here they are greenlets: each runs up to
its next barrier or its end. The order turns round at each barrier: of two threads that
need a barrier between them, and have none, the wrong one is sometimes the first.
"""

import threading
from types import SimpleNamespace

import greenlet
import numpy as np
from numba.cuda.simulator import kernel, kernelapi


class SimulatedThread(greenlet.greenlet):
    """A thread of the GPU."""

    # What the threads say at a barrier is counted as numba does it.
    syncthreads_count = kernel.BlockThread.syncthreads_count
    syncthreads_and = kernel.BlockThread.syncthreads_and
    syncthreads_or = kernel.BlockThread.syncthreads_or

    def __init__(self, function, manager, block, number):
        super().__init__(function)
        self._manager = manager
        self.blockIdx, self.threadIdx = kernel.Dim3(*block), kernel.Dim3(*number)

    def syncthreads(self):
        """Wait for the others."""
        self.parent.switch()


class Block(kernel.BlockManager):
    """The threads of a block."""

    def run(self, grid_point, *args):
        """Run them all to their ends, or up to the first error."""
        threads = [
            SimulatedThread(self._f, self, grid_point, number)
            for number in np.ndindex(*self._block_dim)
        ]
        while threads:
            for thread in threads:
                # What is passed to one that has begun is the value of its `switch`.
                thread.switch(*args)
            waiting = [thread for thread in threads[::-1] if not thread.dead]
            # On a GPU those that wait would wait forever.
            assert len(waiting) in (0, len(threads)), "some threads end, others wait"
            threads = waiting


def install():
    """Have all simulated kernels run so."""
    kernel.BlockManager = Block
    kernelapi.threading = SimpleNamespace(
        current_thread=greenlet.getcurrent, Lock=threading.Lock
    )
