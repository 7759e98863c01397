"""Compiles whatever the CUDA kernels launch, without a GPU: a script, run by a test.

Every function of `amcluster.kernels.cuda` is called as estimators call it, with a
stand-in for the device: its arrays are NumPy arrays, and a launch compiles the kernel
for the arguments it is given, as numba-cuda would, and has `ptxas` assemble it for the
architecture, but runs nothing. Prints one line of JSON for each compiled kernel:
registers, bytes of stack, of spilled registers and of shared memory.

    python -m tests.kernels.offline_cuda 9.0

So kernels need no list to be kept: they are to allocate by `cuda.to_device`,
`cuda.device_array`, `cuda.device_array_like` or `cuda.pinned_array`, to ask
`cuda.get_current_device()` about the device, and to launch by
``kernel[blocks, threads](...)``.
"""

import contextlib
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from cuda.pathfinder import find_nvidia_binary_utility
from numba import cuda
from numba.cuda import api, codegen, dispatcher

from amcluster.energies import Epanechnikov, Gaussian, Laplace, StudentT
from amcluster.kernels import Dynamics, Memories, Metric

N_ROWS, N_FEATURES, N_CLUSTERS, N_STEPS = 300, 20, 7, 3


class DeviceArray(np.ndarray):
    """An array that stays where it is."""

    __cuda_ndarray__ = True

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__

    def copy_to_host(self, ary=None, stream=0):
        """The values, which mean nothing."""
        if ary is None:
            return np.array(self)
        ary[...] = self
        return ary

    def copy_to_device(self, ary, stream=0):
        """Take values."""
        self[...] = ary

    def is_c_contiguous(self):
        """As on a device."""
        return self.flags.c_contiguous


def to_device(obj, stream=0, copy=True, to=None):
    """A copy, or `to` with new values."""
    if to is not None:
        to[...] = obj
        return to
    return np.array(obj, order="C", ndmin=1).view(DeviceArray)


def device_array(shape, dtype=np.float64, strides=None, order="C", stream=0):
    """Zeros: nothing is run that could fill it."""
    return np.zeros(shape, dtype, order=order).view(DeviceArray)


class Assembler:
    """Compiles launches for one architecture."""

    def __init__(self, compute_capability):
        self.compute_capability = compute_capability
        self.architecture = "sm_{}{}".format(*compute_capability)
        self.launched = set()
        self.compiled = set()

    def launch(self, configuration, *arguments):
        """In the place of a launch."""
        kernel = configuration.dispatcher
        types = tuple(kernel.typeof_pyval(argument) for argument in arguments)
        self.launched.add(kernel.py_func)
        threads = int(np.prod(configuration.blockdim))
        key = kernel.py_func, types, threads, configuration.sharedmem
        if key in self.compiled:
            return
        self.compiled.add(key)
        options = {
            name: value
            for name, value in kernel.targetoptions.items()
            if name not in ("cache", "extensions")
        }
        module = kernel.py_func.__module__.removeprefix("amcluster.kernels.cuda.")
        found = {
            "kernel": f"{module}.{kernel.py_func.__name__}",
            "types": [str(t) for t in types],
            "architecture": self.architecture,
            "threads": threads,
            "dynamic": configuration.sharedmem,
        }
        try:
            check_on_device(arguments)
            library = dispatcher._Kernel(kernel.py_func, types, **options).library
            limit = options.get("max_registers")
            found |= self.assemble(library.get_asm_str(), limit)
        except (
            Exception
        ) as error:  # of one kernel: the others are compiled all the same
            found["error"] = str(error)
        print(json.dumps(found), flush=True)

    def assemble(self, ptx, max_registers):
        """What `ptxas -v` says."""
        limit = [f"--maxrregcount={max_registers}"] if max_registers else []
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "kernel.ptx"
            source.write_text(ptx)
            done = subprocess.run(
                [
                    *(find_nvidia_binary_utility("ptxas"), "-v", *limit),
                    *(f"-arch={self.architecture}", source),
                    *("-o", Path(folder) / "kernel.cubin"),
                ],
                capture_output=True,
                text=True,
            )
        if done.returncode:
            raise RuntimeError(done.stderr)
        numbers = {
            "stack": r"(\d+) bytes stack frame",
            "spill_stores": r"(\d+) bytes spill stores",
            "spill_loads": r"(\d+) bytes spill loads",
            "registers": r"Used (\d+) registers",
            "shared": r"(\d+) bytes smem",
        }
        # Functions that were not inlined report their own frames.
        return {
            name: max(map(int, re.findall(pattern, done.stderr)), default=0)
            for name, pattern in numbers.items()
        }


