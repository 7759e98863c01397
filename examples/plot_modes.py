"""
Modes of a density
==================

`ModeClusterer` takes the rows for the memories of a network, whose energy is minus the
log of a kernel density, and has states flow from the rows to the modes. Not every mode
is a cluster: a density of few rows is rough. A valley counts if it is deeper than
`significance` times its standard error, which the number of rows there tells. The
bandwidth here is half of the one that is found, so that there is more to see.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from amcluster import ModeClusterer

centers = [[0, 0], [3.2, 0.5], [1.2, 3.2], [6.5, 4], [7, -2.5]]
spreads = [1, 0.8, 0.7, 1.2, 0.5]
X, _ = make_blobs(
    [240, 160, 120, 200, 80], 2, centers=centers, cluster_std=spreads, random_state=4
)

# %%
# Left every mode with five rows or more is a cluster; in the middle is the default;
# right a valley has to be four standard errors deep. Diamonds are modes that were
# kept, and crosses the passes of those that were not.

COLOURS = np.array(["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"])
low, high = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
grid = np.meshgrid(*(np.linspace(*ends, 120) for ends in zip(low, high, strict=True)))
places = np.column_stack([axis.ravel() for axis in grid])
figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained")
for ax, significance in zip(axes, (0.0, 0.5, 4.0), strict=True):
    modes = ModeClusterer(0.25, significance=significance).fit(X)
    heights = modes.score_samples(places).reshape(grid[0].shape)
    levels = heights.max() - np.arange(6, 0, -1) * 0.6
    ax.contour(
        *grid, heights, levels, colors="0.75", linewidths=0.8, linestyles="solid"
    )
    ax.scatter(*X.T, s=4, c=COLOURS[modes.labels_ % len(COLOURS)])
    kept = np.unique(modes.mode_labels_, return_index=True)[1]
    given_up = np.setdiff1d(np.arange(modes.n_modes_), kept)
    ax.plot(*modes.saddles_[given_up].T, "x", color="0.2", ms=5)
    ax.plot(*modes.cluster_centers_.T, "D", color="black", ms=6, mfc="white")
    found = f"{modes.n_clusters_} of {modes.n_modes_} modes are clusters"
    ax.set(xticks=[], yticks=[], title=f"significance={significance}: {found}")
    ax.title.set_fontsize("medium")
plt.show()
