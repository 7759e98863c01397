"""
What each clusterer makes of eight shapes
=========================================

Shapes in the plane on which clusterers differ: round clusters of like and unlike
size, correlated features, clusters of different spread, outliers, crescents, rings and
spirals. Those without a memory or a mean for each cluster are told the number; CRP and
HDBSCAN find it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMClusterer, CLAMELBOClusterer, CRPAssociativeClusterer

rng = np.random.default_rng(0)


def with_outliers(rows, labels, number=25):
    """Add rows of no cluster."""
    outliers = rng.uniform(-3, 3, (number, 2)) * rows.std(axis=0) + rows.mean(axis=0)
    return np.vstack([rows, outliers]), np.append(labels, np.full(number, -1))


def spirals(number=1000):
    """Two arms that wind about each other."""
    angles = 0.5 + 3 * np.pi * np.sqrt(rng.uniform(size=number))
    arm = np.arange(number) % 2
    along = angles * np.array([np.cos(angles), np.sin(angles)])
    return (1 - 2 * arm[:, None]) * along.T + rng.normal(0, 0.3, (number, 2)), arm


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
    "rings": make_circles(1000, factor=0.5, noise=0.05, random_state=0),
    "spirals": spirals(),
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
        "CRP,\nvalleys": CRPAssociativeClusterer(merge="valley", random_state=0),
    }


# %%
# Numbers in the corners are the adjusted Rand index with the true clusters, over the
# rows that belong to one, and how many clusters were found by those that look for them.

COLOURS = np.array(["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"])
figure, axes = plt.subplots(
    *(len(shapes), len(models(1))), figsize=(11, 11.2), layout="constrained"
)
for i, (shape, (X, truth)) in enumerate(shapes.items()):
    X = StandardScaler().fit_transform(X)
    real = truth >= 0
    for ax, (name, model) in zip(axes[i], models(truth.max() + 1).items(), strict=True):
        labels = model.fit_predict(X)
        shades = np.where(labels < 0, "0.6", COLOURS[labels % len(COLOURS)])
        ax.scatter(*X.T, s=4, c=shades)
        text = f"{adjusted_rand_score(truth[real], labels[real]):.2f}"
        if name.startswith(("CRP", "HDBSCAN")):
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
# unlike spread need a covariance each, as in a Gaussian mixture and the CRP.
# With ``merge="valley"`` the CRP makes one cluster of the pieces between which rows are
# not fewer: crescents, rings and spirals. It takes enough rows for the pieces (600 to
# 800 of these rings), and makes one of clusters that overlap, so it is not the default.
# HDBSCAN takes any shape and leaves outliers out, and needs a gap between clusters.
