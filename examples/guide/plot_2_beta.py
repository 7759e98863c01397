r"""
Choosing beta
=============

The inverse temperature :math:`\beta` says how wide a memory is: rows spread about it
with variance :math:`1 / (2 \beta)` in each direction. Its unit is 1/length², so a value
means nothing before the scale of X is known: 1.5 may be just right for rows in metres,
and blurs everything for the same rows in kilometres. All estimators set
it from the data by default; this page shows what it does, for when you set it yourself.
"""

import warnings
from copy import copy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score

from amcluster import CLAMClusterer, CLAMELBOClusterer, EnergyLandscapeDisplay

X, classes = make_blobs(
    300, centers=[[0, 0], [4, 0], [2, 3.5]], cluster_std=1.0, random_state=0
)
clam = CLAMClusterer(3, random_state=0).fit(X)
auto = clam.beta_
print(f"beta_ = {auto:.2f}, so the radius 1/sqrt(2 beta) is {(2 * auto) ** -0.5:.2f}")

# %%
# Too small, and wells merge: states flow to a point between the memories, and the
# posterior is nearly uniform. Too large, and each memory is a pin-prick in a flat
# plane: labels are those of KMeans and every posterior is 0 or 1.

figure, axes = plt.subplots(
    1, 3, figsize=(12, 4), sharex=True, sharey=True, layout="constrained"
)
for ax, factor in zip(axes, (0.15, 1, 10), strict=True):
    network = copy(clam)  # the same memories, at another temperature
    network.beta_ = factor * auto
    EnergyLandscapeDisplay.from_estimator(
        network, X, starts=X[::25], n_steps=60, step_size=1.0, ax=ax
    )
    certain = network.predict_proba(X).max(axis=1).mean()
    ax.set_title(f"{factor:g} times beta_\nmean of the largest posterior {certain:.2f}")
plt.show()

# %%
# Let held-out rows choose
# ------------------------
# `score` has the normaliser :math:`\frac{D}{2} \log \frac{\beta}{\pi}`, so that it can
# be compared between values of beta (an *energy* cannot: it always prefers one end).
# The default of `CLAMClusterer` is the best value if every row belongs wholly to its
# nearest memory, and so somewhat sharp where clusters overlap; `CLAMELBOClusterer`
# learns the best one.

factors = np.geomspace(0.05, 20, 21)
scores, agreement = [], []
for factor in factors:
    network = CLAMClusterer(3, beta=factor * auto, random_state=0)
    with warnings.catch_warnings():
        # For the smallest, memories merge, and the fit says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores.append(cross_val_score(network, X).mean())
        agreement.append(adjusted_rand_score(classes, network.fit(X).labels_))
learned = CLAMELBOClusterer(3, random_state=0).fit(X).beta_

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.semilogx(factors * auto, scores, "o-", color="#0072B2", markersize=4)
ax.axvline(auto, color="#E69F00", linestyle="--", label="CLAM's default")
ax.axvline(
    learned, color="#009E73", linestyle=":", linewidth=2, label="learned by ELBO"
)
ax.set(xlabel="beta (1/length²)", ylabel="held-out log density (nats per row)")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# Labels care much less than densities and posteriors do. Over this range of a factor of
# 400 they agree with the classes equally well:

for factor, ari in zip(factors[::4], agreement[::4], strict=False):
    print(f"beta {factor * auto:6.3f}   ARI {ari:.3f}")

# %%
# In short
# --------
# * Leave ``beta="auto"`` unless you have a reason.
# * For calibrated posteriors use :class:`~amcluster.CLAMELBOClusterer`, whose beta is
#   learned; see the next page.
# * If you set it, think of a radius r in the units of X and give ``1 / (2 * r**2)``, or
#   search a grid of factors of the fitted `beta_`.
# * Never compare energies of different beta, nor scores of differently scaled X.
