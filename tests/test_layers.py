"""No module imports from a layer above its own: CONTRIBUTING.md has the map."""

import ast
from pathlib import Path

import pytest

import amcluster

PACKAGE = Path(amcluster.__file__).parent
# From the bottom to the top; a line is one layer.
LAYERS = [
    {"_typing"},
    {"checks", "energies"},
    {"kernels"},
    {"execution"},
    {"rows", "spaces"},
    {"network"},
    {"learning"},
    {"nonparametric"},
    {"clusterers"},
    {"imputation"},
    {"attention", "compilation", "displays", "memory"},
    {"__init__"},
]
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}


def imports(path):
    """What a module imports from amcluster: the names of folders or files there."""
    folder = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = folder[: len(folder) + 1 - node.level]
            names = [node.module] if node.module else [x.name for x in node.names]
            for name in names:
                yield (*start, *name.split("."))[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_no_import_leads_upward(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    above = {name for name in imports(path) if HEIGHT[name] > HEIGHT[own]}
    assert not above
