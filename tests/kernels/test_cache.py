"""Machine code on disk: damaged, full, read-only or shared, a kernel still runs."""

import compileall
import errno
import importlib
import io
import logging
import os
import pickle
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba.core import caching

from amcluster.energies import StudentT
from amcluster.kernels import Memories, target
from amcluster.kernels.cpu import _cache, _jit

PACKAGE = Path(__file__).parents[2]


def twice(x):
    return x + x


def thrice(x):
    return x + x + x


def with_a_loop(x):
    """For Python, but for the loop, which numba compiles by itself."""
    repr(x)
    for _ in range(3):
        x = x + x
    return x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only place, and nobody was warned before."""
    monkeypatch.setattr(_cache, "places", lambda: [str(tmp_path)])
    monkeypatch.setattr(_cache.KernelCache, "_warned", False)
    return tmp_path


def from_disk(function=twice, x=2.5):
    """What a process does that meets a kernel first: was it found on disk?"""
    kernel = _jit.kernel(function)
    assert kernel(x) == function(x)
    return not kernel.stats.cache_misses


def test_the_next_process_finds_it(folder):
    assert [from_disk(), from_disk(), from_disk(x=2), from_disk(x=2)] == [0, 1, 0, 1]
    assert {path.suffix for path in folder.iterdir()} == {".nbi", ".nbc"}


def flip(content, position):
    at = int(position * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"not a pickle",
    "another object": lambda content: pickle.dumps({"a": [1, 2]}),
    "other objects": lambda content: (
        pickle.dumps(numba.__version__) + pickle.dumps((_cache.stamp(), [1]))
    ),
    "more": lambda content: content[:40] + b"more" + content[40:],
}
for position in np.linspace(0, 1, 13).round(3):
    DAMAGES[f"byte at {position}"] = lambda content, at=position: flip(content, at)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_anew_and_replaced(folder, suffix, damage):
    from_disk()
    (path,) = folder.glob(f"*{suffix}")
    content = path.read_bytes()
    damaged = DAMAGES[damage](content)
    path.write_bytes(damaged)
    found = from_disk()
    assert not found or damage.startswith("byte")  # not all bytes mean something
    assert found or path.read_bytes() != damaged
    assert from_disk()


def test_what_another_version_of_numba_or_of_the_kernels_left(folder, monkeypatch):
    from_disk()
    with monkeypatch.context() as patch:
        patch.setattr(_cache, "stamp", lambda: "another")
        assert [from_disk(), from_disk()] == [0, 1]
    with monkeypatch.context() as patch:
        patch.setattr(numba, "__version__", "0.0")
        assert [from_disk(), from_disk()] == [0, 1]


def test_files_of_numba_itself(folder, tmp_path, monkeypatch):
    """They have the same names."""
    from_disk()
    ours = {path.name for path in folder.iterdir()}
    monkeypatch.setattr(_cache.config, "CACHE_DIR", str(tmp_path / "numba"))
    numba.njit(cache=True)(twice)(2.5)
    for path in (tmp_path / "numba").rglob("*.nb?"):
        assert path.name in ours
        shutil.copy(path, folder)
    assert [from_disk(), from_disk()] == [0, 1]


def test_an_index_that_names_the_file_of_another_signature(folder):
    """Two processes that save at once leave such a one."""
    from_disk(x=2.5)
    (first,) = folder.glob("*.nbc")
    from_disk(x=2)
    (second,) = set(folder.glob("*.nbc")) - {first}
    second.write_bytes(first.read_bytes())
    assert [from_disk(x=2), from_disk(x=2), from_disk(x=2.5)] == [0, 1, 1]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_folder_in_the_place_of_a_file(folder, suffix):
    from_disk()
    (path,) = folder.glob(f"*{suffix}")
    path.unlink()
    path.mkdir()
    with pytest.warns(RuntimeWarning, match=path.name):
        assert not from_disk()
    assert not from_disk()  # and says no more


def no_permission(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def cannot_make_folders(monkeypatch):
    monkeypatch.setattr(caching.os, "makedirs", no_permission)


def cannot_make_files(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", no_permission)


def cannot_write(monkeypatch):
    class Full(io.BytesIO):
        write = disk_full

    def opened(path, mode):
        return Full() if "w" in mode else open(path, mode)

    monkeypatch.setattr(caching, "open", opened, raising=False)


def cannot_rename(monkeypatch):
    monkeypatch.setattr(caching.os, "replace", disk_full)


def cannot_pickle(monkeypatch):
    def fails(*_):
        raise pickle.PicklingError("no")

    monkeypatch.setattr(_cache, "dumps", fails)


UNWRITABLE = [
    cannot_make_folders,
    cannot_make_files,
    cannot_write,
    cannot_rename,
    cannot_pickle,
]


@pytest.mark.parametrize("cannot", UNWRITABLE)
def test_a_cache_that_cannot_be_written(folder, monkeypatch, cannot):
    cannot(monkeypatch)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as caught:
        assert [from_disk(), from_disk(thrice)] == [0, 0]
    (warning,) = caught
    assert str(folder) in str(warning.message)
    assert "Error: " in str(warning.message)
    monkeypatch.undo()


@pytest.mark.parametrize("cannot", UNWRITABLE)
def test_a_read_only_cache_is_used(folder, monkeypatch, cannot):
    from_disk()
    cannot(monkeypatch)
    assert from_disk()


def test_files_that_cannot_be_read(folder, monkeypatch):
    from_disk()
    with monkeypatch.context() as patch:
        patch.setattr(caching, "open", no_permission, raising=False)
        with pytest.warns(RuntimeWarning, match="Permission denied"):
            assert not from_disk()
    assert from_disk()


def test_the_second_place_is_for_what_the_first_does_not_take(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(_cache, "places", lambda: [str(first), str(second)])
    from_disk()
    assert not second.exists()
    (first / "kept").touch()
    shutil.move(first, second)
    first.write_text("no folder")
    assert from_disk()
    assert [from_disk(thrice), from_disk(thrice)] == [0, 1]
    first.unlink()
    assert from_disk(thrice)
    assert not first.exists()


def test_places(monkeypatch):
    monkeypatch.setattr(_cache.config, "CACHE_DIR", "")
    beside, user = _cache.places()
    assert Path(beside) == PACKAGE / "amcluster" / "kernels" / "cpu" / "__pycache__"
    assert _cache.stamp()[:40] in user
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert _cache.places() == [user, beside]
    monkeypatch.setattr(_cache.config, "CACHE_DIR", "mine")
    (mine,) = _cache.places()
    assert Path(mine).parent == Path("mine")


def test_flush(folder, monkeypatch):
    kernel = _jit.kernel(twice)
    kernel(2.5)
    kernel._cache.flush()
    assert not from_disk()
    cannot_rename(monkeypatch)
    kernel._cache.flush()
    assert from_disk()


@pytest.mark.parametrize("numbas", [True, False], ids=["numba's", "none"])
def test_without_a_cache_of_ours(folder, tmp_path, monkeypatch, numbas):
    """Another version of numba may have other parts."""

    def no_cache(*_):
        raise AttributeError("numba has no such thing")

    monkeypatch.setattr(_cache, "KernelCache", no_cache)
    monkeypatch.setattr(_cache.config, "CACHE_DIR", str(tmp_path))
    if not numbas:
        monkeypatch.setattr(numba.core.dispatcher, "FunctionCache", no_cache)
    assert [from_disk(), from_disk()] == [0, numbas]


def test_switched_off(folder, monkeypatch):
    monkeypatch.setenv("AMCLUSTER_NUMBA_CACHE", "0")
    assert [from_disk(), from_disk()] == [0, 0]
    assert not list(folder.iterdir())


def test_a_changed_kernel_changes_the_stamp():
    def stamp_of(source):
        return list(_cache._parts(compile(source, "file", "exec")))

    source = "def f(x):\n    return x in {'a', 'b'} or [x + 1 for x in y]"
    assert stamp_of(source) == stamp_of(f"# a comment\n{source}")
    for changed in ("x + 2", "x - 1", "z + 1", "abs(x)", "(x + 1.0)"):
        assert stamp_of(source) != stamp_of(source.replace("x + 1", changed))


SMALL = """
import sys
import types
import numpy as np
root, *dtypes = sys.argv[1:]
sys.modules["amcluster"] = types.ModuleType("amcluster")  # without scikit-learn
sys.modules["amcluster"].__path__ = [root + "/amcluster"]
from amcluster.kernels.cpu import _cache, tiles
for dtype in dtypes:
    rows, lanes = np.ones((5, 3), dtype), np.empty((1, 3, 128), dtype)
    tiles.fill(rows, lanes)
    assert (lanes == 1).all()
