"""
Quickstart: digits as memories
==============================

Scikit-learn's handwritten digits, standardised in a Pipeline and clustered by an
associative memory beside KMeans and a Gaussian mixture. The figure shows the memories
as images, and a few digits with the states they flow to under the dynamics.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMClusterer

N_CLUSTERS = 10
digits = load_digits()
X, classes = digits.data, digits.target

# %%
# Fit
# ---
# The first fit of an installation compiles the kernels; the seconds below are those of
# a second one.

pipelines = {
    name: make_pipeline(StandardScaler(), model)
    for name, model in {
        "CLAMClusterer": CLAMClusterer(N_CLUSTERS, random_state=0),
        "KMeans": KMeans(N_CLUSTERS, n_init=10, random_state=0),
        "GaussianMixture": GaussianMixture(
            N_CLUSTERS, covariance_type="spherical", n_init=3, random_state=0
        ),
    }.items()
}
pipelines["CLAMClusterer"].fit(X[:100])
seconds = {}
for name, pipeline in pipelines.items():
    start = time.perf_counter()
    pipeline.fit(X)
    seconds[name] = time.perf_counter() - start

# %%
# Compare
# -------
# ARI and NMI compare the clusters with the ten digits, which no model has seen;
# silhouette and inertia judge the clusters by themselves, in the standardised space.

Z = StandardScaler().fit_transform(X)


def inertia(labels):
    """Sum of squared distances to the means of the clusters."""
    return sum(
        np.square(Z[labels == k] - Z[labels == k].mean(axis=0)).sum()
        for k in np.unique(labels)
    )


print(f"{'':16}{'ARI':>8}{'NMI':>8}{'silhouette':>12}{'inertia':>10}{'seconds':>9}")
for name, pipeline in pipelines.items():
    labels = pipeline.predict(X)
    ari = metrics.adjusted_rand_score(classes, labels)
    nmi = metrics.normalized_mutual_info_score(classes, labels)
    silhouette = metrics.silhouette_score(Z, labels)
    print(
        f"{name:16}{ari:8.3f}{nmi:8.3f}{silhouette:12.3f}{inertia(labels):10.0f}"
        f"{seconds[name]:9.2f}"
    )

# %%
# Look
# ----
# Above, the memories. Below, one digit a row: the digit, its state after two, four and
# ten steps, and the state at rest, with the posterior of its label.

scaler, clam = pipelines["CLAMClusterer"]
memories = scaler.inverse_transform(clam.cluster_centers_)
shown = [int(np.flatnonzero(classes == digit)[3]) for digit in (0, 3, 6, 9)]
rows = scaler.transform(X[shown])
states = clam.trajectory(rows, n_steps=10)[:, [0, 2, 4, 10]]
states = np.concatenate([states, clam.retrieve(rows)[:, None]], axis=1)
titles = ["digit", "2 steps", "4 steps", "10 steps", "at rest"]

figure = plt.figure(figsize=(10, 4.6), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=[1.5, 3])


def show(ax, image, title):
    """Draw one image of 8 x 8 pixels without ticks."""
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="small")


sizes = np.bincount(clam.labels_, minlength=N_CLUSTERS)
top.suptitle("Ten memories, and how many digits each holds")
for ax, memory, size in zip(top.subplots(1, 10), memories, sizes, strict=True):
    show(ax, memory, size)

bottom.suptitle("Digits flow to memories")
axes = bottom.subplots(2, 11, width_ratios=[1] * 5 + [0.3] + [1] * 5)
for ax in axes[:, 5]:
    ax.set_axis_off()
proba = clam.predict_proba(rows).max(axis=1)
for i, images in enumerate(states):
    block = axes[i // 2, 6 * (i % 2) :][:5]
    for ax, state, title in zip(block, images, titles, strict=True):
        show(ax, scaler.inverse_transform(state[None]), title)
    block[-1].set_xlabel(f"p = {proba[i]:.3f}", fontsize="small")

# sphinx_gallery_start_ignore
if plt.get_backend().lower() == "agg":
    figure.savefig("quickstart.png", dpi=120)
    print("Figure saved as quickstart.png")
else:
    plt.show()
# sphinx_gallery_end_ignore
