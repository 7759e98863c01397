"""Selection of a device, which has the kernels of its target and passes rows to them.

Learners get their device from the rows. It lives as long as one call by a user.
"""

from importlib.util import find_spec

import numpy as np
from scipy.linalg import solve_triangular

from ..checks import check_choice
from ..execution import threads
from ..kernels import target

DEVICES = ("cpu", "cuda", "auto")


class CPU:
    """NumPy arrays, processed in blocks by threads."""

    rows_of = staticmethod(threads.rows_of)
    sum_over = staticmethod(threads.sum_over)
    empty = staticmethod(np.empty)
    knows_shapes = True

    @property
    def kernels(self):
        """The kernels."""
        return target("cpu")

    @property
    def kernels_in_shapes(self):
        """The kernels that only memories with roots have."""
        return self.kernels

    def column(self, matrix, j):
        """Column j, contiguous, on the device that has the matrix."""
        return np.ascontiguousarray(matrix[:, j])

    def whitened(self, X, root):
        """Rows times the transposed inverse of a lower triangular root."""
        whitened = solve_triangular(root, X.T, lower=True).T
        return np.ascontiguousarray(whitened, X.dtype)

    def moment(self, X, weights):
        """The weighted sum of the outer products of rows, in float64."""
        X = X.astype(np.float64, copy=False)
        return (X.T * weights) @ X


def device_named(name):
    """The device with the name that a user gives.

    Parameters
    ----------
    name : {"cpu", "cuda", "auto"}
        "auto" is a GPU where one works, or else the CPU.

    Returns
    -------
    CPU or CUDA

    Raises
    ------
    ValueError
        If it is another word.
    ImportError
        If numba-cuda is not installed.
    RuntimeError
        If no GPU works.
    """
    check_choice(name, "device", DEVICES)
    if name == "cpu":
        return CPU()
    try:
        _check_gpu()
    except (ImportError, RuntimeError):
        if name == "auto":
            return CPU()
        raise
    from .cuda import CUDA

    return CUDA()


def _check_gpu():
    """Raise unless a kernel can run on a GPU, or on numba's simulator of one."""
    from numba import config

    # numba's built-in numba.cuda is deprecated: only its simulator is used.
    if not config.ENABLE_CUDASIM and find_spec("numba_cuda") is None:
        raise ImportError(
            "device == 'cuda' needs numba-cuda, which is not installed: pip install"
            " \"amcluster[cuda]\". device='cpu' needs nothing further."
        )
    from numba import cuda

    try:
        cuda.current_context()
        compiles = cuda.is_available()
    except Exception as error:  # numba-cuda raises errors of many types
        reason = " ".join(str(error).split()).rstrip(" :.")
        raise RuntimeError(
            f"device == 'cuda', but no GPU was found ({reason}). device='cpu' works"
            " without one."
        ) from error
    if not compiles:
        raise RuntimeError(
            "device == 'cuda', but there is no compiler for its kernels: pip install"
            " \"amcluster[cuda]\". device='cpu' works without it."
        )
