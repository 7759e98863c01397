r"""
How an associative memory clusters
==================================

An associative memory is a network that, shown a corrupted pattern, settles at the
pattern it resembles. Clustering turns this round: rows are the corrupted patterns, and
what has to be found are the patterns, the *memories*, they could all be corrupted forms
of. This page follows the idea from the energy to labels.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from amcluster import (
    CLAMClusterer,
    EnergyLandscapeDisplay,
    MemoryDisplay,
    ObjectiveDisplay,
)

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"

# %%
# Energy: how badly a state fits the memories
# -------------------------------------------
# With memories :math:`\mu_k` of weight :math:`w_k`, a state v has the energy
#
# .. math::
#
#    E(v) = -\frac{1}{\beta} \log \sum_k w_k e^{-\beta \lVert v - \mu_k \rVert^2} ,
#
# a well about each memory, as wide as :math:`1 / \sqrt{2 \beta}`. In one dimension it
# can be drawn above the rows:

rng = np.random.default_rng(0)
line = np.concatenate([rng.normal(-2, 0.7, 300), rng.normal(1.5, 0.7, 300)])[:, None]
two = CLAMClusterer(2, random_state=0).fit(line)
grid = np.linspace(-5, 4.5, 400)[:, None]

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7, 4.5), sharex=True, layout="constrained", height_ratios=[2, 1]
)
top.plot(grid, two.energy(grid), color=BLUE)
places = two.cluster_centers_
top.plot(places, two.energy(places), "ks", label="memories")
path = two.trajectory([[-4.4], [-0.1], [4.0]], n_steps=8)[..., 0]
for states in path:
    top.plot(states, two.energy(states[:, None]), "o-", color=ORANGE, markersize=4)
top.plot([], [], "o-", color=ORANGE, markersize=4, label="states on their way")
top.set_ylabel("energy E")
top.legend()
bottom.hist(line[:, 0], bins=60, color="0.7", density=True, label="rows")
bottom.plot(grid, np.exp(two.score_samples(grid)), color=BLUE, label="density")
bottom.set(xlabel="x", ylabel="density")
bottom.legend()
plt.show()

# %%
# The energy is a log density turned upside down,
# :math:`\log p(x) = -\beta E(x) + \frac{D}{2} \log \frac{\beta}{\pi}`: that of a
# Gaussian mixture with covariance :math:`I / (2 \beta)`. Wells are clusters, and
# downhill is towards more rows.
#
# Dynamics: downhill to a memory
# ------------------------------
# A state moves towards the mean of the memories under its own posterior,
#
# .. math:: v \leftarrow v + \lambda \Bigl( \sum_k p(k \mid v) \mu_k - v \Bigr) ,
#
# and its energy never rises. States that end at the same memory share a *basin*, drawn
# in one colour. Rows of three clusters, flowing:

X, _ = make_blobs(
    [60, 60, 60], centers=[[0, 0], [5, 0], [2, 4.5]], cluster_std=1.2, random_state=0
)
clam = CLAMClusterer(3, random_state=0).fit(X)
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
EnergyLandscapeDisplay.from_estimator(clam, X, ax=ax)
flow = clam.trajectory(X, n_steps=19, step_size=0.2)
(dots,) = ax.plot(*X.T, "o", color="black", markersize=4, alpha=0.7)


def draw(step):
    """Move the states."""
    dots.set_data(*flow[:, step].T)
    ax.set_title(f"step {step}")
    return (dots,)


film = FuncAnimation(figure, draw, frames=20, interval=150)
plt.show()

# %%
# Labels, posteriors, densities
# -----------------------------
# `predict` says which memory has the largest posterior at the row itself,
# `predict_proba` what all have, `score_samples` the log density, `retrieve` where the
# state ends. A row between two memories:

between = [[2.5, 0.4]]
print("label     ", clam.predict(between))
print("posterior ", clam.predict_proba(between).round(2))
print("density   ", np.exp(clam.score_samples(between)).round(4))
print("ends at   ", clam.retrieve(between).round(2))

# %%
# Learning: dig the wells where the rows are
# ------------------------------------------
# The memories are parameters. `CLAMClusterer` starts each row as a state, runs ten
# steps, and lowers by gradient how far states have been carried from their rows: a
# memory in the wrong place carries its rows far. Good seeds decide more than learning
# does: over fifteen sets, learning from random rows came to an inertia 1.10 times that
# of KMeans in the median, from the default seeds to the same. Here beta is held fixed,
# without which losses could not be compared.

seeded = CLAMClusterer(3, random_state=0).fit(X)
fixed = {"n_clusters": 3, "beta": seeded.beta_, "n_init": 1}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for seed in range(8):
    start = CLAMClusterer(**fixed, init="random", random_state=seed).fit(X)
    ObjectiveDisplay.from_estimator(start, ax=left, color="0.6")
left.axhline(seeded.objective_, color=BLUE, linestyle="--")
left.plot([], color="0.6", label="from random rows, eight seeds")
left.plot([], color=BLUE, linestyle="--", label="from the default seeds")
left.legend()
left.set_title("Loss while learning")

first = X[clam.labels_ == 0][:3]
path = [first]
for n_iter in (1, 2, 3, 5, 8, 13, 21, 34):
    with warnings.catch_warnings():
        # A memory without a row is on its way.
        warnings.simplefilter("ignore", ConvergenceWarning)
        stage = CLAMClusterer(**fixed, init=first, max_iter=n_iter).fit(X)
    path.append(stage.cluster_centers_)
centers = np.stack(path)
right.plot(*X.T, ".", color="0.7", label="rows")
for k, colour in enumerate((BLUE, ORANGE, GREEN)):
    right.plot(*centers[:, k].T, "o-", color=colour, markersize=4)
    right.plot(
        *centers[-1, k], "s", color=colour, markersize=10, markeredgecolor="black"
    )
right.set(title="Three memories, from rows of one cluster", xlabel="x0", ylabel="x1")
plt.show()

# %%
# Memories can be looked at
# -------------------------
# A memory has the form of a row, so it can be shown as one. Ten memories of handwritten
# digits, the number of rows of each, and the three nearest ones:

digits = load_digits().data
pipeline = make_pipeline(StandardScaler(), CLAMClusterer(10, random_state=0))
pipeline.fit(digits)
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
MemoryDisplay.from_estimator(pipeline, digits, image_shape=(8, 8), ax=ax)
plt.show()

# %%
# And since memories are where states settle, a damaged row can be mended. Here the
# lower half of digits is hidden and given as NaN; what is seen is held fast, and the
# rest flows. The open four is taken for a nine: its upper half fits both.

shown = digits[[0, 1, 4, 7, 13, 16]]
damaged = shown.copy()
damaged[:, 32:] = np.nan
scaler, network = pipeline
mended = scaler.inverse_transform(network.retrieve(scaler.transform(damaged)))
figure, axes = plt.subplots(3, 6, figsize=(7, 3.9), layout="constrained")
for row, images, title in zip(
    axes, (shown, damaged, mended), ("digit", "shown", "retrieved"), strict=True
):
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(title)
plt.show()

# %%
# Three estimators, one network
# -----------------------------
# * :class:`~amcluster.CLAMClusterer` learns memories through the dynamics, as above.
# * :class:`~amcluster.CLAMELBOClusterer` makes the posterior itself the state, and
#   learns memories, weights, and radius or metric in closed form.
# * :class:`~amcluster.CRPAssociativeClusterer` adds a base measure, from which new
#   memories come when rows fit none.
#
# The formulas, and where the papers' needed correcting, are in
# :doc:`/guide/mathematics`.
