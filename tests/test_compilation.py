"""amcluster.compile: afterwards nothing that a user does compiles a kernel."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse

import amcluster
from amcluster import AssociativeImputer, compilation

# Estimators and data that the module does not try, and all that can be asked of them.
AFTERWARDS = """
import warnings
import numpy as np
from scipy.sparse import csr_array, csr_matrix
import amcluster
from amcluster.compilation import METHODS
from amcluster.kernels.cpu import _cache

amcluster.compile(verbose=False)
missed = []
load = _cache.KernelCache.load_overload

def watched(self, sig, target_context):
    missed.append(f"{self._name} {sig}")
    return load(self, sig, target_context)

_cache.KernelCache.load_overload = watched
warnings.simplefilter("ignore")
MODELS = [
    amcluster.CLAMClusterer(3, n_init=1, max_iter=2),
    amcluster.CLAMClusterer(6, weights="learned", init="random", max_iter=2),
    amcluster.CLAMClusterer(3, solver="adam", batch_size=9, max_iter=2),
    amcluster.CLAMELBOClusterer(3, n_init=1, max_iter=3),
    amcluster.CLAMELBOClusterer(2, likelihood="student_t", weights="uniform"),
    amcluster.CLAMELBOClusterer(3, metric="learned", beta=0.5, max_iter=3),
    amcluster.CRPAssociativeClusterer(),
    amcluster.CRPAssociativeClusterer(metric="euclidean", discount=0.3),
    amcluster.CRPAssociativeClusterer(assignment="hard", metric="euclidean"),
    amcluster.ModeClusterer(),
    amcluster.ModeClusterer(0.5, max_memories=30),
    amcluster.AssociativeImputer(),
    amcluster.AssociativeImputer(3, likelihood="student_t"),
]
SPHERICAL = [
    amcluster.SphericalCLAMClusterer(3, n_init=1, max_iter=3),
    amcluster.SphericalCLAMClusterer(9, concentration="free", max_iter=3),
    amcluster.SphericalCLAMClusterer(3, assignment="hard", init="random"),
]
rng = np.random.default_rng(1)
for n_features in 1, 30:
    X = rng.normal(size=(50, n_features)) + 9 * rng.integers(0, 3, (50, 1))
    H = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    H[0] = 0.0
    narrow = X.astype("f", order="F"), H.astype("f")
    for table in (X, H, *narrow) if n_features > 1 else (H,):
        for model in MODELS:
            weights = {}
            if not isinstance(model, amcluster.AssociativeImputer):
                weights["sample_weight"] = rng.uniform(0.5, 2.0, 50)
            model.fit(table, **weights)
            for method in METHODS:
                if hasattr(model, method):
                    getattr(model, method)(table)
            if hasattr(model, "partial_fit"):
                model.partial_fit(table)
for table in (X, csr_array(X), csr_matrix(np.abs(X)), narrow[0], csr_array(narrow[0])):
    for model in SPHERICAL:
        model.fit(table, sample_weight=rng.uniform(0.5, 2.0, 50))
        for method in METHODS:
            if hasattr(model, method):
                getattr(model, method)(table)
print(missed)
"""


def test_nothing_is_compiled_afterwards():
    """What is in memory is not looked for on disk: so missed here means compiled."""
    process = subprocess.run(
        [sys.executable, "-c", AFTERWARDS],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split("\n")[-2] == "[]"


@pytest.fixture
def used(monkeypatch):
    """The names of estimators and dtypes that are fitted."""
    used = []

    def use(model, X):
        used.append((type(model).__name__, X.dtype.name))

    monkeypatch.setattr(compilation, "use", use)
    return used


@pytest.mark.parametrize(
    "estimators",
    [
        ["CLAMELBOClusterer", "AssociativeImputer"],
        [amcluster.CLAMELBOClusterer, AssociativeImputer],
    ],
    ids=["names", "classes"],
)
@pytest.mark.parametrize("dtypes", [["float32"], [np.float32], "float32", np.float32])
def test_what_is_asked_for(used, dtypes, estimators):
    amcluster.compile(dtypes, estimators)
    names = "CLAMELBOClusterer", "AssociativeImputer"
    assert set(used) == {(name, "float32") for name in names}


def test_instances_are_used_as_they_are(monkeypatch):
    tables = []
    monkeypatch.setattr(compilation, "use", lambda model, X: tables.append((model, X)))
    laplace = amcluster.CLAMELBOClusterer(2, likelihood="laplace")
    amcluster.compile("float32", laplace, verbose=False)
    assert tables
    for model, X in tables:
        assert model.get_params() == laplace.get_params()
        assert not np.isnan(X).any()  # which it refuses


def test_all_by_default(used):
    amcluster.compile(verbose=False)
    names = [name for name in amcluster.__all__ if name.endswith(("Clusterer", "uter"))]
    dtypes = "float32", "float64"
    assert set(used) == {(name, dtype) for name in names for dtype in dtypes}


def test_progress(used, capsys):
    amcluster.compile(["float64"])
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    first, *_, last = shown.strip().split("\r")
    assert first.split(";")[1].strip() == "now CLAMClusterer, float64"
    assert last.startswith("Compiled 6 of 6, ")
    amcluster.compile(["float64"], verbose=False)
    assert not capsys.readouterr().out


def test_tables_for_estimators_that_take_sparse_ones():
    found = list(compilation.tables("float32", False, is_sparse=True))
    matrices = [X for X in found if issparse(X)]
    assert [X.indices.dtype.name for X in matrices] == ["int32", "int64"]
    assert {X.dtype.name for X in found} == {"float32"}
    assert not any(map(issparse, compilation.tables("float32", True)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtypes": ["float16"]}, "dtypes.*'float16' is none of float32, float64"),
        ({"dtypes": ["words"]}, "dtypes.*'words' is none of"),
        ({"estimators": ["KMeans"]}, "estimators.*'KMeans' is none of CLAMClusterer"),
        ({"estimators": [3]}, "estimators.*3 is none of"),
    ],
)
def test_errors(used, arguments, message):
    with pytest.raises(ValueError, match=message):
        amcluster.compile(**arguments)
    assert not used
