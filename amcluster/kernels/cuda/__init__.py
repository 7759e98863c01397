"""Kernels for GPUs: numba-cuda, or its simulator; the contract is that of the CPU's.

`column` and `moment` are further ones, for what NumPy does on the CPU.
"""

from .expectation import expectation, project
from .matrices import column, moment
from .posterior import label, log_evidence, logits, posterior, squared_error

__all__ = [
    "column",
    "expectation",
    "label",
    "log_evidence",
    "logits",
    "moment",
    "posterior",
    "project",
    "squared_error",
]
