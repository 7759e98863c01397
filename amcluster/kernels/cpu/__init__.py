"""Kernels for the CPU: numba, serial, nogil, cached on disk."""

from .crp import seat
from .dynamics import rest, retrieve, trajectory
from .expectation import project
from .metric import metric_complete, metric_expectation, metric_logits
from .reconstruction import reconstruction_gradient, reconstruction_loss
from .reduce import squared_error
from .seeding import nearest, potentials, swap_costs
from .shaped_dynamics import shaped_rest, shaped_trajectory
from .shaped_missing import (
    shaped_complete,
    shaped_seen_expectation,
    shaped_seen_logits,
)
from .slices import (
    expectation,
    label,
    log_evidence,
    logits,
    posterior,
    seen_expectation,
    seen_logits,
    shaped_expectation,
)
from .sparse import (
    sparse_differences,
    sparse_directions,
    sparse_hash,
    sparse_inverse_lengths,
    sparse_way_of,
)
from .sphere import (
    sphere_assignment,
    sphere_evidence,
    sphere_expectation,
    sphere_label,
    sphere_logits,
    sphere_posterior,
)
from .sphere_dynamics import sphere_rest
from .ways import (
    sphere_directions,
    sphere_inverse_lengths,
    sphere_sums,
    sphere_way_of,
)

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
    "shaped_complete",
    "shaped_expectation",
    "shaped_rest",
    "shaped_seen_expectation",
    "shaped_seen_logits",
    "shaped_trajectory",
    "sparse_differences",
    "sparse_directions",
    "sparse_hash",
    "sparse_inverse_lengths",
    "sparse_way_of",
    "sphere_assignment",
    "sphere_directions",
    "sphere_evidence",
    "sphere_expectation",
    "sphere_inverse_lengths",
    "sphere_label",
    "sphere_logits",
    "sphere_posterior",
    "sphere_rest",
    "sphere_sums",
    "sphere_way_of",
    "squared_error",
    "swap_costs",
    "trajectory",
]
