"""Every public name has a numpydoc docstring; setup.cfg says what is checked."""

from configparser import ConfigParser
from pathlib import Path

import pytest
from numpydoc.validate import validate

import amcluster
from amcluster import attention, memory

ROOT = Path(__file__).parents[1]
# Methods that scikit-learn documents.
INHERITED = {
    "fit_predict",
    "fit_transform",
    "get_feature_names_out",
    "get_metadata_routing",
    "get_params",
    "set_fit_request",
    "set_output",
    "set_partial_fit_request",
    "set_params",
    "set_score_request",
}


def public_names():
    yield from (f"amcluster.attention.{name}" for name in attention.__all__)
    for module in (amcluster, memory):
        for name in module.__all__:
            thing = getattr(module, name)
            yield f"{module.__name__}.{name}"
            if isinstance(thing, type) and issubclass(thing, tuple):
                continue  # its methods are those of a tuple
            for method in dir(thing):
                if not method.startswith("_") and method not in INHERITED:
                    yield f"{module.__name__}.{name}.{method}"


@pytest.mark.parametrize(
    "name", [*amcluster.__all__, *attention.__all__, *memory.__all__]
)
def test_page_in_the_documentation(name):
    assert f"   {name}\n" in (ROOT / "doc" / "api.rst").read_text()


@pytest.mark.parametrize("name", list(public_names()))
def test_docstring(name):
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    _, *excepted = config["tool:numpydoc_validation"]["checks"].split()
    errors = [
        f"{code}: {message}"
        for code, message in validate(name)["errors"]
        if code not in excepted
    ]
    assert not errors
