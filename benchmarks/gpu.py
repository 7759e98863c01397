"""Speed on a GPU: kernels beside its limits and PyTorch's, fits beside the CPU.

It is run by `speed.py --device cuda`. Rows are on the GPU before the clock starts;
times are the least of `--repeats`. For each kernel two parts are printed: of the
bandwidth of memory, if rows, weights and what is written for each row crossed once, and
of the arithmetic, which is that of the distances and sums, two operations for each
feature of a row and memory. Whichever part is larger should be near 1.

Further lines are of a step of k-means in PyTorch, where it is installed with CUDA
(distances by a matrix product, labels, and sums by `index_add_`; compare `nearest`), of
rows that stay on the host and are streamed in blocks, and of whole fits.
"""

import sys
import time
from functools import partial

import numpy as np
from common import N_STEPS, STEP_SIZE, draw

from amcluster import CLAMClusterer, CLAMELBOClusterer
from amcluster.execution.select import device_named
from amcluster.kernels import Dynamics, Memories

try:
    import torch
except ImportError:
    torch = None

SHAPES = ["4000000x2x10", "4000000x16x50", "500000x784x10", "400000x256x256"]
# Multiplications with an addition that a multiprocessor does in a cycle, by dtype and
# compute capability; others do as many as those of desktops.
A_CYCLE = {
    "float32": {(7, 0): 64, (7, 5): 64, (8, 0): 64},
    "float64": {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64},
}
OF_DESKTOPS = {"float32": 128, "float64": 2}
COPIED_BYTES = 1 << 29


def gpu():
    """The device; ends the script where there is none, or only a simulated one."""
    try:
        device = device_named("cuda")
    except (ImportError, RuntimeError) as error:
        sys.exit(f"Nothing to measure: {error}")
    from numba import config

    if config.ENABLE_CUDASIM:
        sys.exit("Nothing to measure: NUMBA_ENABLE_CUDASIM=1 only simulates a GPU.")
    return device


def seconds_of(run, repeats):
    """The least time of a call, from its beginning until the GPU has nothing to do."""
    from numba import cuda

    run()
    spent = []
    for _ in range(repeats):
        cuda.synchronize()
        start = time.perf_counter()
        run()
        cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return min(spent)


def limits(dtype, repeats):
    """Bytes a second of a copy on the GPU, and operations a second by its clock."""
    from numba import cuda

    a, b = (cuda.device_array(COPIED_BYTES, np.uint8) for _ in range(2))
    bandwidth = 2 * COPIED_BYTES / seconds_of(partial(a.copy_to_device, b), repeats)
    chip = cuda.get_current_device()
    a_cycle = A_CYCLE[dtype].get(chip.compute_capability, OF_DESKTOPS[dtype])
    cycles = 1e3 * chip.CLOCK_RATE * chip.MULTIPROCESSOR_COUNT
    return bandwidth, 2 * a_cycle * cycles


def calls(device, X, n_clusters):
    """Calls of kernels; bytes that have to cross, and operations, of each row."""
    (n_rows, n_features), dtype, kernels = X.shape, X.dtype, device.kernels
    memories = Memories(X[:n_clusters], np.zeros(n_clusters), 0.5).astype(dtype)
    dynamics = Dynamics.free(n_features, N_STEPS, STEP_SIZE, dtype)
    weights = np.ones(n_rows)
    labels, pulled = device.empty(n_rows, np.int32), device.empty(n_rows)
    first, second = (device.empty(n_rows, dtype) for _ in range(2))
    states = device.empty(X.shape, dtype)

    def rows(kernel, *settings, out):
        return partial(device.rows_of, kernel, X, memories, *settings, out=out)

    def sums(kernel, *settings, out=()):
        arguments = kernel, X, weights, memories, *settings
        return partial(device.sum_over, *arguments, out=out)

    number, row, pair = X.itemsize, X.itemsize * n_features, 2 * n_features * n_clusters
    nearest = sums(kernels.nearest, False, out=(labels, first, second))
    return {
        "label": (rows(kernels.label, out=(labels,)), row + 4, pair),
        "nearest": (nearest, row + 12 + 2 * number, pair),
        "expectation": (sums(kernels.expectation, out=(pulled,)), row + 16, 2 * pair),
        "retrieve": (
            *(rows(kernels.retrieve, dynamics, out=(states,)), 2 * row),
            2 * N_STEPS * pair,
        ),
        "gradient": (
            *(sums(kernels.reconstruction_gradient, dynamics), row + 8),
            5 * N_STEPS * pair,
        ),
    }


