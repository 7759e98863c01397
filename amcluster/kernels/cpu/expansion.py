"""Gaussian logits by inner products: |x - c|^2 = |x|^2 - 2 c . x + |c|^2.

|x|^2 is the same for all memories and can be left out, so one matrix product gives the
logits. But this form loses digits to cancellation where differences would not.
"""

import numpy as np

from ...energies import Gaussian
from .tiles import padded_matrix

# The largest error of a logit that is accepted for this, in nats.
LOGIT_ERROR = 1e-3


def expands(memories):
    """Whether squared distances are expanded: the only place that decides.

    The answer does not depend on the rows, so it is the same for all blocks.
    """
    if not isinstance(memories.energy, Gaussian) or not memories.alike:
        return False
    largest = np.square(memories.centers).sum(axis=1).max()
    eps = np.finfo(memories.centers.dtype).eps
    return bool(largest * memories.reference_beta * eps < LOGIT_ERROR)


def expanded(memories):
    """A padded matrix, and the constants to add to its products with a row.

    ``log w_k - beta |c_k|^2 + 2 beta c_k . x`` are the logits without -beta |x|^2.
    """
    centers = padded_matrix(memories.centers)
    start = np.zeros(len(centers), centers.dtype)
    norms = np.square(memories.centers).sum(axis=1)
    beta = memories.reference_beta
    start[: len(norms)] = memories.log_weights - beta * norms
    return (beta + beta) * centers, start
