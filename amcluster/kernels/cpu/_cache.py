"""A cache of compiled kernels on disk; on any error in it kernels are compiled anew.

numba keeps an index and, for each signature, a file of machine code. In addition both
have a checksum here, and machine code is found by a hash of all kernels, so that the
cache needs neither the sources nor a writable folder.
"""

import hashlib
import logging
import os
import pickle
import sys
import time
import warnings
from functools import cache
from importlib.util import find_spec
from pkgutil import iter_modules
from types import CodeType

import llvmlite
import numba
from numba.core import caching, config, event
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from ... import energies, kernels

PACKAGE = kernels.__name__.partition(".")[0] + "."
LOG = logging.getLogger("amcluster")
SECONDS = 2.0  # of compiling, after which a process logs a message


@cache
def stamp():
    """A hash of everything that machine code depends on, besides the CPU.

    It covers the byte code of all kernels and energies: it is the same without their
    sources, and a kernel is compiled anew when any function it calls has changed.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    names = [
        f"{package}.{module.name}"
        for package in (__package__, energies.__name__)
        for module in iter_modules(sys.modules[package].__path__)
    ]
    for name in [kernels.__name__, *sorted(names)]:
        spec = find_spec(name)
        for part in _parts(spec.loader.get_code(name)):
            digest.update(part.encode())
    return digest.hexdigest()


def is_ours(sig):
    """Whether all named tuples among the types of a signature are amcluster's.

    Code for a user's own energy is not kept: a process that cannot import its class
    could not read the index, and changes of its methods would go unnoticed.
    """
    if isinstance(sig, tuple):
        return all(map(is_ours, sig))
    kind = getattr(sig, "instance_class", None)
    ours = kind is None or kind.__module__.startswith(PACKAGE)
    return ours and is_ours(tuple(getattr(sig, "args", getattr(sig, "types", ()))))


def _parts(code):
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, frozenset):  # in no fixed order
            yield from sorted(map(repr, constant))
        else:
            yield repr(constant)


def places():
    """Folders for machine code, best first: all are read, one is written to."""
    name = f"amcluster_{stamp()[:40]}"
    if config.CACHE_DIR:
        return [os.path.join(config.CACHE_DIR, name)]
    beside = os.path.join(os.path.dirname(__file__), "__pycache__")
    user = AppDirs(appname="numba", appauthor=False).user_cache_dir
    folders = [beside, os.path.join(user, name)]
    # Files that a frozen executable unpacks may be deleted when it ends.
    return folders[::-1] if getattr(sys, "frozen", False) else folders


class _Locator(caching._CacheLocator):
    """A given folder, whether or not the sources exist."""

    def __init__(self, folder, line=0):
        self._folder, self._line = folder, line

    def get_cache_path(self):
        return self._folder

    def get_source_stamp(self):
        return stamp()

    def get_disambiguator(self):
        return str(self._line)

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(places()[0], py_func.__code__.co_firstlineno)


class _Results(caching.CompileResultCacheImpl):
    _locator_classes = (_Locator,)


def _sealed(thing):
    content = dumps(thing)
    return hashlib.sha256(content).digest(), content


def _opened(sealed):
    digest, content = sealed
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("damaged")
    return pickle.loads(content)


class _Files(caching.IndexDataCacheFile):
    """The index and the machine code of one kernel in one folder."""

    def __init__(self, folder, base):
        super().__init__(folder, base, stamp())
        self.folder = folder

    def load(self, key):
        """The data saved for this key; None if there are none or a file is damaged."""
        try:
            # If processes write the index at the same time, an entry may name the file
            # of another kernel.
            found, data = super().load(key)
            return data if found == key else None
        except Exception:
            return None

    def save(self, key, data):
        _Locator(self.folder).ensure_cache_path()
        super().save(key, (key, data))

    def _load_index(self):
        try:
            return dict(_opened(super()._load_index()))
        except Exception:
            return {}

    def _save_index(self, overloads):
        super()._save_index(_sealed(overloads))

    def _load_data(self, name):
        return _opened(super()._load_data(name))

    def _save_data(self, name, data):
        super()._save_data(name, _sealed(data))


class KernelCache(caching.FunctionCache):
    """The cache of one kernel: never raises; warns once if it cannot be written."""

    _impl_class = _Results
    _warned = False

    def __init__(self, py_func):
        super().__init__(py_func)
        base = self._impl.filename_base
        self._files = [_Files(folder, base) for folder in places()]

    def flush(self):
        """Delete the cached code in all folders that can be written to."""
        for files in self._files:
            try:
                files.flush()
            except OSError:
                continue

    def load_overload(self, sig, target_context):
        """The compiled kernel, or None."""
        if not is_ours(sig):
            return None
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        for files in self._files:
            data = files.load(key)
            try:
                if data is not None:
                    return self._impl.rebuild(target_context, data)
            except Exception:  # as a damaged file
                continue
        return None

    def save_overload(self, sig, data):
        """Save a compiled kernel in the first folder that can be written to."""
        if not is_ours(sig):
            return
        errors = []
        for files in self._files:
            try:
                if self._impl.check_cachable(data):
                    key = self._index_key(sig, data.codegen)
                    files.save(key, self._impl.reduce(data))
                return
            except Exception as error:
                errors.append(f"{files.folder}: {type(error).__name__}: {error}")
        self._warn("; ".join(errors))

    @staticmethod
    def _warn(errors):
        if KernelCache._warned:
            return
        KernelCache._warned = True
        warnings.warn(
            f"Compiled kernels cannot be kept on disk ({errors}), so the next process"
            " compiles them anew. Make room there, or set NUMBA_CACHE_DIR to a folder"
            " that can be written to, or AMCLUSTER_NUMBA_CACHE=0 to accept it.",
            RuntimeWarning,
            stacklevel=2,
        )


class _Stopwatch(event.Listener):
    """Logs one message in a process that spends long compiling kernels."""

    def __init__(self):
        self.depth, self.seconds, self.said = 0, 0.0, False

    def on_start(self, event):
        if _is_kernel(event):
            if self.depth == 0:
                self.start = time.perf_counter()
            self.depth += 1

    def on_end(self, event):
        if not _is_kernel(event):
            return
        self.depth -= 1
        seconds = self.seconds + time.perf_counter() - self.start
        if self.depth == 0:
            self.seconds = seconds
        if seconds > SECONDS and not self.said:
            self.said = True
            LOG.info(
                "Kernels are being compiled, for %.0f s so far. amcluster.compile()"
                " does it once, for all processes that follow.",
                seconds,
            )


def _is_kernel(event):
    # Dispatchers of lifted loops have no py_func.
    function = getattr(event.data["dispatcher"], "py_func", None)
    return str(getattr(function, "__module__", None)).startswith(__package__)


STOPWATCH = _Stopwatch()
event.register("numba:compile", STOPWATCH)
