"""A plot of the numbers of memories that a fit compared, and of how memories merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram
from sklearn.pipeline import Pipeline

from .._typing import Floats, Ints
from ..clusterers.crp import CRPAssociativeClusterer
from .drawing import GREY, PALETTE, two_axes, whole_ticks
from .fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# With more memories than these their indices are not written, which would overlap.
MOST_NAMES = 40


class CRPPathDisplay:
    """How many memories a fit compared, and how those that it kept would merge.

    Create it by `from_estimator`. The first plot is the objective of each number of
    memories, and shows how clear the choice was. The second is a dendrogram of the
    memories of the fit, which `CRPAssociativeClusterer.labels_at` cuts.

    Parameters
    ----------
    numbers : ndarray of shape (n_numbers,), int
        Numbers of memories, in ascending order.

    objective : ndarray of shape (n_numbers,)
        The lowest objective of each, in nats per row.

    n_clusters : int
        Number of memories of the fit.

    children : ndarray of shape (n_clusters - 1, 2), int
        Which are merged: see `CRPAssociativeClusterer`.

    distances : ndarray of shape (n_clusters - 1,), float64
        What each merge costs, in nats.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The objective.

    axes_ : ndarray of shape (2,), object
        The axes with the objective, and with the dendrogram.

    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    ObjectiveDisplay : The objective alone, by iteration or by run.

    Notes
    -----
    A merge may cost less than an earlier one, or even gain. So that links rise in the
    order of the merges, each is drawn at the largest cost until then, and at 0 while
    merges gain. `distances` has the costs themselves.

    The number of the fit need not have the lowest objective: it may be given, or
    memories smaller than `min_cluster_size` were dissolved after the path.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from amcluster import CRPAssociativeClusterer, CRPPathDisplay
    >>> X = load_iris().data
    >>> crp = CRPAssociativeClusterer(n_clusters=8, random_state=0).fit(X)
    >>> display = CRPPathDisplay.from_estimator(crp)
    >>> display.axes_[1].get_xlabel()
    'memory'
    >>> plt.show()
    """

    line_: Line2D
    axes_: NDArray[np.object_]
    figure_: Figure

    def __init__(
        self,
        *,
        numbers: Ints,
        objective: Floats,
        n_clusters: int,
        children: Ints,
        distances: NDArray[np.float64],
    ) -> None:
        self.numbers = numbers
        self.objective = objective
        self.n_clusters = n_clusters
        self.children = children
        self.distances = distances

    @classmethod
    def from_estimator(
        cls,
        estimator: CRPAssociativeClusterer | Pipeline,
        *,
        ax: Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the path of a fitted CRPAssociativeClusterer.

        Parameters
        ----------
        estimator : CRPAssociativeClusterer, or Pipeline that ends in one
            A fitted estimator.
        ax : sequence of 2 matplotlib Axes, default=None
            Where to draw the objective and the dendrogram; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for the objective.

        Returns
        -------
        display : CRPPathDisplay
            What was drawn, and its numbers.

        Raises
        ------
        TypeError
            If the estimator is no CRPAssociativeClusterer.
        ValueError
            If the memories were changed by `partial_fit`, or `ax` are not two axes.
        """
        clusterer = Fitted.of(estimator, cls.__name__).clusterer
        if not isinstance(clusterer, CRPAssociativeClusterer):
            raise TypeError(
                f"{cls.__name__} draws how CRPAssociativeClusterer came to a number of"
                f" memories, got estimator={type(clusterer).__name__}, where it is"
                " given. Use ObjectiveDisplay."
            )
        children, distances = clusterer._hierarchy(cls.__name__)
        tried, of_run = np.unique(clusterer.runs_[:, 0], return_inverse=True)
        objective = np.full(len(tried), np.inf)
        np.minimum.at(objective, of_run, clusterer.runs_[:, 1])
        display = cls(
            numbers=tried.astype(int),
            objective=objective,
            n_clusters=clusterer.n_clusters_,
            children=children,
            distances=distances,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, *, ax: Sequence[Axes] | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : sequence of 2 matplotlib Axes, default=None
            Where to draw the objective and the dendrogram; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for the objective.

        Returns
        -------
        display : CRPPathDisplay
            This display.
        """
        self.axes_ = two_axes(ax, type(self).__name__)
        self.figure_ = self.axes_[0].figure
        self._draw_objective(self.axes_[0], kwargs)
        self._draw_merges(self.axes_[1])
        return self

    def _draw_objective(self, ax: Axes, style: dict[str, Any]) -> None:
        style = {"marker": ".", "color": PALETTE[0]} | style
        (self.line_,) = ax.plot(self.numbers, self.objective, **style)
        ax.axvline(
            self.n_clusters,
            color=PALETTE[5],
            linestyle="--",
            label=f"fitted: {self.n_clusters}",
        )
        ax.set(xlabel="number of memories", ylabel="objective (nats per row)")
        ax.legend()
        ax.grid(color=GREY, alpha=0.3)
        whole_ticks(ax)

    def _draw_merges(self, ax: Axes) -> None:
        ax.set(xlabel="memory", ylabel="cost of merging (nats)")
        if not len(self.children):
            ax.set(xticks=[0], yticks=[])
            return
        dendrogram(
            self._links(),
            ax=ax,
            color_threshold=0,
            above_threshold_color=PALETTE[0],
            no_labels=self.n_clusters > MOST_NAMES,
        )

    def _links(self) -> Floats:
        """The merges as SciPy takes them, with heights that never fall."""
        sizes = np.ones(2 * self.n_clusters - 1)
        for i, pair in enumerate(self.children, start=self.n_clusters):
            sizes[i] = sizes[pair].sum()
        heights = np.maximum.accumulate(np.maximum(self.distances, 0.0))
        return np.column_stack([self.children, heights, sizes[self.n_clusters :]])
