"""Clustering with associative memories, compatible with scikit-learn."""

from ._clam import CLAMClusterer
from ._compile import compile
from ._crp import CRPAssociativeClusterer
from ._displays import (
    AssignmentDisplay,
    EnergyLandscapeDisplay,
    MemoryDisplay,
    ObjectiveDisplay,
)
from ._elbo import CLAMELBOClusterer
from ._imputer import AssociativeImputer

__all__ = [
    "AssignmentDisplay",
    "AssociativeImputer",
    "CLAMClusterer",
    "CLAMELBOClusterer",
    "CRPAssociativeClusterer",
    "EnergyLandscapeDisplay",
    "MemoryDisplay",
    "ObjectiveDisplay",
    "compile",
]
__version__ = "0.1.0.dev0"
