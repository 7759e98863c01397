"""
What each clusterer makes of six shapes
=======================================

Shapes in the plane on which clusterers differ: round clusters of like and unlike
size, correlated features, clusters of different spread, outliers, and crescents. Those
without a memory or a mean for each cluster are told the number; CRP and HDBSCAN find
it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMClusterer, CLAMELBOClusterer, CRPAssociativeClusterer

rng = np.random.default_rng(0)


def with_outliers(rows, labels, number=25):
    """Add rows of no cluster."""
    outliers = rng.uniform(-3, 3, (number, 2)) * rows.std(axis=0) + rows.mean(axis=0)
    return np.vstack([rows, outliers]), np.append(labels, np.full(number, -1))


round_ones = make_blobs(400, centers=4, cluster_std=0.8, random_state=1)
unlike = make_blobs([330, 40, 30], centers=[[0, 0], [4, 1], [2, 4.5]], random_state=0)
tilted = make_blobs(400, centers=3, random_state=170)
shapes = {
    "round": round_ones,
    "unlike sizes": unlike,
    "correlated": (tilted[0] @ [[0.6, -0.6], [-0.4, 0.8]], tilted[1]),
    "unlike spreads": make_blobs(
        400,
        centers=[[0, 0], [5, 0], [1, 5]],
        cluster_std=[0.3, 1.5, 0.8],
        random_state=0,
    ),
    "outliers": with_outliers(*round_ones),
    "crescents": make_moons(400, noise=0.06, random_state=0),
}


def models(k):
    """The clusterers; k is the number of true clusters."""
    return {
        "KMeans": KMeans(k, n_init=10, random_state=0),
        "Gaussian\nmixture, full": GaussianMixture(k, n_init=5, random_state=0),
        "HDBSCAN": HDBSCAN(min_cluster_size=15, copy=True),
        "CLAM": CLAMClusterer(k, random_state=0),
        "CLAM+ELBO": CLAMELBOClusterer(k, random_state=0),
        "CLAM+ELBO,\nmetric, t": CLAMELBOClusterer(
            k, metric="learned", likelihood="student_t", random_state=0
        ),
        "CRP": CRPAssociativeClusterer(random_state=0),
    }


# %%
# Numbers in the corners are the adjusted Rand index with the true clusters, over the
# rows that belong to one, and how many clusters were found by those that look for them.

COLOURS = np.array(["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"])
figure, axes = plt.subplots(
    *(len(shapes), len(models(1))), figsize=(11, 9.6), layout="constrained"
)
for i, (shape, (X, truth)) in enumerate(shapes.items()):
    X = StandardScaler().fit_transform(X)
    real = truth >= 0
    for ax, (name, model) in zip(axes[i], models(truth.max() + 1).items(), strict=True):
        labels = model.fit_predict(X)
        shades = np.where(labels < 0, "0.6", COLOURS[labels % len(COLOURS)])
        ax.scatter(*X.T, s=4, c=shades)
        text = f"{adjusted_rand_score(truth[real], labels[real]):.2f}"
        if name in ("CRP", "HDBSCAN"):
            text += f", {labels.max() + 1} found"
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        ax.text(0.97, 0.03, text, transform=ax.transAxes, ha="right", bbox=box)
        ax.set(xticks=[], yticks=[])
        if i == 0:
            ax.set_title(name, fontsize="medium")
    axes[i, 0].set_ylabel(shape)
plt.show()

# %%
# Memories are round in one metric, so crescents are cut into pieces, and clusters of
# unlike spread are for a Gaussian mixture with a covariance each. HDBSCAN takes any
# shape and leaves outliers out, and needs a gap between clusters.
