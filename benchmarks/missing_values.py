"""AssociativeImputer, and clustering rows with holes, beside scikit-learn's imputers.

    python benchmarks/missing_values.py [--data DIR ...] [--sets NAMES] [--seeds 3]
                                        [--rates 10 20 30] [--not-at-random]
                                        [--erroneous CELLS] [--time] [--json FILE]

The sets are those of quality.py; sets of more than three features are standardised, and
then 10, 20 and 30 % of the values hidden completely at random. --not-at-random hides as
many, but the probability that a value is hidden grows with its rank in its feature: the
least is almost never hidden, the greatest twice as often as the mean. Rows may lose all
their values, features do not. The holes of a seed are the same for all models.

Tables give the root mean squared error of what was hidden, each feature divided by its
standard deviation, the rank of that error among the imputers, and the seconds of
fit_transform; then the ARI of all rows with the classes, and the seconds of
the fit, for CLAMELBOClusterer with a learned metric fitted to the rows with holes, and
for KMeans(n_init=10) and the same CLAMELBOClusterer fitted to rows that an imputer has
filled, or that had no holes.

--erroneous 5 multiplies five known values of the table by 10 before the features are
standardised. What was hidden is scored on clean values, in units of clean features, and
there is no table of ARI.

--time fits 20000 rows of 8 blobs in 64 dimensions, 20 % hidden, instead, twice and in
turn. For times with one thread set OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=1.
"""

import argparse
import warnings
from itertools import product

import numpy as np
import pandas as pd
from common import hide, load_sets, make_blobs, raw_sets, timed, write
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from amcluster import AssociativeImputer, CLAMELBOClusterer

IMPUTERS = {
    "Associative": lambda seed: AssociativeImputer(random_state=seed),
    "Simple": lambda seed: SimpleImputer(),
    "KNN": lambda seed: KNNImputer(),
    "Iterative": lambda seed: IterativeImputer(random_state=seed),
}
CLUSTERERS = {
    "KMeans": lambda k, seed: KMeans(k, n_init=10, random_state=seed),
    "ELBO": lambda k, seed: CLAMELBOClusterer(k, metric="learned", random_state=seed),
}
WITH_HOLES = "ELBO with holes"


def root_mean_square(filled, X, holes):
    """Error of what was hidden, in standard deviations; constant features are out."""
    deviation = X.std(axis=0)
    varies = deviation > 0
    misses = (filled - X)[:, varies] / deviation[varies]
    return np.sqrt(np.square(misses[np.isnan(holes[:, varies])]).mean())


def measure_errors(X, holes, seed, fillings):
    """Errors and seconds of the imputers, whose tables go into `fillings`."""
    for name, make in IMPUTERS.items():
        fillings[name], seconds = timed(make(seed).fit_transform, holes)
        error = root_mean_square(fillings[name], X, holes)
        yield {"imputer": name, "RMSE": error, "seconds": seconds}


def measure(X, classes, holes, seed):
    """Errors and seconds of the imputers, and ARI of each clusterer on each filling."""
    fillings = {}
    yield from measure_errors(X, holes, seed, fillings)
    yield measure_ari("ELBO", holes, classes, seed, WITH_HOLES)
    for (name, filled), model in product(fillings.items(), CLUSTERERS):
        yield measure_ari(model, filled, classes, seed, f"{model} {name}")


def measure_ari(model, X, classes, seed, name):
    """ARI and seconds of a clusterer."""
    make = CLUSTERERS[model](len(np.unique(classes)), seed)
    labels, seconds = timed(make.fit_predict, X)
    ari = metrics.adjusted_rand_score(classes, labels)
    return {"model": name, "ARI": ari, "seconds": seconds}


def measure_set(name, X, classes, rates, n_seeds, not_at_random):
    """All rates and seeds on one set."""
    for seed in range(n_seeds):
        complete = [
            measure_ari(model, X, classes, seed, f"{model} no holes")
            for model in CLUSTERERS
        ]
        for rate in rates:
            holes = hide(X, rate / 100, seed, not_at_random)
            key = {"rate": rate, "set": name, "seed": seed}
            for result in [*measure(X, classes, holes, seed), *complete]:
                yield {**key, **result}


