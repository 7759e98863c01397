r"""
Energy landscapes of CLAM, ELBO and CRP
=======================================

Figures 2 and 3 of :cite:t:`schaeffer2024bridging`, with fitted models: what a network
does with every point of a plane. Above in the first figure the state is a point that
moves down the energy; below it is the posterior, and the plane has the colour that the
posterior mixes. On the right a base measure makes room for memories to come.
"""

from copy import copy

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from sklearn.datasets import make_blobs

from amcluster import (
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    EnergyLandscapeDisplay,
)

X, _ = make_blobs(
    [100, 200, 60], centers=[[0, 0], [20, 0], [12, 22]], cluster_std=1.0, random_state=0
)

# %%
# Four networks
# -------------
# The four fit the same rows and find the same three memories. CLAM and CLAM+ELBO divide
# the whole plane among these. The other two know a fourth possibility, a memory not
# made yet, which is white. Colours tell memories apart; they have no order.

models = {
    "CLAM": CLAMClusterer(3, random_state=0),
    "CLAM+CRP": CRPAssociativeClusterer(assignment="hard", random_state=0),
    "CLAM+ELBO": CLAMELBOClusterer(3, random_state=0),
    "CLAM+CRP+ELBO": CRPAssociativeClusterer(assignment="soft", random_state=0),
}
for name, model in models.items():
    memories = model.fit(X).cluster_centers_
    order = memories[:, 0].argsort()
    print(f"{name:14} memories at {memories[order].round(1).tolist()}")

# %%
# A state that starts far from all rows is drawn in by some memory on the left. On the
# right it may come to rest at the base measure: the paper's way to say that it is new.

PALETTE = np.array([to_rgb(colour) for colour in ("#0072B2", "#E69F00", "#009E73")])
side = np.linspace(-14, 34, 161)
plane = np.stack(np.meshgrid(side, side), axis=-1)
starts = plane[10::35, 10::35].reshape(-1, 2)
extent = (side[0], side[-1], side[0], side[-1])


def blend(model):
    """The colours of the memories, mixed by the posterior; white for a new memory."""
    states = plane.reshape(-1, 2)
    posterior = model.predict_proba(states)
    if hasattr(model, "novelty"):
        posterior *= 1 - model.novelty(states)[:, None]
    new = 1 - posterior.sum(axis=1, keepdims=True)
    pale = 0.6 + 0.4 * PALETTE
    return (posterior @ pale + new).clip(0, 1).reshape((*plane.shape[:2], 3))


figure, axes = plt.subplots(
    2, 2, figsize=(9, 9), sharex=True, sharey=True, layout="constrained"
)
for ax, name in zip(axes[0], ["CLAM", "CLAM+CRP"], strict=True):
    EnergyLandscapeDisplay.from_estimator(
        models[name], X, starts=starts, n_steps=1000, ax=ax
    )
for ax, name in zip(axes[1], ["CLAM+ELBO", "CLAM+CRP+ELBO"], strict=True):
    ax.imshow(blend(models[name]), extent=extent, origin="lower")
    ax.plot(*X.T, ".", color="0.35", markersize=2)
    memories = models[name].cluster_centers_
    ax.plot(*memories.T, "ks", markersize=8, markeredgecolor="white")
for ax, name in zip(axes.flat, models, strict=True):
    ax.set(title=name, xlabel="", ylabel="", aspect="equal")
    ax.set(xlim=extent[:2], ylim=extent[2:])
figure.supxlabel("x0")
figure.supylabel("x1")
plt.show()

# %%
# Where memories end
# ------------------
# The basins of a finite mixture stretch out infinitely. With a base measure they end,
# and the sooner the larger the `concentration`, the weight of a new memory: the paper's
# Figure 3. The effect is logarithmic, so two values a factor of a million apart are
# shown, with the memories of one fit.

networks = {"CLAM": models["CLAM"]}
for concentration in (1e-3, 1e3):
    network = copy(models["CLAM+CRP+ELBO"]).set_params(concentration=concentration)
    networks[f"CLAM+CRP, concentration {concentration:g}"] = network
figure, axes = plt.subplots(
    1, 3, figsize=(12, 4.4), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, network) in zip(axes, networks.items(), strict=True):
    display = EnergyLandscapeDisplay.from_estimator(network, X, ax=ax)
    new = (display.basins == -1).mean()
    ax.set(title=f"{name}\n{new:.0%} end at the base measure")
    ax.set(aspect="equal", ylabel="")
axes[0].set_ylabel("x1")
plt.show()