def check_on_device(arguments):
    """Arrays of the host would be copied to the device and back, with a warning."""
    for argument in arguments:
        if isinstance(argument, tuple):
            check_on_device(argument)
        elif isinstance(argument, np.ndarray) and not isinstance(argument, DeviceArray):
            raise TypeError("an array of the host is an argument of a launch")


def stand_in(assembler):
    """Put the stand-in in the place of the device."""
    device = SimpleNamespace(
        compute_capability=assembler.compute_capability,
        MULTIPROCESSOR_COUNT=108,
        MAX_SHARED_MEMORY_PER_BLOCK=48 << 10,
        MAX_THREADS_PER_BLOCK=1024,
        WARP_SIZE=32,
        name=b"none",
    )
    memory = SimpleNamespace(free=1 << 34, total=1 << 34)
    context = SimpleNamespace(get_memory_info=lambda: memory, device=device)
    stream = SimpleNamespace(
        synchronize=lambda: None, auto_synchronize=contextlib.nullcontext
    )
    replaced = {
        "to_device": to_device,
        "device_array": device_array,
        "device_array_like": lambda ary, stream=0: device_array(ary.shape, ary.dtype),
        "pinned_array": lambda shape, dtype=float, **_: np.zeros(shape, dtype),
        "get_current_device": lambda: device,
        "current_context": lambda devnum=None: context,
        "is_available": lambda: True,
        "stream": lambda: stream,
        "default_stream": lambda: 0,
        "synchronize": lambda: None,
    }
    for name, value in replaced.items():
        setattr(cuda, name, value)
    for module in (dispatcher, api):
        module.get_current_device = replaced["get_current_device"]
    codegen.CUDACodeLibrary._ensure_cc = lambda self, cc: assembler.compute_capability
    dispatcher._LaunchConfiguration.__init__ = configure
    dispatcher._LaunchConfiguration.__call__ = lambda configuration, *arguments: (
        assembler.launch(configuration, *arguments)
    )


def configure(self, dispatcher, griddim, blockdim, stream, sharedmem):
    """Where a kernel would be launched."""
    self.dispatcher, self.griddim, self.blockdim = dispatcher, griddim, blockdim
    self.stream, self.sharedmem = stream, sharedmem


