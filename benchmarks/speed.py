"""Speed of the estimators beside scikit-learn's, and of the kernels beside PyTorch's.

    python benchmarks/speed.py [--shapes 10000x8x3 ...] [--dtypes float32 float64]
                               [--repeats 3] [--seconds 60] [--json FILE]
                               [--device cpu]

Rows are drawn from K Gaussians of unit variance, whose means are Gaussian too, with
standard deviation 2. All that is compared runs in one process, in turn, `--repeats`
times; figures are medians of ratios to the peer that is named first. A peer that takes
longer than `--seconds` runs once. Methods and kernels run three times in a row, and the
last one counts. Quality stands beside time: inertia over that of KMeans(n_init=10), and
log density in nats a row.

PyTorch, if it is installed, runs the same dynamics, eager and compiled, with gradients
by autograd, and the same random mask for all rows; it also learns, to the loss that
CLAM ends with. `--start-up` measures, in processes
of their own, what importing amcluster and a first fit add to `import sklearn.cluster`;
`--memory` what fits of 1 000 000 x 16 float32 with 50 clusters need beyond X.
`--device cuda` measures a GPU instead: see `gpu.py`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from functools import partial
from statistics import median

import numpy as np
from common import N_STEPS, STEP_SIZE, draw, write
from scipy.stats import gmean
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from amcluster import CLAMClusterer, CLAMELBOClusterer
from amcluster.execution.threads import n_threads, rows_of, sum_over
from amcluster.kernels import Dynamics, Memories, target

try:
    import torch
except ImportError:
    torch = None

SHAPES = ["10000x8x3", "200000x2x10", "100000x16x50", "60000x784x10", "20000x256x256"]


def in_turn(peers, repeats, seconds, in_a_row=1):
    """Seconds of each function of a dict, run in turn, and what each returned last.

    Of several times in a row the last one counts. For some milliseconds after the work
    of scikit-learn or PyTorch the threads of OpenMP spin, on cores that others need.
    """
    times, results = {name: [] for name in peers}, {}
    for _ in range(repeats):
        for name, run in peers.items():
            if sum(times[name]) > seconds:
                continue
            for _ in range(in_a_row):
                start = time.perf_counter()
                results[name] = run()
                spent = time.perf_counter() - start
            times[name].append(spent)
    return times, results


def ratio(times, name, reference):
    """Median of the ratios of runs that were neighbours in time."""
    return median(
        mine / other for mine, other in zip(times[name], times[reference], strict=False)
    )


def compare(title, peers, references, options, rows):
    """Print the times of peers and their ratios to others; note the ratios."""
    for run in peers.values():
        run()
    times, results = in_turn(peers, options.repeats, options.seconds, in_a_row=3)
    report_times(title, times, references, rows)
    return results


def report_times(title, times, references, rows):
    for name, spent in times.items():
        line = f"  {title:10s} {name:28s} {1e3 * median(spent):10.1f} ms"
        for reference in references.get(name, ()):
            found = ratio(times, name, reference)
            rows.append((f"{title}: {name} / {reference}", found))
            line += f"   {found:6.2f} x {reference}"
        print(line, flush=True)


def fits(X, n_clusters, options, rows):
    settings = {"n_clusters": n_clusters, "random_state": 0}
    mixture = {
        "n_components": n_clusters,
        "covariance_type": "spherical",
        "random_state": 0,
    }
    models = {
        "KMeans(n_init=1)": KMeans(n_init=1, **settings),
        "KMeans(n_init=10)": KMeans(n_init=10, **settings),
        "MiniBatchKMeans": MiniBatchKMeans(n_init=3, **settings),
        "GaussianMixture": GaussianMixture(**mixture),
        "BayesianGaussianMixture": BayesianGaussianMixture(**mixture),
        "CLAM(n_init=1)": CLAMClusterer(n_init=1, **settings),
        "CLAM": CLAMClusterer(**settings),
        "ELBO(n_init=1)": CLAMELBOClusterer(n_init=1, **settings),
        "ELBO": CLAMELBOClusterer(**settings),
    }
    for name in ("CLAM(n_init=1)", "CLAM", "ELBO(n_init=1)"):  # kernels are compiled
        models[name].fit(X[: 2 * n_clusters])
    peers = {name: partial(model.fit, X) for name, model in models.items()}
    references = {
        "CLAM(n_init=1)": ["KMeans(n_init=1)"],
        "CLAM": ["KMeans(n_init=10)"],
        "ELBO(n_init=1)": ["GaussianMixture", "BayesianGaussianMixture"],
        "ELBO": ["GaussianMixture"],
        "MiniBatchKMeans": ["KMeans(n_init=1)"],
    }
    times, _ = in_turn(peers, options.repeats, options.seconds)
    report_times("fit", times, references, rows)
    best = models["KMeans(n_init=10)"].inertia_
    for name in ("KMeans(n_init=1)", "MiniBatchKMeans", "CLAM(n_init=1)", "CLAM"):
        found = models[name].inertia_ / best
        rows.append((f"inertia: {name} / KMeans(n_init=10)", found))
        print(f"  inertia    {name:28s} {found:10.4f} x KMeans(n_init=10)")
    ends = CLAMELBOClusterer(n_init=1, tol=1e-8, max_iter=2000, **settings).fit(X)
    loss = models["ELBO(n_init=1)"].objective_ - ends.objective_
    rows.append(("nats: ELBO(n_init=1) above tol=1e-8", loss))
    density = models["GaussianMixture"].score(X) - models["ELBO(n_init=1)"].score(X)
    print(f"  nats a row ELBO above its fit with tol=1e-8 {loss:.2e}", end="")
    print(f"; GaussianMixture above ELBO {density:.4f} (it has K radii)")
    return models


def methods(X, models, options, rows):
    k_means, clam = models["KMeans(n_init=1)"], models["CLAM(n_init=1)"]
    mixture = models["GaussianMixture"]
    options = argparse.Namespace(**vars(options) | {"repeats": 7 * options.repeats})
    peers = {"KMeans": partial(k_means.predict, X), "CLAM": partial(clam.predict, X)}
    compare("predict", peers, {"CLAM": ["KMeans"]}, options, rows)
    peers = {
        "GaussianMixture": partial(mixture.predict_proba, X),
        "CLAM": partial(clam.predict_proba, X),
    }
    compare("proba", peers, {"CLAM": ["GaussianMixture"]}, options, rows)


def torch_states(x, centers, beta, hidden=None):
    """The dynamics in PyTorch; with hidden features from a fill-free start."""
    weights = torch.zeros(len(centers), dtype=x.dtype)

    def drawn_to(state, seen):
        squares = (state * seen).square().sum(1, keepdim=True)
        products = (state * seen) @ centers.T
        squares = squares + (centers.square() * seen).sum(1) - 2 * products
        return torch.softmax(weights - beta * squares, dim=1) @ centers

    everything = torch.ones(x.shape[1], dtype=x.dtype)
    if hidden is None:
        for _ in range(N_STEPS):
            x = x + STEP_SIZE * (drawn_to(x, everything) - x)
        return x
    x = torch.where(hidden > 0, drawn_to(x, 1 - hidden), x)
    for _ in range(N_STEPS - 1):
        x = x + STEP_SIZE * hidden * (drawn_to(x, everything) - x)
    return x


def kernels(X, models, options, rows):
    """Retrieval, and the loss and its gradient with a fifth of the features hidden."""
    clam = models["CLAM(n_init=1)"]
    X = X - X.mean(axis=0)
    n_features, dtype = X.shape[1], X.dtype
    hidden = np.arange(n_features) % 5 == 1
    centers = clam.cluster_centers_ - clam.cluster_centers_.mean(axis=0)
    memories = Memories(centers, np.zeros(len(centers)), clam.beta_).astype(dtype)
    dynamics = Dynamics.clamped(hidden, N_STEPS, STEP_SIZE, dtype)
    dynamics = dynamics._replace(growth=dtype.type(np.inf))  # the gradient of autograd
    gradient, weights = target().reconstruction_gradient, np.ones(len(X))
    retrievals = {"CLAM": partial(clam.retrieve, X, N_STEPS, STEP_SIZE)}
    gradients = {
        "CLAM": partial(
            sum_over, gradient, X, weights, memories, dynamics, passes=5 * N_STEPS
        )
    }
    if torch is not None:
        x, m = torch.from_numpy(X), torch.from_numpy(memories.centers)
        mask, beta = torch.from_numpy(hidden.astype(dtype)), float(clam.beta_)
        torch._dynamo.reset()  # what it compiled for other shapes counts against it
        compiled = torch.compile(torch_states, dynamic=False)

        def retrieve(states):
            with torch.no_grad():
                return states(x, m, beta)

        def there_and_back(states):
            centers = m.detach().requires_grad_()
            error = (states(x, centers, beta, mask) - x) * mask
            loss = error.square().sum()
            loss.backward()
            return float(loss.detach()), centers.grad.numpy()

        for name, states in (("eager", torch_states), ("compiled", compiled)):
            retrievals[name] = partial(retrieve, states)
            gradients[name] = partial(there_and_back, states)
    references = {name: ["CLAM"] for name in ("eager", "compiled")}
    compare("retrieve", retrievals, references, options, rows)
    results = compare("gradient", gradients, references, options, rows)
    if torch is not None:
        agreement = np.abs(results["CLAM"][1] - results["eager"][1]).max()
        agreement /= np.abs(results["eager"][1]).max()
        print(f"  gradients differ by {agreement:.1e} of the largest")


def same_quality(X, models, options, rows):
    """Time to the loss of CLAM(n_init=1): with L-BFGS and autograd in compiled PyTorch.

    Both have to find their first memories, there by KMeans(n_init=1), and minimise the
    same loss at the same beta. PyTorch is done when it is within a thousandth of it, or
    has had twice `--seconds`.
    """
    clam, k_means = models["CLAM(n_init=1)"], models["KMeans(n_init=1)"]
    n_clusters, beta, offset = clam.n_clusters, clam.beta_, X.mean(axis=0)
    X = X - offset
    x = torch.from_numpy(X)
    torch._dynamo.reset()
    compiled = torch.compile(torch_states, dynamic=False)

    def loss_of(centers):
        return (compiled(x, centers, beta) - x).square().sum() / len(x)

    def as_memories(centers):
        return torch.from_numpy(np.ascontiguousarray(centers, X.dtype)).requires_grad_()

    warm = as_memories(X[:n_clusters])
    loss_of(warm).backward()
    with torch.no_grad():
        goal = float(loss_of(as_memories(clam.cluster_centers_ - offset)))

    class Done(Exception):
        """The goal is reached, or the time is up."""

    def learn():
        start = time.perf_counter()
        centers = as_memories(k_means.fit(X).cluster_centers_)
        solver = torch.optim.LBFGS(
            [centers], max_iter=1000, line_search_fn="strong_wolfe"
        )
        best = [np.inf]

        def evaluate():
            solver.zero_grad()
            loss = loss_of(centers)
            loss.backward()
            best[0] = min(best[0], float(loss.detach()))
            spent = time.perf_counter() - start
            if best[0] <= 1.001 * goal or spent > 2 * options.seconds:
                raise Done
            return loss

        with suppress(Done):
            solver.step(evaluate)
        return best[0]

    peers = {"CLAM": partial(clam.fit, X), "compiled": learn}
    times, results = in_turn(peers, options.repeats, options.seconds)
    report_times("quality", times, {"compiled": ["CLAM"]}, rows)
    excess = results["compiled"] / goal - 1
    print(f"  quality    loss of PyTorch {excess:+.4f} of CLAM's")


def limits(dtype):
    """What the machine can do: a large matrix product, and exp of many numbers."""
    A = np.random.default_rng(0).normal(size=(2048, 2048)).astype(dtype)
    x = np.linspace(-20, 0, 1 << 22).astype(dtype)
    spent = [
        min(in_turn({"it": run}, 5, 60)[0]["it"])
        for run in (lambda: A @ A, lambda: np.exp(x))
    ]
    return 2 * 2048**3 / spent[0], len(x) / spent[1]


def fractions(X, n_clusters, limits_of_dtype):
    """Parts of the machine's speed: of its matrix product, and of exp in all threads.

    A pass that finds the nearest centers does a difference, a multiplication and an
    addition for each feature and center, for which two operations are counted, as for
    the product. Posteriors have one exp a memory, and the rest of what they take.
    """
    memories = Memories(X[:n_clusters], np.zeros(n_clusters), 1.0).astype(X.dtype)
    n, dtype, cpu = len(X), X.dtype, target()
    near = np.empty(n, np.int32), np.empty(n, dtype), np.empty(n, dtype)
    proba = (np.empty((n, n_clusters), dtype),)
    peers = {
        "nearest": partial(
            sum_over, cpu.nearest, X, np.ones(n), memories, False, out=near
        ),
        "posterior": partial(rows_of, cpu.posterior, X, memories, out=proba),
    }
    for run in peers.values():
        run()
    spent = {name: min(times) for name, times in in_turn(peers, 5, 60)[0].items()}
    of_product = 2 * X.size * n_clusters / spent["nearest"] / limits_of_dtype[0]
    exps = n * n_clusters / spent["posterior"]
    return of_product, exps / (n_threads() * limits_of_dtype[1])


def start_up():
    """Seconds that amcluster adds to `import sklearn.cluster`, in new processes."""
    base = "import sklearn.cluster; from sklearn.datasets import load_iris; "
    fit = "from amcluster import CLAMClusterer; CLAMClusterer(3).fit(load_iris().data)"
    commands = {
        "nothing": base,
        "import": base + "import amcluster",
        "first fit": base + fit,
    }

    def run(command, cache):
        start = time.perf_counter()
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        subprocess.run([sys.executable, "-c", command], check=True, env=environment)
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as cache:
        cold = run(base + fit, cache)
        spent = in_turn(
            {name: partial(run, command, cache) for name, command in commands.items()},
            9,
            60,
        )[0]
    # The least: what else runs on the machine only adds to it.
    least = {name: min(times) for name, times in spent.items()}
    for name in ("import", "first fit"):
        print(f"{name}, warm cache: {least[name] - least['nothing']:.2f} s")
    print(f"first fit, no cache: {cold - least['nothing']:.2f} s")


def memory():
    """Most memory that fits take beyond X, in MB."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    X = draw(1_000_000, 16, 50, np.float32)
    for model in (CLAMClusterer(50, n_init=1), CLAMELBOClusterer(50, n_init=1)):
        model.fit(X[:1000])
        before, highest, done = resident(), [0.0], threading.Event()

        def watch(highest=highest, done=done):
            while not done.wait(0.001):
                highest[0] = max(highest[0], resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        model.fit(X)
        done.set()
        watcher.join()
        print(f"{type(model).__name__}: {highest[0] - before:.0f} MB beyond X")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="+")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start-up", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    if options.start_up:
        return start_up()
    if options.memory:
        return memory()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.device == "cuda":
        import gpu

        return write(gpu.measure(options), options.json)
    print(f"{n_threads()} threads; torch {getattr(torch, '__version__', 'missing')}")
    all_ratios = {}
    for dtype in options.dtypes:
        limit = limits(dtype)
        print(f"{dtype}: {limit[0] / 1e9:.0f} Gflop/s, {limit[1] / 1e9:.2f} G exp/s")
        for shape in options.shapes or SHAPES:
            n_rows, n_features, n_clusters = map(int, shape.split("x"))
            X = draw(n_rows, n_features, n_clusters, dtype)
            rows = []
            print(f"{shape} {dtype}")
            models = fits(X, n_clusters, options, rows)
            methods(X, models, options, rows)
            kernels(X, models, options, rows)
            if torch is not None:
                same_quality(X, models, options, rows)
            part = fractions(X, n_clusters, limit)
            print(f"  distances at {part[0]:.2f} of the matrix product's speed", end="")
            print(f", posteriors at {part[1]:.2f} of NumPy's exp")
            all_ratios[f"{shape} {dtype}"] = rows
        report(dtype, all_ratios)
    write(all_ratios, options.json)


def report(dtype, all_ratios):
    """Geometric means over the shapes, and the largest."""
    collected = {}
    for shape, rows in all_ratios.items():
        if shape.endswith(dtype):
            for name, value in rows:
                collected.setdefault(name, []).append(value)
    print(f"{dtype}, over {len(next(iter(collected.values())))} shapes:")
    for name, values in collected.items():
        if not name.startswith("nats"):
            print(f"  {name:52s} mean {gmean(values):7.3f}  largest {max(values):7.3f}")
        else:
            print(f"  {name:52s} largest {max(values):.2e}")


if __name__ == "__main__":
    main()
