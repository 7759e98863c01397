"""What learners know of the kinds of rows."""

from ..rows.complete import DistinctRows
from ..rows.kinds import by_kind
from ..rows.missing import DistinctRowsWithMissing
from .em import FreeEnergy
from .missing import FreeEnergyWithMissing


@by_kind
def free_energy_of(rows, likelihood, n_features, learn_weights):
    """The free energy that EM lowers for such rows; see `FreeEnergy`."""


free_energy_of.register(DistinctRows, FreeEnergy)
free_energy_of.register(DistinctRowsWithMissing, FreeEnergyWithMissing)
