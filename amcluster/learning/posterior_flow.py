"""The network whose state is the posterior itself: dynamics of CLAM+ELBO.

The state is q = softmax(v), and its free energy for joint log densities
l_k = log p(x, z=k) is E(q) = sum_k q_k (log q_k - l_k) = KL(q | p(z | x)) - log p(x).
"""

import numpy as np
from scipy.special import log_softmax


def natural_step(v, joint, step_size):
    """Down the free energy in the geometry of the Fisher matrix diag(q) - q q^T."""
    return v + step_size * (joint - v)


def euclidean_step(v, joint, step_size):
    """Down the gradient with respect to v; the sum of v is conserved."""
    log_q = log_softmax(v, axis=1)
    q = np.exp(log_q)
    excess = joint - log_q
    return v + step_size * q * (excess - (q * excess).sum(axis=1, keepdims=True))


STEPS = {"natural": natural_step, "euclidean": euclidean_step}


def flow(joint, start, n_steps, step_size, dynamics):
    """States v(0), ..., v(T) of every row.

    Parameters
    ----------
    joint : ndarray of shape (n_rows, n_clusters)
        Joint log densities l.
    start : ndarray of shape (n_clusters,)
        v(0), the same for all rows.
    n_steps : int
        Number of steps T.
    step_size : float
        Their size.
    dynamics : {"natural", "euclidean"}
        The flow.

    Returns
    -------
    ndarray of shape (n_rows, n_steps + 1, n_clusters)
    """
    states = np.empty((len(joint), n_steps + 1, joint.shape[1]), joint.dtype)
    states[:, 0] = start
    for t in range(n_steps):
        states[:, t + 1] = STEPS[dynamics](states[:, t], joint, step_size)
    return states


def free_energies(log_q, joint):
    """E(q) along trajectories log_q (n_rows, T + 1, n_clusters), in nats."""
    return (np.exp(log_q) * (log_q - joint[:, None])).sum(axis=2)