class Case:
    """Arguments as estimators have them."""

    def __init__(self, dtype):
        rng = np.random.default_rng(0)
        self.dtype = np.dtype(dtype)
        self.rows = rng.normal(size=(N_ROWS, N_FEATURES)).astype(dtype)
        self.weights = np.ones(N_ROWS)
        centers = rng.normal(size=(N_CLUSTERS, N_FEATURES))
        gaussian = Memories(centers, np.zeros(N_CLUSTERS), 0.05)
        # Far from the origin: where inner products would cancel they are not used.
        far = gaussian._replace(centers=gaussian.centers + 10_000)
        others = [
            gaussian._replace(energy=energy, dimension=N_FEATURES)
            for energy in (StudentT(3.0), Laplace(), Epanechnikov())
        ]
        networks = [gaussian, far, *others]
        self.networks = [memories.astype(dtype) for memories in networks]
        self.metric = Metric.of(np.eye(N_FEATURES), centers)
        hidden = np.arange(N_FEATURES) % 3 == 1
        settings = N_STEPS, 0.3, dtype
        self.dynamics = [
            *(Dynamics.free(N_FEATURES, *settings, missing=h) for h in (False, True)),
            *(Dynamics.clamped(hidden, *settings, missing=h) for h in (False, True)),
        ]

    def of_rows(self, *shape, dtype=None):
        """Room for results."""
        return np.empty((N_ROWS, *shape), self.dtype if dtype is None else dtype)

    def calls(self):
        """Names of kernels and arguments, one after the other."""
        for memories in self.networks:
            yield from self.of_memories(memories)
            for dynamics in self.dynamics:
                yield from self.of_dynamics(memories, dynamics)
            yield from self.of_metric(memories.astype(np.float64))

    def of_memories(self, memories):
        """Posteriors, sums of EM, seeding."""
        rows, weights = self.rows, self.weights
        pulled, labels = np.empty(N_ROWS), self.of_rows(dtype=np.intp)
        yield "logits", rows, memories, self.of_rows(N_CLUSTERS)
        yield "posterior", rows, memories, self.of_rows(N_CLUSTERS)
        yield "label", rows, memories, labels
        yield "log_evidence", rows, memories, self.of_rows()
        yield "squared_error", rows, weights, memories, labels * 0
        yield "expectation", rows, weights, memories, pulled
        matrix = np.ones((N_FEATURES, 5), self.dtype)
        yield "project", rows, memories, matrix, self.of_rows(5)
        yield "moment", rows, weights, None
        yield "column", rows, None, 1, self.of_rows()
        yield "seen_logits", rows, memories, self.of_rows(N_CLUSTERS)
        yield "seen_expectation", rows, weights, memories, pulled
        for holes in (False, True):
            near = (
                np.zeros(N_ROWS, np.int32),
                *(np.ones(N_ROWS, self.dtype), np.ones(N_ROWS, self.dtype)),
            )
            yield "nearest", rows, weights, memories, holes, *near
            yield (
                *("potentials", rows, weights, memories, holes),
                *(near[1], self.of_rows(N_CLUSTERS)),
            )
            yield "swap_costs", rows, weights, memories, N_CLUSTERS, holes, *near

    def of_dynamics(self, memories, dynamics):
        """States, loss and gradient."""
        rows, weights = self.rows, self.weights
        tolerance, ends = self.dtype.type(-1), self.of_rows(N_FEATURES)
        yield (
            *("trajectory", rows, memories, dynamics),
            self.of_rows(N_STEPS + 1, N_FEATURES),
        )
        yield "retrieve", rows, memories, dynamics, ends
        yield "rest", rows, memories, dynamics, tolerance, ends, self.of_rows()
        if not isinstance(memories.energy, Gaussian):
            return
        yield "reconstruction_loss", rows, weights, memories, dynamics
        yield "reconstruction_gradient", rows, weights, memories, dynamics

    def of_metric(self, memories):
        """Rows with holes in a learned metric."""
        rows, metric = self.rows, self.metric
        logits, of_row = self.of_rows(N_CLUSTERS), np.empty(N_ROWS)
        yield "metric_logits", rows, memories, metric, logits, of_row
        yield "metric_complete", rows, memories, metric, self.of_rows(N_FEATURES)
        yield "metric_expectation", rows, self.weights, memories, metric, of_row


def entry_kernels(package):
    """What is decorated by `cuda.jit` in a package, but for device functions."""
    found = set()
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for value in vars(importlib.import_module(info.name)).values():
            is_kernel = isinstance(value, dispatcher.CUDADispatcher)
            if is_kernel and not value.targetoptions.get("device"):
                found.add(value.py_func)
    return found


def main(compute_capability):
    """Compile everything."""
    assembler = Assembler(tuple(map(int, compute_capability.split("."))))
    stand_in(assembler)
    package = importlib.import_module("amcluster.kernels.cuda")
    called = set()
    for dtype in (np.float32, np.float64):
        for name, *arguments in Case(dtype).calls():
            called.add(name)
            if hasattr(package, name):
                getattr(package, name)(*arguments)
    missed = {function.__name__ for function in entry_kernels(package)}
    missed -= {function.__name__ for function in assembler.launched}
    print(json.dumps({"missed": sorted(missed | (set(package.__all__) - called))}))


if __name__ == "__main__":
    main(sys.argv[1])
