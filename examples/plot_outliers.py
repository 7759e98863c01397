"""
Outliers pull less on a robust likelihood
=========================================

Scikit-learn's breast cancer data, standardised, with 5 % of rows added that are uniform
over twice the range of the features. KMeans and a Gaussian likelihood let a memory be
drawn away by the outliers; a Student-t likelihood, which learns from robust seeds too,
keeps its memories among the original rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMELBOClusterer

data = load_breast_cancer()
X = StandardScaler().fit_transform(data.data)
low, high = X.min(axis=0), X.max(axis=0)
middle, half = (low + high) / 2, high - low
rng = np.random.default_rng(0)
outliers = rng.uniform(middle - half, middle + half, size=(len(X) // 20, X.shape[1]))
rows = np.vstack([X, outliers])

# %%
# Fit to all rows, compare on the original ones
# ---------------------------------------------

models = {
    "KMeans": KMeans(2, n_init=10, random_state=0),
    "Gaussian likelihood": CLAMELBOClusterer(2, random_state=0),
    "Student-t likelihood": CLAMELBOClusterer(
        2, likelihood="student_t", random_state=0
    ),
}
labels = {name: model.fit(rows).predict(X) for name, model in models.items()}
scores = {name: adjusted_rand_score(data.target, labels[name]) for name in models}
for name, score in scores.items():
    print(f"{name:22} ARI {score:.3f}")

# %%
# Look
# ----
# The two first principal components of the original rows; the outliers are farther
# away than this plane shows.

pca = PCA(2).fit(X)
plane = pca.transform(X)
far = pca.transform(outliers)
figure, axes = plt.subplots(
    1, 3, figsize=(11, 4), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    # Colour the cluster with more malignant rows the same way everywhere.
    malignant = np.argmin([data.target[labels[name] == k].mean() for k in (0, 1)])
    colours = np.where(labels[name] == malignant, "tab:orange", "tab:blue")
    ax.scatter(*far.T, marker="x", color="0.6", label="outlier")
    ax.scatter(*plane.T, s=8, c=colours)
    centers = pca.transform(model.cluster_centers_)
    ax.scatter(*centers.T, marker="s", color="black", label="memory")
    ax.set_title(f"{name}: ARI {scores[name]:.2f}")
    ax.set_xlabel("first principal component")
axes[0].set_ylabel("second principal component")
axes[0].legend(loc="upper left")

plt.show()