def torch_step(x, weights, centers):
    """One step of k-means: labels, and the weighted sums and counts of the rows."""
    products = x @ centers.T
    labels = (centers.square().sum(1) - 2 * products).argmin(1)
    sums = torch.zeros_like(centers).index_add_(0, labels, x * weights[:, None])
    counts = torch.bincount(labels, weights, minlength=len(centers))
    return sums.cpu(), counts.cpu()


def kernels(X, n_clusters, limits_of_dtype, repeats):
    """Times of kernels, and what part they are of each limit."""
    rows = []
    for name, call in calls(gpu(), X, n_clusters).items():
        run, *costs = call
        spent = seconds_of(run, repeats)
        parts = [
            len(X) * cost / spent / limit
            for cost, limit in zip(costs, limits_of_dtype, strict=True)
        ]
        rows.append((name, spent, *parts))
        print(
            f"  kernel     {name:18s} {1e3 * spent:9.3f} ms"
            f"   {parts[0]:.2f} of bandwidth, {parts[1]:.2f} of arithmetic",
            flush=True,
        )
    return rows


def peer(X, n_clusters, repeats):
    """The time of a step of k-means in PyTorch."""
    if torch is None or not torch.cuda.is_available():
        return []
    x = torch.from_numpy(X).cuda()
    weights = torch.ones(len(X), dtype=x.dtype, device="cuda")
    step = partial(torch_step, x, weights, x[:n_clusters].clone())
    spent = seconds_of(step, repeats)
    print(f"  PyTorch    k-means step       {1e3 * spent:9.3f} ms", flush=True)
    return [("PyTorch", spent)]


def streamed(X, n_clusters, repeats):
    """Bytes of rows a second of a step of k-means, if none may stay on the GPU."""
    device = gpu()
    device._room = 0
    run, *_ = calls(device, X, n_clusters)["nearest"]
    rate = X.nbytes / seconds_of(run, repeats)
    print(f"  streamed   nearest            {rate / 1e9:9.2f} GB/s", flush=True)
    return [("streamed bytes a second", rate)]


def fits(X, n_clusters):
    """Times of fits on the GPU, all copies included, and on the CPU."""
    rows = []
    for kind in (CLAMClusterer, CLAMELBOClusterer):
        spent = {}
        for name in ("cuda", "cpu"):
            model = kind(n_clusters, n_init=1, random_state=0, device=name)
            model.fit(X[: 4 * n_clusters])
            start = time.perf_counter()
            model.fit(X)
            spent[name] = time.perf_counter() - start
        rows.append((f"fit {kind.__name__}", *spent.values()))
        print(
            f"  fit        {kind.__name__:18s} {1e3 * spent['cuda']:9.0f} ms"
            f"   {spent['cpu'] / spent['cuda']:.1f} times as fast as the CPU",
            flush=True,
        )
    return rows


def measure(options):
    """Print the figures; return them by shape and dtype."""
    gpu()
    found = {}
    for dtype in options.dtypes:
        limit = limits(dtype, options.repeats)
        print(f"{dtype}: {limit[0] / 1e9:.0f} GB/s, {limit[1] / 1e12:.2f} Tflop/s")
        for shape in options.shapes or SHAPES:
            n_rows, n_features, n_clusters = map(int, shape.split("x"))
            X = draw(n_rows, n_features, n_clusters, dtype)
            print(f"{shape} {dtype}")
            found[f"{shape} {dtype}"] = [
                *kernels(X, n_clusters, limit, options.repeats),
                *peer(X, n_clusters, options.repeats),
                *streamed(X, n_clusters, options.repeats),
                *fits(X, n_clusters),
            ]
    return found
