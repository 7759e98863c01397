"""The fitted clusterer that a display draws, alone or at the end of a Pipeline."""

from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._typing import Floats, Ints
from ..clusterers.base import AssociativeClusterer
from ..clusterers.crp_components import ComponentsMixin


class Fitted(NamedTuple):
    """A clusterer, and the steps before it if it is the last step of a Pipeline."""

    given: AssociativeClusterer
    clusterer: AssociativeClusterer  # the same, but it takes arrays without names
    steps: Any  # a Pipeline, or None

    @classmethod
    def of(cls, estimator: Any, who: str) -> Self:
        """Split a Pipeline; raise if `who` cannot draw the estimator."""
        clusterer, steps = estimator, None
        if isinstance(estimator, Pipeline):
            clusterer = estimator[-1]
            steps = estimator[:-1] if len(estimator) > 1 else None
        if not isinstance(clusterer, AssociativeClusterer):
            raise TypeError(
                f"{who} draws the clusterers of amcluster, got estimator="
                f"{type(clusterer).__name__}; pass a fitted CLAMClusterer,"
                " CLAMELBOClusterer or CRPAssociativeClusterer, or a Pipeline that"
                " ends in one."
            )
        check_is_fitted(clusterer)
        nameless = copy(clusterer)
        nameless.__dict__.pop("feature_names_in_", None)
        return cls(clusterer, nameless, steps)

    def rows(self, X: ArrayLike) -> Floats:
        """X as the clusterer sees it."""
        if self.steps is not None:
            X = self.steps.transform(X)
        return self.given._check_X(X)

    def completed(self, X: ArrayLike) -> Floats:
        """As `rows`, with missing values replaced by what the memories expect."""
        X = self.rows(X)
        return self.clusterer.complete(X) if np.isnan(X).any() else X

    def memories_of(self, rows: Floats) -> Ints:
        """The memory of each row, where clusters may be of several."""
        clusterer = self.clusterer
        if isinstance(clusterer, ComponentsMixin):
            return clusterer._memories_of(rows)
        return clusterer.predict(rows)

    def undone(self, points: Floats) -> Floats:
        """Points in the units before the Pipeline, if its steps can be inverted."""
        if hasattr(self.steps, "inverse_transform"):
            return self.steps.inverse_transform(points)
        return points

    @property
    def feature_names(self) -> list[str]:
        """Names of the features of the clusterer."""
        default = [f"x{i}" for i in range(self.clusterer.n_features_in_)]
        return list(getattr(self.given, "feature_names_in_", default))

    @property
    def preparation(self) -> str:
        """The steps before the clusterer, as a suffix for names of features."""
        if self.steps is None:
            return ""
        names = (type(step).__name__ for _, step in self.steps.steps)
        return " after " + ", ".join(names)
