"""The plane onto which rows of many features are projected."""

from typing import NamedTuple, Self

import numpy as np
from sklearn.decomposition import PCA

from .._typing import Floats


class Plane(NamedTuple):
    """Points origin + coordinates @ axes of the space of rows."""

    origin: np.ndarray  # (n_features,)
    axes: np.ndarray  # (2, n_features), orthonormal
    names: tuple[str, ...]  # of the two coordinates

    @classmethod
    def of(cls, rows: Floats, feature_names: list[str], preparation: str = "") -> Self:
        """The features, if they are two, or the first principal components of rows."""
        if rows.shape[1] < 2:
            raise ValueError(
                "X has 1 feature, a plane needs 2 or more. Plot"
                " estimator.energy(grid) against a grid of the feature instead."
            )
        if rows.shape[1] == 2:
            names = tuple(f"{name}{preparation}" for name in feature_names)
            return cls(np.zeros(2), np.eye(2), names)
        if len(rows) < 2:
            raise ValueError(
                f"X has {len(rows)} row, principal components need 2 or more: pass the"
                " training rows."
            )
        pca = PCA(2).fit(rows)
        names = tuple(
            f"principal component {i}\n({share:.0%} of the variance{preparation})"
            for i, share in enumerate(pca.explained_variance_ratio_, start=1)
        )
        return cls(pca.mean_, pca.components_, names)

    def project(self, points: Floats) -> Floats:
        """Coordinates of the points of the plane nearest to `points`."""
        return (points - self.origin) @ self.axes.T

    def lift(self, coordinates: Floats) -> Floats:
        """Points of the space of rows."""
        return self.origin + coordinates @ self.axes
