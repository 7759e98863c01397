"""Kernels for GPUs: numba-cuda, or its simulator, with the contract of those for CPUs.

`column` and `moment` are additional kernels, for what NumPy does on the CPU.
"""

from .dynamics import rest, retrieve, trajectory
from .expectation import expectation, project
from .matrices import column, moment
from .metric import metric_complete, metric_expectation, metric_logits
from .missing import seen_expectation, seen_logits
from .reconstruction import reconstruction_gradient, reconstruction_loss
from .reduce import label, log_evidence, logits, posterior, squared_error
from .seeding import nearest, potentials, swap_costs

__all__ = [
    "column",
    "expectation",
    "label",
    "log_evidence",
    "logits",
    "metric_complete",
    "metric_expectation",
    "metric_logits",
    "moment",
    "nearest",
    "posterior",
    "potentials",
    "project",
    "reconstruction_gradient",
    "reconstruction_loss",
    "rest",
    "retrieve",
    "seen_expectation",
    "seen_logits",
    "squared_error",
    "swap_costs",
    "trajectory",
]
