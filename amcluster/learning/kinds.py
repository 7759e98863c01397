"""What learners know of the kinds of rows."""

from ..rows.complete import DistinctRows
from ..rows.missing import DistinctRowsWithMissing
from .em import FreeEnergy
from .missing import FreeEnergyWithMissing

FREE_ENERGIES = {
    DistinctRows: FreeEnergy,
    DistinctRowsWithMissing: FreeEnergyWithMissing,
}


def free_energy_of(rows, likelihood, n_features, learn_weights):
    """The free energy that is lowered for rows of this kind; see `FreeEnergy`."""
    return FREE_ENERGIES[type(rows)](rows, likelihood, n_features, learn_weights)
