"""Coarser answers of a fit: its memories merged one pair at a time."""

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._typing import Ints
from ..checks import check_number
from ..nonparametric.hierarchy import Hierarchy
from .base import AssociativeClusterer


class HierarchyMixin(AssociativeClusterer):
    """Methods of the CRP about the hierarchy of its memories."""

    n_clusters_: int
    children_: NDArray[np.integer]
    distances_: NDArray[np.float64]
    _labels_of_memories_: Ints

    def labels_at(self, n_clusters: int) -> Ints:
        """Label the training rows with memories merged down to a smaller number.

        The merges are those of `children_`, from the first on, so that a cluster is a
        union of clusters of any larger number. Nothing is fitted again: with
        ``n_clusters=`` as a parameter, a fit finds the best memories of that number,
        which need not be unions.

        Parameters
        ----------
        n_clusters : int
            From 1 to `n_clusters_`.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            From 0 to ``n_clusters - 1``, in the order of the first memory of each
            cluster; for `n_clusters_` they are those of memories, which `labels_` are
            unless ``merge="valley"``.

        Raises
        ------
        ValueError
            If there are not so many memories to merge, or the memories were changed by
            `partial_fit`.

        Examples
        --------
        >>> from sklearn.datasets import make_blobs
        >>> from amcluster import CRPAssociativeClusterer
        >>> centers = [[0, 0], [12, 0], [0, 40]]
        >>> X, y = make_blobs(300, centers=centers, random_state=0)
        >>> crp = CRPAssociativeClusterer(random_state=0).fit(X)
        >>> crp.n_clusters_
        3
        >>> labels = crp.labels_at(2)
        >>> bool(((labels == labels[y == 2][0]) == (y == 2)).all())
        True
        """
        hierarchy = self._hierarchy("labels_at")
        check_number(n_clusters, "n_clusters", Integral)
        if not 1 <= n_clusters <= self.n_clusters_:
            raise ValueError(
                f"n_clusters == {n_clusters}, must be from 1 to n_clusters_ =="
                f" {self.n_clusters_}: memories are merged, never split. For more"
                f" clusters fit {type(self).__name__}(n_clusters=...)."
            )
        groups = hierarchy.groups(int(n_clusters)).astype(self.labels_.dtype)
        return groups[self._labels_of_memories_]

    def _hierarchy(self, who: str) -> Hierarchy:
        """The hierarchy of the memories, for `who`."""
        check_is_fitted(self)
        if not hasattr(self, "children_"):
            raise NotFittedError(
                f"{who} needs children_, the merges of fitted memories, which"
                " partial_fit has dropped since it changes memories: call fit on all"
                " rows, or group the rows of cluster_centers_ by"
                " sklearn.cluster.AgglomerativeClustering."
            )
        return Hierarchy(self.children_, self.distances_)

    def _drop_hierarchy(self) -> None:
        """Forget what groups memories, since they are others."""
        of_fit = "component_of", "n_components", "_labels_of_memories"
        for name in (*Hierarchy._fields, *of_fit):
            self.__dict__.pop(f"{name}_", None)
