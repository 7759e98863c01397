"""Quality of CLAMClusterer beside KMeans and GaussianMixture, on labelled sets.

    python benchmarks/quality.py [--data DIR ...] [--seeds 5] [--outliers SPREAD]
                                 [--held-out] [--models NAMES] [--json FILE]

Scikit-learn's iris, wine, breast_cancer and digits, and every CSV of the folders given
with --data: features first, the class in a last column `label`. Sets of more than three
features are standardised. Models get the number of classes and never see the classes.
For each set and model the table gives means over the seeds; inertia and seconds are
relative to KMeans(n_init=10) with the same seed, timed in turn with the others.

--outliers adds 5 % of rows, uniform over SPREAD times the range of the features; models
are fitted to all rows and judged on the original ones. --held-out prints instead what
CLAMELBOClusterer gains in log density on a held-out third of the rows over the centers,
shares and radius of KMeans(n_init=10) in the same model.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from common import load_sets, write
from sklearn import datasets, metrics
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from amcluster import CLAMClusterer, CLAMELBOClusterer

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
    "ELBO": lambda k, seed: CLAMELBOClusterer(k, random_state=seed),
    "ELBO student_t": lambda k, seed: CLAMELBOClusterer(
        k, likelihood="student_t", random_state=seed
    ),
    "ELBO metric": lambda k, seed: CLAMELBOClusterer(
        k, metric="learned", random_state=seed
    ),
    **{
        f"ELBO {form}": lambda k, seed, form=form: CLAMELBOClusterer(
            k, covariance=form, random_state=seed
        )
        for form in ("spherical", "diagonal", "full")
    },
    "GMM spherical": lambda k, seed: GaussianMixture(
        k, covariance_type="spherical", n_init=10, random_state=seed
    ),
    "GMM tied": lambda k, seed: GaussianMixture(
        k, covariance_type="tied", n_init=10, random_state=seed
    ),
    "GMM full": lambda k, seed: GaussianMixture(
        k, covariance_type="full", n_init=10, random_state=seed
    ),
}


def with_outliers(X, spread, seed):
    """X and 5 % more rows, uniform over `spread` times its range."""
    low, high = X.min(axis=0), X.max(axis=0)
    middle, half = (low + high) / 2, spread * (high - low) / 2
    rng = np.random.default_rng(seed)
    size = (int(np.ceil(0.05 * len(X))), X.shape[1])
    return np.vstack([X, rng.uniform(middle - half, middle + half, size=size)])


def measure(model, fitted, X, classes, n_clusters):
    """Fit once, and what came of it on the rows of X."""
    start = time.perf_counter()
    model.fit(fitted)
    seconds = time.perf_counter() - start
    labels = model.predict(X)
    centers = getattr(model, "cluster_centers_", getattr(model, "means_", None))
    alive = np.unique(labels)
    silhouette = metrics.silhouette_score(X, labels) if len(alive) > 1 else np.nan
    return {
        "ARI": metrics.adjusted_rand_score(classes, labels),
        "NMI": metrics.normalized_mutual_info_score(classes, labels),
        "silhouette": silhouette,
        "inertia": np.square(X - centers[labels]).sum(),
        "lost": n_clusters - len(alive),
        "seconds": seconds,
    }


def measure_set(models, name, X, classes, n_seeds, outliers):
    """All models and seeds on one set, interleaved."""
    n_clusters = len(np.unique(classes))
    for seed in range(n_seeds):
        fitted = with_outliers(X, outliers, seed) if outliers else X
        results = {
            model: measure(make(n_clusters, seed), fitted, X, classes, n_clusters)
            for model, make in models.items()
        }
        of_reference = results[REFERENCE].copy()
        for model, result in results.items():
            result["inertia"] /= of_reference["inertia"]
            yield {"set": name, "model": model, "seed": seed, **result}


def measure_held_out(name, X, classes, n_seeds):
    """Gain in mean log density of held-out rows, in nats, for each seed."""
    n_clusters = len(np.unique(classes))
    for seed in range(n_seeds):
        train, test = train_test_split(X, test_size=1 / 3, random_state=seed)
        elbo = CLAMELBOClusterer(n_clusters, random_state=seed).fit(train)
        kmeans = KMeans(n_clusters, n_init=10, random_state=seed).fit(train)
        gain = elbo.score(test)
        elbo.cluster_centers_ = kmeans.cluster_centers_
        elbo.weights_ = np.bincount(kmeans.labels_, minlength=n_clusters) / len(train)
        elbo.beta_ = train.size / (2 * kmeans.inertia_)
        yield {"set": name, "seed": seed, "gain": gain - elbo.score(test)}


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
    parser.add_argument("--outliers", type=float, default=0, metavar="SPREAD")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", help="file for all the figures")
    parser.add_argument("--models", help="names, comma-separated; KMeans is added")
    arguments = parser.parse_args()
    models = MODELS
    if arguments.models:
        names = [REFERENCE, *arguments.models.split(",")]
        models = {name: MODELS[name] for name in dict.fromkeys(names)}

    warnings.simplefilter("ignore", ConvergenceWarning)
    for make in models.values():  # compile first
        make(3, 0).set_params(max_iter=2).fit(datasets.load_iris().data)
    results = []
    for name, X, classes in load_sets(arguments.data):
        if arguments.held_out:
            results += measure_held_out(name, X, classes, arguments.seeds)
        else:
            results += measure_set(
                models, name, X, classes, arguments.seeds, arguments.outliers
            )
    if arguments.held_out:
        gains = pd.DataFrame(results).groupby("set", sort=False)["gain"].mean()
        print(gains.round(3).to_string(), f"\nmean over sets {gains.mean():.3f}")
    else:
        report(pd.DataFrame(results))
    write(results, arguments.json)


if __name__ == "__main__":
    main()
