"""All kernels that estimators can ask for, compiled before somebody waits for them."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags

from .clusterers.clam import CLAMClusterer
from .clusterers.crp import CRPAssociativeClusterer
from .clusterers.elbo import CLAMELBOClusterer
from .clusterers.modes import ModeClusterer
from .clusterers.spherical import SphericalCLAMClusterer
from .imputation.imputer import AssociativeImputer

Dtype = Literal["float32", "float64"]
DTYPES: tuple[Dtype, ...] = ("float32", "float64")

# What can be asked of an estimator, by what leads to kernels of its own.
VARIANTS = {
    "CLAMClusterer": (
        CLAMClusterer(4, n_steps=2, max_iter=2),
        CLAMClusterer(4, n_steps=1, max_iter=2),
        CLAMClusterer(4, solver="adam", mask_fraction=0.5, max_iter=1),
    ),
    "CLAMELBOClusterer": (
        CLAMELBOClusterer(4, max_iter=2),
        CLAMELBOClusterer(4, metric="learned", max_iter=2),
        CLAMELBOClusterer(4, likelihood="student_t", metric="learned", max_iter=2),
    ),
    "CRPAssociativeClusterer": (
        CRPAssociativeClusterer(max_iter=2),
        CRPAssociativeClusterer(metric="euclidean", max_iter=2),
        CRPAssociativeClusterer(assignment="hard", max_iter=2),
        CRPAssociativeClusterer(assignment="hard", creation="flow", max_iter=2),
    ),
    "SphericalCLAMClusterer": (
        SphericalCLAMClusterer(4, n_init=1, max_iter=2),
        SphericalCLAMClusterer(4, assignment="hard", n_init=1, max_iter=2),
    ),
    "ModeClusterer": (
        ModeClusterer(),
        ModeClusterer(max_memories=12),
    ),
    "AssociativeImputer": (
        AssociativeImputer(2),
        AssociativeImputer(2, metric="euclidean"),
    ),
}
METHODS = (
    *("predict", "predict_proba", "transform", "score_samples", "energy", "novelty"),
    *("retrieve", "trajectory", "complete"),
)

Estimator: TypeAlias = str | type[BaseEstimator] | BaseEstimator


def compile(
    dtypes: Sequence[Dtype] = DTYPES,
    estimators: Sequence[Estimator] | None = None,
    *,
    verbose: bool = True,
) -> None:
    """Compile all kernels for the CPU, and keep them for later processes.

    The first fit of a machine compiles the kernels that it needs. In the image of a
    container, or before the tests of a CI job, this does it for all fits: each
    estimator is fitted to a few rows, with every choice that leads to kernels of its
    own. What was compiled before is not compiled again.

    Parameters
    ----------
    dtypes : sequence of {"float32", "float64"}, default=("float32", "float64")
        The kinds of data that there will be.
    estimators : sequence of classes, of their names or of instances, default=None
        The estimators that will be used; None: all. Likelihoods other than Gaussian and
        Student-t have kernels of their own: for those give an instance, such as
        ``CLAMELBOClusterer(likelihood="laplace")``.
    verbose : bool, default=True
        Whether to print a line that tells how far it is.

    Raises
    ------
    ValueError
        If a dtype or an estimator is unknown.

    Warns
    -----
    RuntimeWarning
        If the kernels cannot be kept.

    Notes
    -----
    Kernels are kept in the folder that the environment variable `NUMBA_CACHE_DIR`
    names, or else beside amcluster, or where that cannot be written to in the user's
    cache folder. They are for one version of amcluster, of numba and of Python, and
    one kind of CPU. An image can be built as root and run by anybody: what is there is
    read, also where nothing can be written.

    Examples
    --------
    >>> import amcluster
    >>> amcluster.compile(["float64"], ["AssociativeImputer"], verbose=False)
    """
    dtypes = _chosen(dtypes, "dtypes", DTYPES, _dtype_name)
    if estimators is None:
        estimators = list(VARIANTS)
    elif isinstance(estimators, str | type | BaseEstimator):
        estimators = [estimators]
    names = _chosen(estimators, "estimators", VARIANTS, _estimator_name)
    models = [
        (estimator,) if isinstance(estimator, BaseEstimator) else VARIANTS[name]
        for estimator, name in zip(estimators, names, strict=True)
    ]
    start = time.perf_counter()
    steps = [
        (name, variants, dtype)
        for name, variants in zip(names, models, strict=True)
        for dtype in dtypes
    ]

    def tell(number: int, what: str, end: str = "") -> None:
        if verbose:
            seconds = time.perf_counter() - start
            line = f"\rCompiled {number} of {len(steps)}, {seconds:.0f} s{what}"
            print(line.ljust(72), end=end, flush=True)

    for number, (name, variants, dtype) in enumerate(steps):
        tell(number, f"; now {name}, {dtype}")
        for model in variants:
            taken = get_tags(model).input_tags
            for X in tables(dtype, taken.allow_nan, taken.sparse):
                use(clone(model), X)
    tell(len(steps), "", end="\n")


def _chosen(
    given: Any, parameter: str, known: Iterable[str], name_of: Callable[[Any], str]
) -> list[Any]:
    """The names of what is given, each of which is known."""
    if isinstance(given, str | type):
        given = [given]
    names = [name_of(one) for one in given]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{parameter} == {given!r}, but {name!r} is none of {', '.join(known)}."
            )
    return names


def _estimator_name(estimator: Any) -> str:
    if isinstance(estimator, BaseEstimator):
        estimator = type(estimator)
    return getattr(estimator, "__name__", estimator)


def _dtype_name(dtype: Any) -> str:
    try:
        return np.dtype(dtype).name
    except TypeError:
        return dtype


def tables(dtype: str, missing: bool, is_sparse: bool = False) -> Iterator[Any]:
    """Two groups of rows, in shapes and kinds that kernels meet in different ways."""
    order: Literal["C", "F"]
    for n_features, order in ((2, "C"), (8, "C"), (8, "F"), (40, "C")):
        X = np.random.default_rng(0).normal(size=(24, n_features))
        X[::2] += 9
        yield X.astype(dtype, order)
        if is_sparse and (n_features, order) == (8, "C"):
            for width in (np.int32, np.int64):
                matrix = sparse.csr_matrix(X.astype(dtype))
                matrix.indices = matrix.indices.astype(width)
                matrix.indptr = matrix.indptr.astype(width)
                yield matrix
        X[1::3, 0] = np.nan
        if missing:
            yield X.astype(dtype, order)


def use(model: BaseEstimator, X: Any) -> None:
    """Fit a model to rows and to a batch, and ask it for all that it can tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".* rows have missing values")
        model.fit(X)
        for batch in (X[:6], X[6:]):
            if hasattr(model, "partial_fit"):
                model.partial_fit(batch)
        for method in METHODS:
            if hasattr(model, method):
                getattr(model, method)(X)
        if hasattr(model, "retrieve"):
            model.retrieve(X, n_steps=2)
