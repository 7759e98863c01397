"""Sphinx configuration."""

from datetime import date

import amcluster

project = "amcluster"
author = "The amcluster developers"
copyright = f"{date.today().year}, {author}"
release = version = amcluster.__version__

extensions = ["sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
numpydoc_show_class_members = False
