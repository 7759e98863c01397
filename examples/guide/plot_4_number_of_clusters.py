r"""
An unknown number of clusters
=============================

`CRPAssociativeClusterer` is not told how many clusters there are. A Chinese restaurant
process says how likely one more is, and each memory must earn its cost in likelihood.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from amcluster import CLAMELBOClusterer, CRPAssociativeClusterer, ObjectiveDisplay

X, classes = make_blobs(800, centers=8, cluster_std=0.9, random_state=4)
crp = CRPAssociativeClusterer(random_state=0).fit(X)
print(
    f"{crp.n_clusters_} memories, ARI {adjusted_rand_score(classes, crp.labels_):.3f}"
)

# %%
# One path from fine to coarse
# ----------------------------
# The fit begins with far too many memories of one covariance, and merges the nearest
# pairs. From where that ends memories have covariances of their own, and pairs are
# merged down to one. `runs_` keeps the objective of every number on that way: look at
# it before you trust a number. A sharp minimum is a clear answer; a flat one says that
# several would do, as here, where two of the eight blobs are as good as one.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
ObjectiveDisplay.from_estimator(crp, kind="runs", ax=left)
left.set(xlim=(0, 12), ylim=(crp.objective_ - 0.1, crp.objective_ + 1.5))
palette = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
right.scatter(*X.T, c=[palette[label % 7] for label in crp.labels_], s=6)
right.plot(*crp.cluster_centers_.T, "ks", markeredgecolor="white")
right.set(title=f"{crp.n_clusters_} memories", xlabel="x0", ylabel="x1")
plt.show()

# %%
# The concentration hardly matters
# --------------------------------
# `concentration` is the prior weight of a new memory, but a factor of ten costs a
# memory 2.3 nats, where clear clusters are worth hundreds. It matters for doubtful
# ones: two of the eight overlap so much that one ellipsoid may hold them.
# `min_cluster_size` dissolves memories of fewer rows.

for concentration in (1e-9, 1e-6, 1e-3, 1):
    crp = CRPAssociativeClusterer(concentration=concentration, random_state=0).fit(X)
    print(f"concentration {concentration:5g}: {crp.n_clusters_} clusters")

# %%
# Other ways to a number
# ----------------------
# `CLAMELBOClusterer` has a BIC, and its held-out score can be searched: see
# :ref:`sphx_glr_auto_examples_plot_grid_search.py`.

numbers = np.arange(4, 13)
bic = [CLAMELBOClusterer(k, random_state=0).fit(X).bic(X) for k in numbers]
print("lowest BIC at", numbers[np.argmin(bic)], "memories")

# %%
# When it goes wrong
# ------------------
# Memories are ellipsoids. A curved cluster is cut into several; many memories with
# touching borders are the sign. Clusters of any shape are for HDBSCAN.

moons, sides = make_moons(600, noise=0.06, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, model in zip(
    axes,
    (CRPAssociativeClusterer(random_state=0), HDBSCAN(min_cluster_size=15, copy=True)),
    strict=True,
):
    labels = model.fit_predict(moons)
    ari = adjusted_rand_score(sides, labels)
    ax.scatter(*moons.T, c=[palette[label % 7] for label in labels], s=6)
    name = type(model).__name__.replace("AssociativeClusterer", "")
    ax.set_title(f"{name}: {labels.max() + 1} found, ARI {ari:.2f}")
    ax.set_xlabel("x0")
axes[0].set_ylabel("x1")
plt.show()

# %%
# The number of classes in a labelled set is not the number of clusters in it, either:
# on breast_cancer, with two classes, four or five memories are found. The
# :doc:`benchmarks </benchmarks>` have the numbers found on fifteen sets and sixty sets
# of blobs, where the exact one was found on all.
