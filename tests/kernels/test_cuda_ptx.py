"""Every CUDA kernel compiles for real devices, and its registers do not spill.

It needs no GPU, but numba-cuda and the compilers of the CUDA toolkit, which
`.ci/run cuda` installs; without them these tests are skipped. `offline_cuda` says what
is compiled and how.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

REGISTERS = 65536  # of a multiprocessor
SHARED_BYTES = 48 << 10  # of a block, without asking for more


def missing_compiler():
    """What is not installed, or nothing."""
    for module in ("numba_cuda", "cuda.pathfinder"):
        try:
            if importlib.util.find_spec(module) is None:
                return module
        except ModuleNotFoundError:
            return module
    from cuda.pathfinder import find_nvidia_binary_utility

    return "" if find_nvidia_binary_utility("ptxas") else "ptxas"


pytestmark = pytest.mark.skipif(
    bool(missing_compiler()), reason=f"needs {missing_compiler()}"
)


@pytest.fixture(scope="module", params=["8.0", "9.0"])
def compiled(request):
    """What was compiled for a compute capability, and what was not."""
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_HOME"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.offline_cuda", request.param],
        env=environment | {"NUMBA_ENABLE_CUDASIM": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *kernels, rest = (json.loads(line) for line in done.stdout.splitlines())
    assert kernels
    return kernels, rest


def test_every_kernel_compiles(compiled):
    kernels, rest = compiled
    assert [k for k in kernels if "error" in k] == []
    assert rest["missed"] == []


def test_registers_do_not_spill(compiled):
    kernels, _ = compiled
    spilled = [
        (kernel["kernel"], kernel["types"][0], kernel["spill_stores"])
        for kernel in kernels
        if kernel["spill_stores"] or kernel["spill_loads"]
    ]
    assert spilled == []


def test_blocks_fit_a_multiprocessor(compiled):
    kernels, _ = compiled
    for kernel in kernels:
        # Registers are given out to a warp in units of 8 a thread.
        assert -(-kernel["registers"] // 8) * 8 * kernel["threads"] <= REGISTERS, kernel
        assert kernel["shared"] + kernel["dynamic"] <= SHARED_BYTES, kernel
