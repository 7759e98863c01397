"""Clustering with associative memories, compatible with scikit-learn."""

from ._clam import CLAMClusterer
from ._elbo import CLAMELBOClusterer

__all__ = ["CLAMClusterer", "CLAMELBOClusterer"]
__version__ = "0.1.0.dev0"
