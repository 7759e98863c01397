"""Clustering with associative memories, compatible with scikit-learn."""

from ._clam import CLAMClusterer

__all__ = ["CLAMClusterer"]
__version__ = "0.1.0.dev0"
