"""What is kept of a mixture whose memories share a covariance, or have their own."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._typing import Floats
from ..kernels import Memories
from ..learning.em import Mixture
from ..rows.weighted import WeightedRows
from ..spaces.covariance import Own, Shared
from ..spaces.metric import LearnedMetric, inverse_root
from .base import AssociativeClusterer, fitted_attributes
from .centers import is_word

COVARIANCES = ("shared", "spherical", "diagonal", "full")


class MemoryShapesMixin(AssociativeClusterer):
    """The parts of a clusterer with a parameter `covariance` that know of it."""

    _form_ = "shared"  # what `covariance` was at the fit
    # (n_clusters, n_features, n_features) in the coordinates of the metric; None where
    # all memories have its shape
    _roots_: Floats | None = None

    @property
    def covariances_(self) -> Floats:
        """Covariances of the memories in squared units of X, or their scale matrices.

        Their shape is that of `sklearn.mixture.GaussianMixture`: (n_features,
        n_features) for ``covariance="shared"``, (n_clusters,) for "spherical",
        (n_clusters, n_features) for "diagonal", and (n_clusters, n_features,
        n_features) for "full".
        """
        check_is_fitted(self)
        if self._form_ == "spherical":
            return np.asarray(0.5 / self.beta_)
        covariances = self._metric_or_identity().covariances(self.beta_, self._roots_)
        if self._form_ == "diagonal":
            return np.diagonal(covariances, axis1=1, axis2=2).copy()
        return covariances

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(n_features)
        if self._roots_ is not None:
            shapes["_roots_"] = (*shapes["weights_"], n_features, n_features)
        return shapes

    def _has_own(self) -> bool:
        return self._form_ != "shared"

    def _memories(self, n_features: int) -> Memories:
        memories = super()._memories(n_features)
        if not self._has_own():
            return memories
        log_scales = np.log(self.beta_ / memories.reference_beta) / 2
        return memories._replace(log_scales=log_scales, roots=self._roots_)

    def _check_own(self) -> None:
        """Raise for what does not go with covariances of their own."""
        here = f"covariance == {self.covariance!r}"
        if self.metric == "learned":
            raise ValueError(
                f"metric == 'learned' and {here}: the metric is that of a shared"
                " covariance. Leave metric='euclidean', or take covariance='shared'."
            )
        if not is_word(self.beta, "auto"):
            raise ValueError(
                f"beta == {self.beta} and {here}: each memory learns its own. Leave"
                " beta='auto', or take covariance='shared'."
            )
        if self._likelihood().bounded:
            raise ValueError(
                f"likelihood == {self.likelihood!r} and {here}: covariances of their"
                " own are for densities that are 0 nowhere. Take another, such as"
                " 'student_t', or covariance='shared'."
            )


def attributes_of(
    mixture: Mixture, basis: Floats | None, rows: WeightedRows
) -> dict[str, Any]:
    """What the estimator keeps of a mixture of rows."""
    centers, weights, spread = mixture
    if isinstance(spread, Own):
        return _own_attributes(mixture, rows)
    if not isinstance(spread, Shared):
        return fitted_attributes(centers, weights, spread.beta, rows.offset)
    if basis is not None:
        centers = centers @ basis.T
    precision = spread.precision(rows.units, basis)
    attributes = fitted_attributes(
        centers * rows.units, weights, precision.scale / 2, rows.offset
    )
    metric = precision.normalised().astype(rows.offset.dtype)
    attributes["_metric_"] = tuple(metric)
    attributes["shrinkage_"] = float(spread.shrinkage)
    return attributes


def _own_attributes(mixture: Mixture, rows: WeightedRows) -> dict[str, Any]:
    """The same of memories with covariances of their own.

    Their roots are in the coordinates of the metric of what is common to them.
    """
    centers, weights, spread = mixture
    attributes = fitted_attributes(centers * rows.units, weights, 1.0, rows.offset)
    attributes["_form_"] = spread.form
    if spread.form == "spherical":
        attributes["beta_"], _ = spread.sizes_and_roots()
        return attributes
    units = np.asarray(rows.units, np.float64)
    metric = LearnedMetric(units, None, inverse_root(spread.common)).normalised()
    metric = metric.astype(rows.offset.dtype)
    attributes["_metric_"] = tuple(metric)
    matrix = metric.astype(np.float64).matrix * units[:, None]
    attributes["beta_"], attributes["_roots_"] = spread.sizes_and_roots(matrix)
    return attributes
