"""The network of memories: where its states come to rest."""

import numpy as np

# A state that takes longer than this to come to rest is between two memories.
MAX_RETRIEVAL_STEPS = 1000


def rest_tolerance(memories):
    """Length of u - v below which a state rests: small beside the radius of a memory.

    The second part is what rounding leaves of the difference.
    """
    eps = np.finfo(memories.centers.dtype).eps
    radius = np.sqrt(0.5 / memories.beta)
    rounding = 4 * eps * np.linalg.norm(memories.centers, axis=1).max()
    return memories.centers.dtype.type(eps ** (2 / 3) * radius + rounding)
