"""Data that tests of several folders draw, and the names of sets that they read."""

import numpy as np

REAL_SETS = ("iris", "wine", "breast_cancer", "digits")


def hide(X, rate, seed=0):
    """X with NaN in the place of so many of its values, wherever they are."""
    holes = np.random.default_rng(seed).random(X.shape) < rate
    return np.where(holes, X.dtype.type(np.nan), X)


def clear_blobs(n_clusters, n_features, n_rows=400, distance=8.0, seed=0):
    """Unit blobs whose nearest centers are at the given distance."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(size=(n_clusters, n_features))
    gaps = np.linalg.norm(centers[:, None] - centers, axis=2)
    centers *= distance / gaps[np.triu_indices(n_clusters, 1)].min()
    y = rng.permutation(n_rows) % n_clusters
    return centers[y] + rng.normal(size=(n_rows, n_features)), y
