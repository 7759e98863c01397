"""Plots of fitted memories, with the interface of scikit-learn's displays."""

from .assignment import AssignmentDisplay
from .energy import EnergyLandscapeDisplay
from .memory import MemoryDisplay
from .objective import ObjectiveDisplay
from .path import CRPPathDisplay

__all__ = [
    "AssignmentDisplay",
    "CRPPathDisplay",
    "EnergyLandscapeDisplay",
    "MemoryDisplay",
    "ObjectiveDisplay",
]
