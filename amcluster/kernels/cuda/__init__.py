"""Kernels for GPUs: numba-cuda, or its simulator; the contract is that of the CPU's."""

from .expectation import expectation, project
from .missing import (
    metric_complete,
    metric_expectation,
    metric_logits,
    seen_expectation,
    seen_logits,
)
from .posterior import label, log_evidence, logits, posterior, squared_error

__all__ = [
    "expectation",
    "label",
    "log_evidence",
    "logits",
    "metric_complete",
    "metric_expectation",
    "metric_logits",
    "posterior",
    "project",
    "seen_expectation",
    "seen_logits",
    "squared_error",
]
