"""SphericalCLAMClusterer beside KMeans on texts, embeddings and made tables.

    python benchmarks/text.py [--data [DIR ...] | --time | --memory | --functions]
                              [--seeds 5] [--json FILE]

By default, and with --data, ARI of texts: each .tsv of the folders is a set, a line of
which is a label, a tab and a text; without folders it is scikit-learn's 20 newsgroups,
which a network has to be there for. Texts are tf-idf rows of words that are in five of
them at least, without any further choice, and embeddings of 100 features from these by
TruncatedSVD. The number of classes is given. KMeans has the same rows, of length 1.
Each model has one start and ten; seconds are those of the fit. --time fits the sparse
rows of the folders given with it, and 100 000 dense rows of 384 features in float32 and
float64, from one start with each seed, in turn. --memory gives the peak of memory
beyond X for 10^6 sparse rows of 100 features. --functions gives the greatest errors of
the normaliser and the mean resultant length against mpmath. For times with one thread
set OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=1.
"""

import argparse
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from common import timed, write
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import fetch_20newsgroups
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from amcluster import SphericalCLAMClusterer
from amcluster.energies import von_mises_fisher

MIN_DOCUMENTS = 5
N_EMBEDDED = 100
DENSE = 100_000, 384, 20  # rows, features, clusters
MANY = 1_000_000, 100, 20


def spherical(assignment):
    """Maker of the clusterer, given number, starts and seed."""
    return lambda k, n_init, seed: SphericalCLAMClusterer(
        k, assignment=assignment, n_init=n_init, random_state=seed
    )


MODELS = {
    "KMeans": lambda k, n_init, seed: KMeans(k, n_init=n_init, random_state=seed),
    "hard": spherical("hard"),
    "soft": spherical("soft"),
}


def texts(folders):
    """Name, texts and classes of each set."""
    if not folders:
        news = fetch_20newsgroups(remove=("headers", "footers", "quotes"))
        yield "20newsgroups", news.data, news.target
    for folder in folders:
        for path in sorted(Path(folder).glob("*.tsv")):
            lines = path.read_text(errors="replace").splitlines()
            pairs = [line.split("\t", 1) for line in lines if "\t" in line]
            yield path.stem, [pair[1] for pair in pairs], [pair[0] for pair in pairs]


def text_sets(folders):
    """Name, sparse rows of length 1 and classes; texts without a word are left out."""
    for name, documents, classes in texts(folders):
        X = TfidfVectorizer(min_df=MIN_DOCUMENTS).fit_transform(documents)
        some = np.diff(X.indptr) > 0
        yield name, X[some], np.asarray(classes)[some]


def embedded(X):
    """Dense rows of length 1 from sparse ones."""
    return normalize(TruncatedSVD(N_EMBEDDED, random_state=0).fit_transform(X))


def measure_agreement(folders, n_seeds):
    """ARI and seconds of all models on each set, interleaved."""
    for name, X, classes in text_sets(folders):
        n_clusters = len(np.unique(classes))
        for kind, rows in (("tf-idf", X), ("embedding", embedded(X))):
            for seed in range(n_seeds):
                for n_init in (1, 10):
                    for model, make in MODELS.items():
                        fit = make(n_clusters, n_init, seed).fit_predict
                        labels, seconds = timed(fit, rows)
                        yield {
                            **{"set": name, "kind": kind, "shape": str(X.shape)},
                            **{"model": model, "starts": n_init, "seed": seed},
                            "ARI": adjusted_rand_score(classes, labels),
                            "seconds": seconds,
                        }


def dense_rows(dtype):
    """Rows about directions, with noise as long as they are."""
    n_rows, n_features, n_clusters = DENSE
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(n_clusters, n_features))
    labels = rng.integers(n_clusters, size=n_rows)
    X = centers[labels] + 2 * rng.normal(size=(n_rows, n_features))
    return normalize(X).astype(dtype)


