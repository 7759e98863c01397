"""
Spherical CLAM: learning through the dynamics, or by EM?
========================================================

CLAM learns memories by the gradient of what the dynamics make of each row: on the
sphere, of one minus the cosine of a row with its state after ten steps.
`SphericalCLAMClusterer` learns by EM instead. What would the gradient add? Here it
starts at the memories of EM, for the directions of 450 handwritten digits, and at
several concentrations kappa of the network.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from amcluster import SphericalCLAMClusterer

N_STEPS, STEP_SIZE = 10, 0.3
X, digits = load_digits(return_X_y=True)
X, digits = normalize(X[::4]), digits[::4]


def unit(vectors):
    """Vectors of length 1, and what their lengths were."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths, lengths


def along(vectors, others):
    """Inner products, row by row."""
    return np.sum(vectors * others, axis=-1, keepdims=True)


# %%
# A step moves a state on the chord towards the mean of the memories under its
# posterior, and brings it back to the sphere. The gradient runs the steps backwards.


def loss_and_gradient(numbers, kappa):
    """Mean of 1 - cosine of rows and states, and its gradient by memories."""
    memories, lengths = unit(numbers.reshape(-1, X.shape[1]))
    state, steps = X, []
    for _ in range(N_STEPS):
        posterior = softmax(kappa * state @ memories.T, axis=1)
        mean = posterior @ memories
        after, length = unit((1 - STEP_SIZE) * state + STEP_SIZE * mean)
        steps.append((state, posterior, mean, length, after))
        state = after
    by_state, by_memories = -X / len(X), 0.0
    for before, posterior, mean, length, after in reversed(steps):
        by_sum = (by_state - along(by_state, after) * after) / length
        by_mean = STEP_SIZE * by_sum
        by_logits = posterior * (by_mean @ memories.T - along(by_mean, mean))
        by_memories += posterior.T @ by_mean + kappa * by_logits.T @ before
        by_state = (1 - STEP_SIZE) * by_sum + kappa * by_logits @ memories
    by_numbers = (by_memories - along(by_memories, memories) * memories) / lengths
    return 1 - along(X, state).mean(), by_numbers.ravel()


em = SphericalCLAMClusterer(10, random_state=0).fit(X)
start = em.cluster_centers_.ravel()
kappas = np.geomspace(5, 320, 5)
losses, agreement = [], []
for kappa in kappas:
    options = {"maxiter": 40}
    found = minimize(loss_and_gradient, start, kappa, "L-BFGS-B", True, options=options)
    memories = unit(found.x.reshape(em.cluster_centers_.shape))[0]
    losses.append((loss_and_gradient(start, kappa)[0], found.fun))
    agreement.append(adjusted_rand_score(digits, (X @ memories.T).argmax(axis=1)))

# %%
# Where the network is as sharp as EM finds it, each state ends at its memory, and the
# memories of EM are already the best: the gradient changes nothing. In a blunt network
# states end between memories, and the gradient drives these apart until their mixtures
# reach the rows. The loss falls, and memories are no longer the clusters' means.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
before, after = np.transpose(losses)
left.plot(kappas, before, "o--", color="#E69F00", label="memories of EM")
left.plot(kappas, after, "s-", color="#0072B2", label="after the gradient")
left.set(xscale="log", xlabel="kappa of the network", ylabel="mean of 1 - cosine")
right.axhline(
    adjusted_rand_score(digits, em.labels_), color="#E69F00", ls="--", label="EM"
)
right.plot(kappas, agreement, "s-", color="#0072B2", label="after the gradient")
right.set(xscale="log", xlabel="kappa of the network", ylabel="ARI with the digits")
for ax in (left, right):
    ax.axvline(em.concentrations_[0], color="0.6", lw=1, label="kappa of EM")
left.legend(frameon=False)
right.legend(frameon=False, loc="lower right")
plt.show()