def measure_erroneous(name, X, n_cells, rates, n_seeds):
    """All rates and seeds on one set as it is, with erroneous cells."""
    for seed, rate in product(range(n_seeds), rates):
        holes = hide(X, rate / 100, seed)
        known = np.flatnonzero(~np.isnan(holes) & (X != 0))
        cells = np.random.default_rng(seed).choice(known, n_cells, replace=False)
        holes.flat[cells] *= 10
        clean = X
        if X.shape[1] > 3:
            scaler = StandardScaler().fit(holes)
            clean, holes = scaler.transform(X), scaler.transform(holes)
        for result in measure_errors(clean, holes, seed, {}):
            yield {"rate": rate, "set": name, "seed": seed, **result}


def measure_time(n_repeats=2):
    """Seconds of everything on large data, interleaved."""
    X = StandardScaler().fit_transform(make_blobs(8, 64, 3, seed=0, n_rows=20000)[0])
    holes = hide(X, 0.2, seed=0)
    fits = {
        "ELBO, no holes": (CLAMELBOClusterer(8, random_state=0).fit, X),
        "ELBO": (CLAMELBOClusterer(8, random_state=0).fit, holes),
        "ELBO metric, no holes": (CLUSTERERS["ELBO"](8, 0).fit, X),
        "ELBO metric": (CLUSTERERS["ELBO"](8, 0).fit, holes),
        "AssociativeImputer": (IMPUTERS["Associative"](0).fit_transform, holes),
        "IterativeImputer": (IMPUTERS["Iterative"](0).fit_transform, holes),
    }
    for repeat, (model, fit) in product(range(n_repeats), fits.items()):
        seconds = timed(*fit)[1]
        print(f"{model:24}{seconds:8.2f} s", flush=True)
        yield {"repeat": repeat, "model": model, "seconds": seconds}


def print_by_set(title, results, column, of):
    """A table of rates and sets, means over the seeds."""
    table = results.groupby(["rate", "set", of], sort=False)[column].mean()
    print(f"{title}\n{table.unstack(sort=False).round(3).to_string()}\n")


def report(results):
    """Tables by set, and over sets and seeds."""
    errors = results.dropna(subset="RMSE").copy()
    draws = errors.groupby(["rate", "set", "seed"], sort=False)
    errors["rank"] = draws["RMSE"].rank()
    errors["first"] = errors["rank"] == 1
    print_by_set("RMSE by set", errors, "RMSE", "imputer")
    over_all = errors.groupby(["rate", "imputer"], sort=False)
    table = over_all[["RMSE", "rank"]].mean()
    table["median"] = over_all["RMSE"].median()
    table[["first", "seconds"]] = over_all[["first", "seconds"]].sum()
    print("RMSE over sets and seeds; first and seconds in total")
    print(f"{table.round(3).to_string()}\n")
    if "ARI" in results:
        report_ari(results.dropna(subset="ARI"))


def report_ari(shares):
    """ARI by set, and over sets and seeds."""
    print_by_set("ARI by set", shares, "ARI", "model")
    over_all = shares.groupby(["model", "rate"], sort=False)
    table = over_all["ARI"].mean().unstack(sort=False)
    table["seconds"] = shares.groupby("model")["seconds"].mean()
    print("ARI over sets and seeds; mean seconds")
    print(table.round(3).to_string())


def report_time(results):
    """Median, least and most seconds."""
    by_model = results.groupby("model", sort=False)["seconds"]
    print(by_model.agg(["median", "min", "max"]).round(2).to_string())


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", action="append", default=[], help="folder of CSVs")
    parser.add_argument("--sets", help="names, comma-separated; all if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 20, 30])
    parser.add_argument("--not-at-random", action="store_true")
    parser.add_argument("--erroneous", type=int, default=0, help="number of cells")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--json", help="file for all the figures")
    arguments = parser.parse_args()

    warnings.simplefilter("ignore", ConvergenceWarning)
    iris = load_iris()
    holes = hide(iris.data, 0.2, seed=0)
    list(measure(iris.data, iris.target, holes, seed=0))  # compile first
    for rows in (iris.data, holes):
        CLAMELBOClusterer(3).fit(rows)
    if arguments.time:
        results = list(measure_time())
        report_time(pd.DataFrame(results))
    else:
        names = arguments.sets and arguments.sets.split(",")
        results = []
        erroneous, settings = arguments.erroneous, (arguments.rates, arguments.seeds)
        load = raw_sets if erroneous else load_sets
        for name, X, classes in load(arguments.data):
            if names and name not in names:
                continue
            if erroneous:
                results += measure_erroneous(name, X, erroneous, *settings)
            else:
                more = arguments.not_at_random
                results += measure_set(name, X, classes, *settings, more)
        report(pd.DataFrame(results))
    write(results, arguments.json)


if __name__ == "__main__":
    main()
