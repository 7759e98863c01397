"""Quality of CLAMClusterer beside KMeans and GaussianMixture, on labelled sets.

    python benchmarks/quality.py [--data DIR ...] [--seeds 5] [--json FILE]

Scikit-learn's iris, wine, breast_cancer and digits, and every CSV of the folders given
with --data: features first, the class in a last column `label`. Sets of more than three
features are standardised. Models get the number of classes and never see the classes.
For each set and model the table gives means over the seeds; inertia and seconds are
relative to KMeans(n_init=10) with the same seed, timed in turn with the others.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets, metrics
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMClusterer

REFERENCE = "KMeans"
PUBLISHED = {
    "beta": 1.5,
    "init": "random",
    "mask_fraction": 0.2,
    "solver": "adam",
    "step_size": 0.1,
    "n_init": 1,
}
MODELS = {
    REFERENCE: lambda k, seed: KMeans(k, n_init=10, random_state=seed),
    "CLAM": lambda k, seed: CLAMClusterer(k, random_state=seed),
    "CLAM masked": lambda k, seed: CLAMClusterer(
        k, mask_fraction=0.2, random_state=seed
    ),
    "CLAM weighted": lambda k, seed: CLAMClusterer(
        k, weights="learned", random_state=seed
    ),
    "CLAM published": lambda k, seed: CLAMClusterer(k, **PUBLISHED, random_state=seed),
    "GMM spherical": lambda k, seed: GaussianMixture(
        k, covariance_type="spherical", n_init=10, random_state=seed
    ),
    "GMM tied": lambda k, seed: GaussianMixture(
        k, covariance_type="tied", n_init=10, random_state=seed
    ),
}


def load_sets(folders):
    """Name, rows and classes of each set."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        data = getattr(datasets, f"load_{name}")()
        yield name, data.data, data.target
    for folder in folders:
        for path in sorted(Path(folder).glob("*.csv")):
            table = pd.read_csv(path)
            yield path.stem, table.drop(columns="label").to_numpy(float), table["label"]


def measure(model, X, classes, n_clusters):
    """Fit once, and what came of it."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = model.fit(X).predict(X)
    seconds = time.perf_counter() - start
    alive = np.unique(labels)
    if hasattr(model, "inertia_"):
        inertia = model.inertia_
    else:
        inertia = np.square(X - model.means_[labels]).sum()
    silhouette = metrics.silhouette_score(X, labels) if len(alive) > 1 else np.nan
    return {
        "ARI": metrics.adjusted_rand_score(classes, labels),
        "NMI": metrics.normalized_mutual_info_score(classes, labels),
        "silhouette": silhouette,
        "inertia": inertia,
        "lost": n_clusters - len(alive),
        "seconds": seconds,
    }


def measure_set(name, X, classes, n_seeds):
    """All models and seeds on one set, interleaved."""
    if X.shape[1] > 3:
        X = StandardScaler().fit_transform(X)
    n_clusters = len(np.unique(classes))
    for seed in range(n_seeds):
        results = {
            model: measure(make(n_clusters, seed), X, classes, n_clusters)
            for model, make in MODELS.items()
        }
        of_reference = results[REFERENCE].copy()
        for model, result in results.items():
            result["inertia"] /= of_reference["inertia"]
            result["time"] = result["seconds"] / of_reference["seconds"]
            yield {"set": name, "model": model, "seed": seed, **result}


def report(results):
    """Tables by set, and over all sets."""
    columns = ["ARI", "NMI", "silhouette", "inertia", "lost", "seconds"]
    by_set = results.groupby(["set", "model"], sort=False)[columns].mean()
    print(by_set.round({"inertia": 4, "lost": 1}).round(3).to_string())
    over_all = results.groupby("model", sort=False)
    table = over_all[["ARI", "NMI", "silhouette"]].mean()
    table["inertia median"] = over_all["inertia"].median()
    table["inertia worst"] = over_all["inertia"].max()
    table["lost"] = over_all["lost"].sum()
    total = over_all["seconds"].sum()
    table["time"] = total / total[REFERENCE]
    print("\nOver all sets and seeds; lost clusters and time in total")
    print(table.round(4).to_string())


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", action="append", default=[], help="folder of CSVs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", help="file for all the figures")
    arguments = parser.parse_args()

    X = datasets.load_iris().data
    for make in MODELS.values():  # compile first
        make(3, 0).set_params(max_iter=2).fit(X)
    results = []
    for name, X, classes in load_sets(arguments.data):
        results += measure_set(name, X, classes, arguments.seeds)
    report(pd.DataFrame(results))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
