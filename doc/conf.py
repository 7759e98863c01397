"""Sphinx configuration."""

import os
from datetime import date
from pathlib import Path

# Examples are small, and threads of BLAS would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from sphinx_gallery.sorting import ExplicitOrder

import amcluster

project = "amcluster"
author = "The amcluster developers"
copyright = f"{date.today().year}, {author}"
release = version = amcluster.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "sg_execution_times.rst"]
templates_path = ["templates"]
default_role = "literal"

# A name of this library that leads nowhere is an error. Those of others are not looked
# up: the documentation has to build without a network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!amcluster|CLAM|CRP|Associative|\w+Display).*"),
]

html_theme = "pydata_sphinx_theme"
html_title = "amcluster"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
}

# Docstrings say the types.
autodoc_typehints = "none"
numpydoc_show_class_members = False
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

EXAMPLES = Path(__file__).parents[1] / "examples"
ORDER = [
    "plot_quickstart.py",
    "plot_energy_landscapes.py",
    "plot_metrics.py",
    "plot_comparison.py",
    "plot_grid_search.py",
    "plot_outliers.py",
    "plot_missing.py",
    "plot_stream.py",
    "plot_colour_quantization.py",
    "plot_attention_as_clustering.py",
    "plot_denoising_digits.py",
    "plot_1_how_it_works.py",
    "plot_2_beta.py",
    "plot_3_uncertainty.py",
    "plot_4_number_of_clusters.py",
    "*",
]
sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "auto_examples",
    "within_subsection_order": ExplicitOrder(ORDER),
    "doc_module": ("amcluster",),
    "backreferences_dir": "generated/examples",
    "matplotlib_animations": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
}
