"""What a soft path stands on: rows in coordinates of their noise, and a model there."""

from math import log
from typing import NamedTuple

import numpy as np

from ..learning.seeding import k_means
from .hierarchy import Hierarchy
from .model import Nonparametric
from .noise import Prepared, selects
from .own import FEWEST, OwnObjective, merge_down, tells_covariances
from .rounding import noise_of_relations, rounding_noise
from .shapes import TAILS, Shaped
from .soft import STEPS, SoftObjective, coarsen
from .valley import components

# With less noise than this, in units of the variance of the data, rounding would take
# what is narrow in a memory that is long.
LEAST_NOISE = 1e-10


class Ground(NamedTuple):
    """Rows in the coordinates of a preparation, and how memories are grown there."""

    rows: object  # DistinctRows or FilledRows, in coordinates
    sample: object  # those of them that the path sees
    rounding: np.ndarray  # (n_features,) smallest step of each feature, in its units
    prepared: Prepared
    model: Nonparametric
    tol: float
    n_memories: int | None = None  # as many as asked for; None: as evidence says
    own: bool = False  # whether memories may have covariances of their own
    heavy_tailed: bool = True  # whether their tails may be heavier than Gaussian

    @property
    def has_own(self):
        """Whether rows tell covariances of memories."""
        axes = self.prepared.coordinates.axes
        whole = axes is None or selects(axes)
        may = self.own and self.rows.device.knows_shapes
        return may and whole and tells_covariances(self.sample)

    def grow(self, random_state, watch):
        """The path with one covariance for all, and from its end that of merges."""
        objective = SoftObjective(self.sample, self.model, self.tol)
        if not self.has_own:
            return coarsen(objective, random_state, watch, self.n_memories)
        outcome = coarsen(objective, random_state, lambda *_: False)
        if outcome.grown.noise < LEAST_NOISE:
            return outcome
        start = outcome.grown
        fewest = min(max(FEWEST, self.n_memories or 1), len(self.sample.values))
        if len(start.counts) < fewest:
            partition = k_means(self.sample.whole, fewest, random_state)
            start = objective.settle(objective.start(partition), STEPS)
        own = self._own_objective(self.sample, start)
        return merge_down(own, start, watch, self.n_memories)

    def settled(self, grown, n_steps):
        """The memories after EM steps on all rows."""
        if isinstance(grown, Shaped):
            return self._own_objective(self.rows, grown).settle(grown, n_steps)
        return SoftObjective(self.rows, self.model, self.tol).settle(grown, n_steps)

    def objective(self, outcome):
        """What an outcome came to per row, in units of X: so preparations compare."""
        n_memories, n_features = len(outcome.grown.counts), len(self.rounding)
        # The lowest of all numbers counts for nothing where one number is asked for.
        same = [value for number, value in outcome.tried if number == n_memories]
        lowest = min(same, default=outcome.history[-1])
        return lowest - n_features / 2 * log(self.prepared.scale)

    def hierarchy(self, grown):
        """The memories merged one pair at a time, down to one."""
        if isinstance(grown, Shaped):
            return Hierarchy.of_own(self._own_objective(self.sample, grown), grown)
        return Hierarchy.of_alike(grown)

    def components(self, grown):
        """The group of each memory: those that no valley separates are in one."""
        rows, covariances = self.sample.whole, grown.covariances
        posteriors = rows.posteriors(self.model_of(grown).memories(grown))
        return components(rows, posteriors, grown.centers, covariances)

    def model_of(self, grown):
        """The model of memories: exact where their covariances are their own."""
        return self.model.exact if isinstance(grown, Shaped) else self.model

    def _own_objective(self, rows, grown):
        coordinates = self.prepared.coordinates.matrix
        unseen = rounding_noise(self.rounding, coordinates, grown.noise)
        unseen = unseen + noise_of_relations(self.sample, grown.noise)
        exact = self.model.exact
        tails = TAILS if self.heavy_tailed else TAILS[-1:]
        return OwnObjective(rows, exact, unseen, self.tol, tails)
