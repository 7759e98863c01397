"""ModeClusterer beside MeanShift, HDBSCAN and CRPAssociativeClusterer.

    python benchmarks/modes.py [--data DIR ... | --time | --density] [--json FILE]

With --data, ARI and the number of clusters on every CSV of the folders with two or
three features and the class in a last column `label`. MeanShift has twice the bandwidth
of ModeClusterer, about as wide as its Gaussian kernel; HDBSCAN has its defaults and one
row in a hundred as the smallest cluster. --time fits 100 000 rows of 20 groups in 2 and
in 10 dimensions; MeanShift has bins and the same bandwidth, and is timed in the same
process. --density gives seconds of log densities of as many rows beside KernelDensity,
which has a leaf for all rows and is exact then, and the largest difference. For times
with one thread set OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=1.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from common import draw, raw_sets, timed, write
from sklearn.cluster import HDBSCAN, MeanShift
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KernelDensity

from amcluster import CRPAssociativeClusterer, ModeClusterer

SKLEARN_SETS = 4  # which `raw_sets` has first
N_ROWS, N_GROUPS = 100_000, 20
DENSITIES = (1000, 2), (4000, 2), (4000, 10)  # rows, features


def measure_set(name, X, classes):
    """ARI and number of clusters of each model on one set."""
    modes = ModeClusterer(random_state=0).fit(X)
    one_in_100 = max(5, len(X) // 100)
    models = {
        "ModeClusterer": modes,
        "without merging": ModeClusterer(modes.bandwidth_, significance=0),
        "MeanShift": MeanShift(bandwidth=2 * modes.bandwidth_),
        "HDBSCAN": HDBSCAN(copy=True),
        "HDBSCAN 1 %": HDBSCAN(min_cluster_size=one_in_100, copy=True),
        "CRP": CRPAssociativeClusterer(random_state=0),
    }
    for model, estimator in models.items():
        labels = estimator.fit_predict(X)
        yield {
            "set": name,
            "classes": len(np.unique(classes)),
            "model": model,
            "ARI": adjusted_rand_score(classes, labels),
            "clusters": len(np.unique(labels[labels >= 0])),
        }


def quality(folders):
    """A table of all sets, and means."""
    figures = []
    for number, (name, X, classes) in enumerate(raw_sets(folders)):
        if number >= SKLEARN_SETS and X.shape[1] in (2, 3):
            figures += measure_set(name, X, classes)
    table = pd.DataFrame(figures)
    print(table.pivot(index=["set", "classes"], columns="model", values="clusters"))
    table = table.pivot(index="set", columns="model", values="ARI")
    print(table.round(3), table.mean().round(3), sep="\n")
    return figures


def times(n_features):
    """Seconds of a second fit, the first having loaded kernels, and of MeanShift's."""
    X = draw(N_ROWS, n_features, N_GROUPS, "float64")
    ModeClusterer(random_state=0).fit(X)
    modes, seconds = timed(ModeClusterer(random_state=0).fit, X)
    flat = MeanShift(bandwidth=modes.bandwidth_, bin_seeding=True)
    flat, of_flat = timed(flat.fit, X)
    row = {
        "features": n_features,
        "clusters": modes.n_clusters_,
        "seconds": seconds,
        "MeanShift": of_flat,
        "its clusters": len(flat.cluster_centers_),
    }
    print(row, flush=True)
    return row


def density(n_rows, n_features):
    """Seconds of log densities, of the faster of three times."""
    X = draw(2 * n_rows, n_features, N_GROUPS, "float64")
    X, new = X[:n_rows], X[n_rows:]
    modes = ModeClusterer(0.5).fit(X)
    exact = KernelDensity(bandwidth=0.5, leaf_size=n_rows).fit(X)
    pairs = [
        (timed(modes.score_samples, new), timed(exact.score_samples, new))
        for _ in range(3)
    ]
    ours, theirs = (
        min(seconds for _, seconds in side) for side in zip(*pairs, strict=True)
    )
    (ours_of_rows, _), (theirs_of_rows, _) = pairs[0]
    row = {
        "rows": n_rows,
        "features": n_features,
        "seconds": ours,
        "KernelDensity": theirs,
        "difference": float(np.abs(ours_of_rows - theirs_of_rows).max()),
    }
    print(row, flush=True)
    return row


def main():
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", default=[])
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--density", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.time:
        figures = [times(n_features) for n_features in (2, 10)]
    elif options.density:
        figures = [density(*shape) for shape in DENSITIES]
    else:
        figures = quality(options.data)
    write(figures, options.json)


if __name__ == "__main__":
    main()
