r"""
Soft assignments and uncertainty
================================

`predict_proba` is the posterior of each memory given a row. This page shows how to read
it, how it settles in the network, and when to believe it.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import entropy
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_iris

from amcluster import AssignmentDisplay, CLAMClusterer, CLAMELBOClusterer

X = load_iris().data
elbo = CLAMELBOClusterer(3, random_state=0).fit(X)
posterior = elbo.predict_proba(X)
doubtful = posterior.max(axis=1) < 0.9
print(f"{doubtful.sum()} of {len(X)} rows have no posterior of 0.9 or more")
print("the least certain one:", posterior[posterior.max(axis=1).argmin()].round(3))

# %%
# The entropy of a posterior, in nats, is one number for how uncertain a row is: 0 if it
# is certain, log 3 = 1.1 if three memories are alike to it. Large, on the map, are the
# rows to look at by hand.

uncertainty = entropy(posterior, axis=1)
order = uncertainty.argsort()  # the uncertain ones on top
figure, ax = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
points = ax.scatter(
    *X[order, 2:].T,
    **{"c": uncertainty[order], "s": 15 + 60 * uncertainty[order], "cmap": "viridis_r"},
    edgecolor="0.3",
    linewidth=0.4,
)
ax.plot(*elbo.cluster_centers_[:, 2:].T, "ks", markersize=9, label="memory")
figure.colorbar(points, label="entropy of the posterior (nats)")
ax.set(xlabel="petal length (cm)", ylabel="petal width (cm)")
ax.legend()
plt.show()

# %%
# A posterior settles
# -------------------
# In CLAM+ELBO the posterior is the state of the network. It starts uniform, and its
# free energy
#
# .. math:: E(q) = \sum_k q_k \bigl( \log q_k - \log p(x, z = k) \bigr)
#
# falls until q is the posterior. Left, the entropies of all rows; right, the least
# certain one, between two kinds of iris.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
AssignmentDisplay.from_estimator(elbo, X, n_steps=10, ax=left)
AssignmentDisplay.from_estimator(
    elbo, X, n_steps=10, row=int(uncertainty.argmax()), ax=right
)
plt.show()

# %%
# Believe it?
# -----------
# A posterior is as good as its model. Where the rows really come from the model, those
# given 0.7 should be right seven times in ten. Two overlapping clusters of unlike size,
# drawn from a known mixture:

rng = np.random.default_rng(0)
truth = (rng.random(20000) < 0.2).astype(int)
shapes = {
    "round": np.eye(2),
    "elongated": np.array([[1.5, 0.0], [0.0, 0.8]]),
}
models = {
    "CLAM": CLAMClusterer(2, random_state=0),
    "CLAM+ELBO": CLAMELBOClusterer(2, random_state=0),
    "CLAM+ELBO, metric": CLAMELBOClusterer(2, metric="learned", random_state=0),
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True, layout="constrained")
for ax, (shape, spread) in zip(axes, shapes.items(), strict=True):
    centers = np.array([[0.0, 0.0], [0.0, 2.5]])
    rows = centers[truth] + rng.normal(size=(len(truth), 2)) @ spread
    ax.plot([0, 1], [0, 1], color="0.7")
    for (name, model), style in zip(models.items(), ("s--", "o-", "D:"), strict=True):
        model.fit(rows)
        small = model.cluster_centers_[:, 1].argmax()
        claimed = model.predict_proba(rows)[:, small]
        right, said = calibration_curve(truth, claimed, n_bins=10)
        ax.plot(said, right, style, label=name)
    ax.set(title=f"{shape} clusters", xlabel="posterior of the small cluster")
axes[0].set_ylabel("part of the rows that belong to it")
axes[0].legend()
plt.show()

# %%
# CLAM takes clusters to be equally likely and sets beta as if they did not overlap: its
# posteriors rank rows well and say too much. `CLAMELBOClusterer` learns weights and
# beta and is calibrated where clusters are round. Elongated ones it cuts the other way,
# so that its posteriors say nothing of the truth; they need ``metric="learned"``. On
# real data no posterior is calibrated by itself: compare with labels where you have
# some.
