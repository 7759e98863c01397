"""Where kernels run: a device has the kernels of its target, and takes rows to them.

Learners reach their device through the rows; it lives as long as one call of a user.
"""

import numpy as np

from . import _blocks
from .kernels import target


class CPU:
    """NumPy arrays in blocks, on threads."""

    rows_of = staticmethod(_blocks.rows_of)
    sum_over = staticmethod(_blocks.sum_over)
    empty = staticmethod(np.empty)

    @property
    def kernels(self):
        """The kernels."""
        return target("cpu")
