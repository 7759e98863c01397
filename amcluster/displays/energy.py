"""A plot of the energy of a network over a plane."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from .._typing import Floats, Ints
from ..checks import check_number
from ..clusterers.base import AssociativeClusterer
from ..clusterers.elbo import CLAMELBOClusterer
from .drawing import GREY, PALETTE, axes
from .fitted import Fitted
from .plane import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure

# The margin around all points that are drawn, as a fraction of their range.
MARGIN = 0.15
BASE = -1  # label of the basin of the base measure


class EnergyLandscapeDisplay:
    """Energy of a network over a plane, with memories, basins and flows.

    Create it by `from_estimator`. Lines are of equal energy, denser near the minimum.
    Areas of one colour are states from which the network ends at the same memory, and
    white areas those from which it ends at the base measure, where a new memory would
    be made.

    Rows of more than two features are projected onto the plane through their mean and
    along their first two principal components, and so are memories and flows. Energies
    and basins are those of the states in this plane; if a memory is far from the plane,
    the energies near it are above its minimum.

    Parameters
    ----------
    xx0 : ndarray of shape (n_grid, n_grid)
        First coordinates of the states of a grid.

    xx1 : ndarray of shape (n_grid, n_grid)
        Second coordinates.

    energy : ndarray of shape (n_grid, n_grid)
        Their energies, in squared units of X.

    basins : ndarray of shape (n_grid, n_grid), int
        Index of the memory that the network ends at from each of them; -1 for the base
        measure.

    memories : ndarray of shape (n_clusters, 2)
        Coordinates of the memories.

    rows : ndarray of shape (n_samples, 2), default=None
        Coordinates of rows.

    paths : ndarray of shape (n_starts, n_steps + 1, 2), default=None
        Coordinates of states along their flows.

    base_mean : ndarray of shape (2,), default=None
        Coordinates of the mean of the base measure.

    xlabel : str, default=None
        What the first coordinate is.

    ylabel : str, default=None
        What the second is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the landscape.

    figure_ : matplotlib Figure
        Their figure.

    contours_ : matplotlib QuadContourSet
        The lines of equal energy.

    See Also
    --------
    AssignmentDisplay : Posteriors, which are the states of CLAM+ELBO, step by step.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import make_blobs
    >>> from amcluster import CLAMClusterer, EnergyLandscapeDisplay
    >>> X, _ = make_blobs(200, centers=3, random_state=0)
    >>> clam = CLAMClusterer(3, random_state=0).fit(X)
    >>> display = EnergyLandscapeDisplay.from_estimator(clam, X, starts=X[:5])
    >>> display.ax_.get_xlabel()
    'x0'
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure
    contours_: QuadContourSet

    def __init__(
        self,
        *,
        xx0: Floats,
        xx1: Floats,
        energy: Floats,
        basins: Ints,
        memories: Floats,
        rows: Floats | None = None,
        paths: Floats | None = None,
        base_mean: Floats | None = None,
        xlabel: str | None = None,
        ylabel: str | None = None,
    ) -> None:
        self.xx0 = xx0
        self.xx1 = xx1
        self.energy = energy
        self.basins = basins
        self.memories = memories
        self.rows = rows
        self.paths = paths
        self.base_mean = base_mean
        self.xlabel = xlabel
        self.ylabel = ylabel

    @classmethod
    def from_estimator(
        cls,
        estimator: AssociativeClusterer | Pipeline,
        X: ArrayLike,
        *,
        starts: ArrayLike | None = None,
        n_steps: int = 30,
        step_size: float = 0.3,
        grid_resolution: int = 100,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the landscape of a fitted clusterer.

        Parameters
        ----------
        estimator : clusterer of amcluster, or Pipeline that ends in one
            A fitted estimator. With a Pipeline the landscape is that of the transformed
            rows.
        X : array-like of shape (n_samples, n_features)
            Rows to draw, which also determine the range of the plane. Missing values
            are replaced by what the memories expect.
        starts : array-like of shape (n_starts, n_features), default=None
            States whose flow is drawn; None: no flow.
        n_steps : int, default=30
            Number of steps of a flow.
        step_size : float, default=0.3
            Their size, in (0, 2).
        grid_resolution : int, default=100
            Number of states of the grid in either direction.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `contour`.

        Returns
        -------
        display : EnergyLandscapeDisplay
            What was drawn, and its numbers.

        Raises
        ------
        TypeError
            If the estimator is not a clusterer of this library.
        ValueError
            If X has one feature, or `starts` are given for a CLAMELBOClusterer, whose
            states are posteriors.
        """
        fitted = Fitted.of(estimator, cls.__name__)
        check_number(grid_resolution, "grid_resolution", Integral, min_val=2)
        rows = fitted.completed(X)
        plane = Plane.of(rows, fitted.feature_names, fitted.preparation)
        drawn = {
            "memories": plane.project(fitted.clusterer.cluster_centers_),
            "rows": plane.project(rows),
        }
        if starts is not None:
            paths = _paths(fitted, starts, n_steps, step_size)
            drawn["paths"] = plane.project(paths)
        if hasattr(fitted.clusterer, "base_mean_"):
            drawn["base_mean"] = plane.project(fitted.clusterer.base_mean_)
        xx0, xx1 = _grid(drawn.values(), grid_resolution)
        states = plane.lift(np.stack([xx0, xx1], axis=-1).reshape(-1, 2))
        states = states.astype(rows.dtype)
        display = cls(
            xx0=xx0,
            xx1=xx1,
            energy=fitted.clusterer.energy(states).reshape(xx0.shape),
            basins=_basins(fitted.clusterer, states).reshape(xx0.shape),
            xlabel=plane.names[0],
            ylabel=plane.names[1],
            **drawn,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `contour`.

        Returns
        -------
        display : EnergyLandscapeDisplay
            This display.
        """
        ax = axes(ax, type(self).__name__)
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_basins()
        self._draw_energy(**kwargs)
        if self.rows is not None:
            ax.plot(*self.rows.T, ".", color="0.35", markersize=2, zorder=2)
        for path in () if self.paths is None else self.paths:
            ax.plot(*path.T, color="black", linewidth=1, zorder=3)
            ax.plot(*path[0], "o", color="black", markersize=3, zorder=3)
        style = {"color": "black", "markeredgecolor": "white", "zorder": 4}
        ax.plot(*self.memories.T, "s", markersize=8, label="memory", **style)
        if self.base_mean is not None:
            style["linestyle"] = "none"
            ax.plot(
                *self.base_mean,
                marker="P",
                markersize=12,
                label="base measure",
                **style,
            )
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        return self

    def _draw_basins(self) -> None:
        n_memories = len(self.memories)
        palette = ("#FFFFFF", *PALETTE)
        indices = np.where(self.basins == BASE, 0, 1 + self.basins % len(PALETTE))
        self.ax_.pcolormesh(
            self.xx0,
            self.xx1,
            indices,
            cmap=_listed(palette),
            vmin=-0.5,
            vmax=len(palette) - 0.5,
            alpha=0.3,
            linewidth=0,
            rasterized=True,
            zorder=0,
        )
        # One label at a time: contours of the labels themselves would draw a line of
        # label 2 where 1 borders on 3.
        for label in range(BASE, n_memories):
            inside = self.basins == label
            if inside.any() and not inside.all():
                line = {"colors": "0.25", "linewidths": 0.8, "linestyles": "solid"}
                self.ax_.contour(
                    self.xx0, self.xx1, inside, levels=[0.5], zorder=1, **line
                )

    def _draw_energy(self, **kwargs: Any) -> None:
        low, high = self.energy.min(), self.energy.max()
        style = {"colors": GREY, "linewidths": 0.7, "linestyles": "solid", "zorder": 1}
        # Energies grow as the square of the distance, and so do the levels.
        style["levels"] = low + (high - low) * np.linspace(0, 1, 22)[1:-1] ** 2
        self.contours_ = self.ax_.contour(
            self.xx0, self.xx1, self.energy, **(style | kwargs)
        )


def _listed(palette: tuple[str, ...]) -> ListedColormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(palette)


def _paths(fitted: Fitted, starts: ArrayLike, n_steps: int, step_size: float) -> Floats:
    """States along their flows, in the space of rows."""
    if isinstance(fitted.clusterer, CLAMELBOClusterer):
        raise ValueError(
            "starts were given, but the states of CLAMELBOClusterer are posteriors and"
            " do not move in the space of X. Leave starts=None, and draw posteriors by"
            " AssignmentDisplay.from_estimator(estimator, starts)."
        )
    return fitted.clusterer.trajectory(fitted.rows(starts), n_steps, step_size)


def _grid(shapes: Iterable[Floats], resolution: int) -> tuple[Floats, ...]:
    """Coordinates of a grid that covers all points of `shapes` with a margin."""
    points = np.concatenate([points.reshape(-1, 2) for points in shapes])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.where(high > low, high - low, 1)
    sides = np.linspace(low - margin, high + margin, resolution, axis=1)
    return np.meshgrid(*sides)


def _basins(clusterer: AssociativeClusterer, states: Floats) -> Ints:
    """The memory at which the network ends from each state, or BASE."""
    if isinstance(clusterer, CLAMELBOClusterer):
        return clusterer.predict(states)  # its states converge to the posterior
    with warnings.catch_warnings():
        # States on a ridge may not converge; either basin is right for them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        rest = clusterer.retrieve(states)
    basins = clusterer.predict(rest)
    if hasattr(clusterer, "novelty"):
        new = clusterer.novelty(rest)
        of_memory = (1 - new) * clusterer.predict_proba(rest).max(axis=1)
        basins[new > of_memory] = BASE
    return basins
