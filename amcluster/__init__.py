"""Clustering with associative memories, compatible with scikit-learn."""

from .clusterers.clam import CLAMClusterer
from .clusterers.crp import CRPAssociativeClusterer
from .clusterers.elbo import CLAMELBOClusterer
from .clusterers.modes import ModeClusterer
from .clusterers.spherical import SphericalCLAMClusterer
from .compilation import compile
from .displays import (
    AssignmentDisplay,
    CRPPathDisplay,
    EnergyLandscapeDisplay,
    MemoryDisplay,
    ObjectiveDisplay,
)
from .imputation.imputer import AssociativeImputer

__all__ = [
    "AssignmentDisplay",
    "AssociativeImputer",
    "CLAMClusterer",
    "CLAMELBOClusterer",
    "CRPAssociativeClusterer",
    "CRPPathDisplay",
    "EnergyLandscapeDisplay",
    "MemoryDisplay",
    "ModeClusterer",
    "ObjectiveDisplay",
    "SphericalCLAMClusterer",
    "compile",
]
__version__ = "0.1.0.dev0"
