"""A kernel density is a network whose memories are rows."""

import numpy as np

from ..energies import Gaussian
from ..kernels import Memories
from ..network import Network
from ..rows.complete import Complete


def kernel_density(centers, weights, bandwidth, device):
    """The network of a density with Gaussian kernels of this standard deviation.

    Parameters
    ----------
    centers : ndarray of shape (n_memories, n_features)
    weights : ndarray of shape (n_memories,)
        Positive; the density has what they are of their sum.
    bandwidth : float
    device : CPU or CUDA
    """
    log_weights = np.log(weights / weights.sum())
    beta, n_features = 0.5 / bandwidth**2, centers.shape[1]
    memories = Memories(centers, log_weights, beta, Gaussian(), n_features)
    return Network(memories, device=device)


def evidence_at(network, points):
    """The log evidence at points, of which there may be none (n_points,)."""
    return Complete(points).log_evidence(network) if len(points) else np.empty(0)


def evidence_and_effective_rows(network, points):
    """The log evidence at points, and how many memories make it.

    With weights w and kernels k this number is ``(sum w k)^2 / sum (w k)^2``: 1 where
    one memory is near, and all where they are equally far. The standard error of the
    log evidence is about the inverse of its root.
    """
    memories, evidence = network.memories, evidence_at(network, points)
    squared = memories._replace(
        log_weights=2 * memories.log_weights, beta=2 * memories.beta
    )
    of_squares = evidence_at(network._replace(memories=squared), points)
    return evidence, np.exp(2 * evidence - of_squares)


def evidence_by_group(rows, network, labels, n_groups):
    """Log evidence of the memories of each group (n_rows, n_groups)."""
    memories = network.memories.astype(rows.values.dtype)
    out = np.empty((len(rows.values), n_groups), rows.values.dtype)
    for group in range(n_groups):
        some = network._replace(memories=memories.some(labels == group))
        out[:, group] = rows.log_evidence(some)
    return out
