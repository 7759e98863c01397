"""Clustering with associative memories, compatible with scikit-learn."""

from ._clam import CLAMClusterer
from ._crp import CRPAssociativeClusterer
from ._elbo import CLAMELBOClusterer
from ._imputer import AssociativeImputer

__all__ = [
    "AssociativeImputer",
    "CLAMClusterer",
    "CLAMELBOClusterer",
    "CRPAssociativeClusterer",
]
__version__ = "0.1.0.dev0"
