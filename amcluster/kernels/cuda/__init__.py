"""Kernels for GPUs: numba-cuda, or its simulator; the contract is that of the CPU's."""

from .expectation import expectation, project
from .posterior import label, log_evidence, logits, posterior, squared_error

__all__ = [
    "expectation",
    "label",
    "log_evidence",
    "logits",
    "posterior",
    "project",
    "squared_error",
]
