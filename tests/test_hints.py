"""Every public name has type hints, and they say what its docstring says.

mypy, which `.ci/run style` calls, sees that hints agree with the code.
"""

import inspect
import re
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import BaseEstimator
from sklearn.impute import MissingIndicator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import amcluster
from amcluster import (
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    attention,
    energies,
    memory,
)
from amcluster._typing import Energy, Table
from amcluster.attention import VonMisesFisherMixture
from amcluster.clusterers.base import AssociativeClusterer
from amcluster.energies import elementary
from amcluster.memory import RetrievalExperiment

# What only checkers of types import.
UNSEEN = {c.__name__: c for c in (Axes, Figure, Line2D, QuadContourSet)}

ARRAY = r"ndarray of shape \([^)]*\)"
# What a docstring says, and the hint that it has to have. The first that fits is it.
WORDS = {
    r"\{array-like, sparse matrix\} of shape \([^)]*\)": Table,
    r'\{[^}]*\}|"\w+"': Literal,  # with these options
    r"sequence of \{[^}]*\}": Sequence,
    "sequence of classes, of their names or of instances": Sequence[
        str | type[BaseEstimator] | BaseEstimator
    ],
    f"{ARRAY}, int": NDArray[np.integer],
    f"{ARRAY}, float64": NDArray[np.float64],
    f"{ARRAY}, bool": NDArray[np.bool_],
    f"{ARRAY}, object": NDArray[np.object_],
    ARRAY: NDArray[np.floating],
    "ndarray of str objects": NDArray[np.object_],
    r"array-like of (?:shape \([^)]*\)|str)": ArrayLike,
    "tuple of 2 or 3 int": tuple[int, int] | tuple[int, int, int],
    "list of str": list[str],
    "int": int,
    "float|number|NaN": float,
    "bool": bool,
    "str": str,
    "None": type(None),
    "range": range,
    "callable": Callable,
    "dict": Any,  # of further keywords
    "pandas.NA": object,
    "RandomState instance": np.random.RandomState,
    "energy": Energy,
    "clusterer of amcluster": AssociativeClusterer,
    "Pipeline that ends in one": Pipeline,
    r"object|\w+Display": Self,
    "CLAMELBOClusterer": CLAMELBOClusterer,
    "CRPAssociativeClusterer": CRPAssociativeClusterer,
    "VonMisesFisherMixture": VonMisesFisherMixture,
    "RetrievalExperiment": RetrievalExperiment,
    "StandardScaler": StandardScaler,
    "MissingIndicator": MissingIndicator,
    "sequence of 2 matplotlib Axes": Sequence[Axes],
    "matplotlib Axes": Axes,
    "matplotlib Figure": Figure,
    "matplotlib Line2D": Line2D,
    "matplotlib QuadContourSet": QuadContourSet,
}


def meaning(text):
    """The members of the hint that a docstring's words stand for."""
    text, _, default = text.partition(", default=")
    members = {type(None)} if default == "None" else set()
    while text:
        # One after the other, with a comma or "or" between them.
        fits = {re.match(f"({words})(?:,? or |, |$)", text): words for words in WORDS}
        fits.pop(None, None)
        assert fits, f"WORDS has no hint of {text!r}."
        found, words = next(iter(fits.items()))
        hint = WORDS[words]
        if hint in (Literal, Sequence):
            options = Literal[tuple(re.findall(r'"([^"]*)"', found[1]))]
            hint = options if hint is Literal else Sequence[options]
        members |= members_of(hint)
        text = text[found.end() :]
    return members


def members_of(hint):
    """The members of a union; options one by one, callables whatever they take."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return set().union(*map(members_of, get_args(hint)))
    if origin is Literal:
        return {("option", value) for value in get_args(hint)}
    return {Callable if origin is Callable else hint}


def is_public(name, thing):
    """Whether a name is public, and what it stands for is ours."""
    ours = str(getattr(thing, "__module__", "")).startswith("amcluster")
    return ours and callable(thing) and (name == "__init__" or name[0] != "_")


def functions_of(cls):
    """Its constructor and its public methods."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        method = getattr(method, "__func__", method)  # of a class method
        if is_public(name, method):
            yield f"{cls.__name__}.{name}", inspect.unwrap(method)


PUBLIC = {
    name: thing
    for module in (amcluster, attention, energies, elementary, memory)
    for name, thing in vars(module).items()
    if is_public(name, thing) and name in getattr(module, "__all__", [name])
}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if name not in CLASSES}
for cls in CLASSES.values():
    FUNCTIONS |= functions_of(cls)
functions = pytest.mark.parametrize("name", FUNCTIONS)
classes = pytest.mark.parametrize("name", CLASSES)


def hints_of(thing):
    return get_type_hints(thing, localns=UNSEEN)


def doc_of(name):
    """The documentation of a function; that of a constructor is its class's."""
    if name.endswith(".__init__"):
        return ClassDoc(CLASSES[name.removesuffix(".__init__")])
    return FunctionDoc(FUNCTIONS[name])


def said(documented):
    """What the documentation of parameters or attributes says of each."""
    return {entry.name.lstrip("*"): meaning(entry.type) for entry in documented}


def hinted(hints):
    return {name: members_of(hint) for name, hint in hints.items()}


@functions
def test_everything_is_hinted(name):
    parameters = set(inspect.signature(FUNCTIONS[name]).parameters) - {"self", "cls"}
    assert set(hints_of(FUNCTIONS[name])) == parameters | {"return"}


@functions
def test_parameters_are_as_documented(name):
    documented, hints = doc_of(name)["Parameters"], hints_of(FUNCTIONS[name])
    del hints["return"]
    # The methods of energies are documented by `register`, for all of them.
    if documented or name.partition(".")[0] in amcluster.__all__:
        assert said(documented) == hinted(hints)


@functions
def test_what_is_returned_is_as_documented(name):
    documented, hint = doc_of(name)["Returns"], hints_of(FUNCTIONS[name])["return"]
    returned = [meaning(entry.type) for entry in documented]
    if len(returned) > 1:
        # All of them, and perhaps the first alone.
        (together,) = (one for one in members_of(hint) if get_origin(one) is tuple)
        assert [members_of(one) for one in get_args(together)] == returned
        assert members_of(hint) - {together} <= returned[0]
    elif returned or name.partition(".")[0] in amcluster.__all__:
        assert members_of(hint) == (returned[0] if returned else {type(None)})


@classes
def test_attributes_are_as_documented(name):
    cls = CLASSES[name]
    # A named tuple's are its parameters.
    section = "Parameters" if issubclass(cls, tuple) else "Attributes"
    documented = said(ClassDoc(cls)[section])
    hints = {one: hint for one, hint in hints_of(cls).items() if one[0] != "_"}
    for one in documented:
        attribute = inspect.getattr_static(cls, one, None)
        if isinstance(attribute, property):
            hints[one] = hints_of(attribute.fget)["return"]
    assert documented == hinted(hints)
