"""Every public name has a numpydoc docstring; setup.cfg says what is checked."""

from configparser import ConfigParser
from pathlib import Path

import pytest
from numpydoc.validate import validate

import amcluster
from amcluster import attention

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
    for name in amcluster.__all__:
        yield f"amcluster.{name}"
        for method in dir(getattr(amcluster, name)):
            if not method.startswith("_") and method not in INHERITED:
                yield f"amcluster.{name}.{method}"


@pytest.mark.parametrize("name", [*amcluster.__all__, *attention.__all__])
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
