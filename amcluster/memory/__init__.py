"""Associative memories that store their data.

`HopfieldNetwork`
    Binary states, weights by Hebb's rule.
`DenseAssociativeMemory`, `dense_memory_error_probability`
    Binary states, and steeper energies for many more patterns.
`ModernHopfieldNetwork`
    States of any numbers; its update is attention.
`KernelDensityMemory`
    States of any numbers, and a density; what became of each pattern.
`kde_capacity`, `retrieval_experiment`
    How many patterns a kernel density can hold: a scale, and an experiment.
`hopfield_retrieve`
    A function: any similarity and separation, and values of other features.

Networks are estimators of scikit-learn: `fit` stores patterns, `partial_fit` adds some,
`forget` removes some, and `transform` retrieves.
"""

from .capacity import RetrievalExperiment, kde_capacity, retrieval_experiment
from .dense import DenseAssociativeMemory, dense_memory_error_probability
from .hopfield import HopfieldNetwork
from .kernel_density import KernelDensityMemory
from .modern import ModernHopfieldNetwork
from .universal import hopfield_retrieve

__all__ = [
    "DenseAssociativeMemory",
    "HopfieldNetwork",
    "KernelDensityMemory",
    "ModernHopfieldNetwork",
    "RetrievalExperiment",
    "dense_memory_error_probability",
    "hopfield_retrieve",
    "kde_capacity",
    "retrieval_experiment",
]
