"""Kernels for the CPU: numba, serial, nogil, cached on disk."""

from .dynamics import retrieve, trajectory
from .posterior import label, log_evidence, posterior, squared_error
from .reconstruction import reconstruction_gradient, reconstruction_loss
from .seeding import approach, nearest, potentials, swap_costs

__all__ = [
    "approach",
    "label",
    "log_evidence",
    "nearest",
    "posterior",
    "potentials",
    "reconstruction_gradient",
    "reconstruction_loss",
    "retrieve",
    "squared_error",
    "swap_costs",
    "trajectory",
]
