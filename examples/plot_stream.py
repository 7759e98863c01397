"""
A stream, and a kind of data never seen before
==============================================

Two kinds of data arrive in batches, then a third. The network is asked before it learns
each batch how novel the rows are; then it follows the stream, and a memory is made when
the first rows of the third kind come.
"""

import matplotlib.pyplot as plt
import numpy as np

from amcluster import CRPAssociativeClusterer

rng = np.random.default_rng(0)
KINDS = np.array([[-4.0, 0.0], [3.0, 3.0], [4.0, -5.0]])


def batch(n_kinds, size=50):
    """Rows of the first kinds in random order."""
    return rng.normal(KINDS[rng.integers(0, n_kinds, size)], 1.0)


# %%
# Follow the stream
# -----------------
# Twenty batches of two kinds, then twenty of three. Novelty is the posterior mass of a
# new memory, here the mean over the rows of a batch that is about to be learned.

crp = CRPAssociativeClusterer(random_state=0).partial_fit(batch(2))
n_memories, novelty, landscapes = [], [], []
for step in range(40):
    rows = batch(2 if step < 20 else 3)
    novelty.append(crp.novelty(rows).mean())
    if step == 20:
        third = rows[np.linalg.norm(rows - KINDS[2], axis=1) < 4]
    crp.partial_fit(rows)
    n_memories.append(crp.n_clusters_)
    if step in (19, 39):
        side = np.linspace(-10, 10, 201)
        plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        owner = np.where(crp.novelty(plane) > 0.5, -1, crp.predict(plane))
        grids = [values.reshape(201, 201) for values in (crp.energy(plane), owner)]
        landscapes.append((*grids, crp.cluster_centers_, crp.base_mean_))
    if step in (19, 20, 39):
        print(
            f"batch {step + 1}: {n_memories[-1]} memories,"
            f" mean novelty before it was learned {novelty[-1]:.3f}"
        )

# %%
# Look
# ----
# The energy landscape before and after: lines of equal energy, the rows that each
# memory would take (colours) and those that a new memory would (white).

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
titles = "20 batches of two kinds", "20 batches more, with a third kind"
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"]
for ax, title, (energy, owner, centers, base) in zip(
    axes, titles, landscapes, strict=False
):
    colours = ["white", *COLOURS[: len(centers)]]
    edges = np.arange(len(centers) + 2) - 1.5
    ax.contourf(side, side, owner, edges, colors=colours, alpha=0.35)
    ax.contour(side, side, energy, levels=14, colors="0.45", linewidths=0.7)
    ax.plot(*centers.T, "ks", label="memory")
    ax.plot(*base, "k+", markersize=12, label="base measure")
    ax.set(title=title, xlabel="first feature", ylabel="second feature", aspect="equal")
axes[0].plot(*third.T, "kx", label="first rows of the third kind")
axes[0].legend(loc="lower left", fontsize="small")
batches = np.arange(1, 41)
axes[2].step(batches, n_memories, where="mid", color=COLOURS[0], label="memories")
axes[2].plot(batches, novelty, color=COLOURS[1], label="mean novelty of the batch")
axes[2].axvline(20.5, color="0.6", linestyle=":")
axes[2].set(xlabel="batch", title="What the network tells", ylim=(-0.1, 3.6))
axes[2].legend(loc="upper left")

plt.show()