print(_cache.__file__, sum(tiles.fill.stats.cache_misses.values()))
"""


def run(root, cache, *dtypes):
    process = subprocess.run(
        [sys.executable, "-c", SMALL, str(root), *dtypes],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert not process.stderr
    file, misses = process.stdout.split()
    assert file.startswith(str(root))
    return int(misses)


def test_processes_fill_one_cache_at_once(tmp_path):
    kinds = [("float32",), ("float64",), ("float64", "float32")]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda dtypes: run(PACKAGE, tmp_path, *dtypes), kinds))
    run(PACKAGE, tmp_path, "float32", "float64")
    assert run(PACKAGE, tmp_path, "float32", "float64") == 0
    assert not list(tmp_path.rglob("*.tmp.*"))


def test_an_image_without_sources_uses_what_was_compiled_with_them(tmp_path):
    image, cache = tmp_path / "image", tmp_path / "cache"
    cache.mkdir()
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE / "amcluster", image / "amcluster", ignore=skipped)
    assert run(PACKAGE, cache, "float64") == 1
    assert compileall.compile_dir(image, quiet=1, legacy=True)
    for source in image.rglob("*.py"):
        source.unlink()
    shutil.rmtree(image / "amcluster" / "__pycache__", ignore_errors=True)
    assert run(image, cache, "float64") == 0
    assert run(image, cache, "float32") == 1
    assert run(image, cache, "float32") == 0


@pytest.fixture
def stopwatch(monkeypatch):
    """As in a process that has compiled nothing, and says at once that it does."""
    monkeypatch.setattr(_cache, "SECONDS", 0.0)
    monkeypatch.setattr(_cache.STOPWATCH, "seconds", 0.0)
    monkeypatch.setattr(_cache.STOPWATCH, "said", False)


def test_long_compilation_is_said_once(folder, stopwatch, monkeypatch, caplog):
    monkeypatch.setattr(_cache, "_is_kernel", lambda event: True)
    caplog.set_level(logging.INFO, logger="amcluster")
    from_disk()
    (record,) = caplog.records
    assert record.name == "amcluster"
    assert record.levelno == logging.INFO
    assert "amcluster.compile()" in record.message
    from_disk(thrice)
    assert len(caplog.records) == 1


def test_only_kernels_are_timed(folder, stopwatch, caplog):
    caplog.set_level(logging.INFO, logger="amcluster")
    from_disk()  # a function of this file
    numba.jit(forceobj=True)(with_a_loop)(2.5)
    assert not caplog.records


def test_what_takes_no_time_is_not_said(folder, stopwatch, monkeypatch, caplog):
    monkeypatch.setattr(_cache, "_is_kernel", lambda event: True)
    monkeypatch.setattr(_cache, "SECONDS", 60.0)
    caplog.set_level(logging.INFO, logger="amcluster")
    from_disk()
    monkeypatch.setattr(_cache, "SECONDS", 0.0)
    assert from_disk()
    assert not caplog.records


class Foreign(NamedTuple):
    """A named tuple of somebody else."""

    x: float


def test_code_for_energies_of_others_is_not_kept():
    """A process that lacks the class could not read the index of a kernel."""
    ours = Memories(np.zeros((1, 2)), np.zeros(1), 0.5)
    for energy, expected in ((StudentT(3.0), True), (Foreign(3.0), False)):
        memories = numba.typeof(ours._replace(energy=energy))
        assert _cache.is_ours((numba.typeof(0.5), memories)) == expected
        assert _cache.is_ours(numba.void(memories)) == expected
        assert _cache.is_ours((numba.types.Tuple((memories,)),)) == expected


def test_kernels_are_inlined_into_each_other():
    """Else the last bits of a result would tell whether its process compiled anew.

    Between a kernel that was compiled alone and its copy within a caller the order of a
    sum may differ.
    """
    package = target()
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    kernels = [
        kernel
        for module in modules
        for kernel in vars(module).values()
        if hasattr(kernel, "targetoptions")
    ]
    assert len(kernels) > 50
    assert all(kernel.targetoptions["forceinline"] for kernel in kernels)
