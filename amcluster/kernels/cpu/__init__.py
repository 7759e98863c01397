"""Kernels for the CPU: numba, serial, nogil, cached on disk."""

from .crp import seat
from .dynamics import rest, retrieve, trajectory
from .expectation import expectation, project
from .metric import metric_complete, metric_expectation, metric_logits
from .missing import seen_expectation, seen_logits
from .reconstruction import reconstruction_gradient, reconstruction_loss
from .reduce import label, log_evidence, logits, posterior, squared_error
from .seeding import nearest, potentials, swap_costs

__all__ = [
    "expectation",
    "label",
    "log_evidence",
    "logits",
    "metric_complete",
    "metric_expectation",
    "metric_logits",
    "nearest",
    "posterior",
    "potentials",
    "project",
    "reconstruction_gradient",
    "reconstruction_loss",
    "rest",
    "retrieve",
    "seat",
    "seen_expectation",
    "seen_logits",
    "squared_error",
    "swap_costs",
    "trajectory",
]
