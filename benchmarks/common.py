"""What the scripts share: sets, blobs, values to hide, the clock and the file.

None of them imports another; only speed.py hands over to gpu.py, if it is asked to.
"""

import json
import time
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import rankdata
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

SKLEARN_SETS = ("iris", "wine", "breast_cancer", "digits")
N_STEPS, STEP_SIZE = 10, 0.3  # of the dynamics whose speed is measured


def load_sets(folders):
    """Name, rows and classes of each set; more than three features are standardised."""
    for name, X, classes in raw_sets(folders):
        yield name, StandardScaler().fit_transform(X) if X.shape[1] > 3 else X, classes


def raw_sets(folders):
    """Name, rows and classes: scikit-learn's sets, then each CSV of the folders."""
    for name in SKLEARN_SETS:
        data = getattr(datasets, f"load_{name}")()
        yield name, data.data, data.target
    for folder in folders:
        import pandas as pd  # which scripts that measure speed do without

        for path in sorted(Path(folder).glob("*.csv")):
            table = pd.read_csv(path)
            yield path.stem, table.drop(columns="label").to_numpy(float), table["label"]


def hide(X, rate, seed, not_at_random=False):
    """X with NaN for `rate` of its values; no feature loses all.

    What a seed hides at a low rate is hidden at a higher one too.
    """
    chance = np.full(X.shape, rate)
    if not_at_random:
        chance *= 2 * rankdata(X, axis=0) / (len(X) + 1)
    rng = np.random.default_rng(seed)
    hidden = np.ones(X.shape, bool)
    while hidden.all(axis=0).any():
        hidden = rng.random(X.shape) < chance
    return np.where(hidden, np.nan, X)


def make_blobs(n_clusters, n_features, distance, seed, n_rows=2000):
    """Rows of unit Gaussians, their classes and centers.

    Centers are drawn uniformly in a cube that grows until they find room, and scaled so
    that the least distance of two is `distance`.
    """
    rng = np.random.default_rng(seed)
    side = distance * n_clusters ** (1 / n_features)
    centers = draw_centers(rng, n_clusters, n_features, distance, side)
    while centers is None:
        side *= 1.15
        centers = draw_centers(rng, n_clusters, n_features, distance, side)
    centers *= distance / pdist(centers).min()
    classes = np.arange(n_rows) % n_clusters
    X = centers[classes] + rng.normal(size=(n_rows, n_features))
    order = rng.permutation(n_rows)
    return X[order], classes[order], centers


def draw_centers(rng, n_clusters, n_features, distance, side):
    """Centers in a cube, no two nearer than `distance`; None if there is no room."""
    centers = np.empty((0, n_features))
    for _ in range(2000 * n_clusters):
        center = rng.uniform(-side / 2, side / 2, n_features)
        if (np.square(centers - center).sum(axis=1) >= distance**2).all():
            centers = np.vstack([centers, center])
        if len(centers) == n_clusters:
            return centers
    return None


def draw(n_rows, n_features, n_clusters, dtype):
    """Rows of Gaussians of unit variance, whose means are Gaussian with deviation 2."""
    rng = np.random.default_rng(0)
    means = 2 * rng.normal(size=(n_clusters, n_features))
    X = means[rng.integers(n_clusters, size=n_rows)]
    X += rng.normal(size=X.shape)
    return X.astype(dtype)


def timed(fit, *arguments):
    """What a function returns, and its seconds."""
    start = time.perf_counter()
    result = fit(*arguments)
    return result, time.perf_counter() - start


def write(figures, path):
    """Write figures to a JSON file, if one is asked for."""
    if path:
        Path(path).write_text(json.dumps(figures, indent=1))