def measure_time(folders, n_seeds):
    """Seconds of one start, interleaved, and iterations."""
    tables = [(name, X, len(set(y))) for name, X, y in text_sets(folders or [])]
    tables += [(str(t), dense_rows(t), DENSE[2]) for t in ("float32", "float64")]
    for name, X, n_clusters in tables:
        for make in MODELS.values():  # compile first
            make(n_clusters, 1, 0).set_params(max_iter=2).fit(X[:2000])
        for seed in range(n_seeds):
            for model, make in MODELS.items():
                fitted, seconds = timed(make(n_clusters, 1, seed).fit, X)
                yield {
                    **{"set": name, "model": model, "seed": seed},
                    **{"iterations": fitted.n_iter_, "seconds": seconds},
                }


def measure_memory():
    """Megabytes beyond X at the peak of a fit of many sparse rows."""
    n_rows, n_features, n_clusters = MANY
    X = sparse.random(n_rows, n_features, 0.01, "csr", random_state=0)
    X = X[np.diff(X.indptr) > 0]
    for assignment in ("hard", "soft"):
        model = spherical(assignment)(n_clusters, 1, 0)
        model.set_params(max_iter=2).fit(X[:2000])  # compile first
        tracemalloc.start()  # of NumPy, which allocates all that is large
        model.set_params(max_iter=20).fit(X)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        megabytes = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20
        yield {
            **{"model": assignment, "rows": X.shape[0]},
            **{"X, MB": megabytes, "beyond, MB": peak / 2**20},
        }


def measure_functions():
    """Errors against mpmath with 50 digits."""
    import mpmath

    mpmath.mp.dps = 50
    for n_features in (2, 3, 5, 10, 30, 100, 301, 1000, 4096, 20000):
        for kappa in 10.0 ** np.arange(-6, 5):
            order = mpmath.mpf(n_features) / 2 - 1
            low = mpmath.besseli(order, kappa)
            exact = order * mpmath.log(kappa) - mpmath.log(low)
            exact -= n_features * mpmath.log(2 * mpmath.pi) / 2
            ratio = mpmath.besseli(order + 1, kappa) / low
            ours = von_mises_fisher.log_normaliser(kappa, n_features)
            length = von_mises_fisher.mean_resultant_length(kappa, n_features)
            yield {
                **{"features": n_features, "kappa": kappa},
                "log c": float(abs(ours - exact) / max(1, abs(exact))),
                "A": float(abs(length / ratio - 1)),
            }


def report_agreement(results):
    """Means over seeds."""
    keys = ["kind", "set", "shape", "starts"]
    for column in ("ARI", "seconds"):
        table = results.groupby([*keys, "model"], sort=False)[column].mean()
        print(f"{column}\n{table.unstack(sort=False).round(3).to_string()}\n")
    means = results.groupby(["kind", "starts", "model"], sort=False)["ARI"].mean()
    print(f"Mean ARI\n{means.unstack(sort=False).round(3).to_string()}")


def report_time(results):
    """Medians over seeds, and the median of the ratios to KMeans."""
    reference = results[results.model == "KMeans"].set_index(["set", "seed"])["seconds"]
    keys = pd.MultiIndex.from_frame(results[["set", "seed"]])
    ratios = results["seconds"].to_numpy() / reference.loc[keys].to_numpy()
    results = results.assign(ratio=ratios)
    columns = ["iterations", "seconds", "ratio"]
    print(results.groupby(["set", "model"], sort=False)[columns].median().round(2))


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="*", default=[], metavar="DIR")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--time", action="store_true")
    part.add_argument("--memory", action="store_true")
    part.add_argument("--functions", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", help="file for all the figures")
    arguments = parser.parse_args()

    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.memory:
        results, report = measure_memory(), lambda table: print(table.round(1))
    elif arguments.functions:
        results = measure_functions()
        report = lambda table: print(table[["log c", "A"]].max())  # noqa: E731
    elif arguments.time:
        results = measure_time(arguments.data, arguments.seeds)
        report = report_time
    else:
        results = measure_agreement(arguments.data, arguments.seeds)
        report = report_agreement
    results = list(results)
    report(pd.DataFrame(results))
    write(results, arguments.json)


if __name__ == "__main__":
    main()
