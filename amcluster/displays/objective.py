"""A plot of the objective of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.pipeline import Pipeline

from .._typing import Floats
from ..checks import check_choice
from ..clusterers.base import AssociativeClusterer
from ..clusterers.clam import CLAMClusterer
from ..clusterers.elbo import CLAMELBOClusterer
from .drawing import GREY, PALETTE, axes, whole_ticks
from .fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class ObjectiveDisplay:
    """The objective that a fit minimised, by iteration or by run.

    Create it by `from_estimator`. To compare fits, with different seeds for example,
    draw one and pass its `ax_` to the others.

    Parameters
    ----------
    x : ndarray of shape (n_points,) or range
        Iterations, or numbers of memories.

    objective : ndarray of shape (n_points,)
        The objective, which the fit minimised.

    xlabel : str
        Label of x.

    ylabel : str
        Label of the objective, with its unit.

    runs : bool, default=False
        Whether points are runs, of which the one with the lowest was kept.

    name : str, default=None
        Name of the fit in the legend; None: no legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The objective.

    ax_ : matplotlib Axes
        The axes with the objective.

    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from amcluster import CRPAssociativeClusterer, ObjectiveDisplay
    >>> X = load_iris().data
    >>> crp = CRPAssociativeClusterer(random_state=0).fit(X)
    >>> display = ObjectiveDisplay.from_estimator(crp, kind="runs")
    >>> display.ax_.get_xlabel()
    'number of memories'
    >>> plt.show()
    """

    line_: Line2D
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        x: Floats | range,
        objective: Floats,
        xlabel: str,
        ylabel: str,
        runs: bool = False,
        name: str | None = None,
    ) -> None:
        self.x = x
        self.objective = objective
        self.xlabel = xlabel
        self.ylabel = ylabel
        self.runs = runs
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: AssociativeClusterer | Pipeline,
        *,
        kind: Literal["history", "runs"] = "history",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the objective of a fitted clusterer.

        Parameters
        ----------
        estimator : clusterer of amcluster, or Pipeline that ends in one
            A fitted estimator.
        kind : {"history", "runs"}, default="history"
            "history" is the objective of the start that was kept, at each iteration;
            "runs", for `CRPAssociativeClusterer`, are all numbers of memories that were
            compared.
        name : str, default=None
            Name of the fit in the legend; None: no legend.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        display : ObjectiveDisplay
            What was drawn, and its numbers.

        Raises
        ------
        TypeError
            If the estimator is not a clusterer of this library.
        ValueError
            If `kind` is not known, or the estimator has no runs.
        """
        clusterer = Fitted.of(estimator, cls.__name__).clusterer
        check_choice(kind, "kind", ("history", "runs"))
        runs = kind == "runs"
        if runs and not hasattr(clusterer, "runs_"):
            raise ValueError(
                f"kind == 'runs' needs runs_, which {type(clusterer).__name__} has not:"
                " the number of its memories is given. Use kind='history'."
            )
        history = clusterer.history_
        display = cls(
            x=clusterer.runs_[:, 0] if runs else range(len(history)),
            objective=clusterer.runs_[:, 1] if runs else history,
            xlabel="number of memories" if runs else "iteration",
            ylabel=_meaning(clusterer),
            runs=runs,
            name=name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        display : ObjectiveDisplay
            This display.
        """
        ax = axes(ax, type(self).__name__)
        self.ax_, self.figure_ = ax, ax.figure
        style = {"marker": "." if self.runs or len(self.x) < 2 else ""}
        style["linestyle"] = "none" if self.runs else "-"
        (self.line_,) = ax.plot(
            self.x, self.objective, label=self.name, **(style | kwargs)
        )
        if self.runs:
            kept = self.objective.argmin()
            ax.plot(
                self.x[kept],
                self.objective[kept],
                marker="o",
                linestyle="none",
                markersize=10,
                fillstyle="none",
                color=PALETTE[5],
                label="kept",
            )
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        if self.runs or self.name is not None:
            ax.legend()
        ax.grid(color=GREY, alpha=0.3)
        whole_ticks(ax)
        return self


def _meaning(clusterer: AssociativeClusterer) -> str:
    """The meaning of history_, with its unit."""
    if isinstance(clusterer, CLAMClusterer):
        return "reconstruction loss (squared units of X)"
    if isinstance(clusterer, CLAMELBOClusterer):
        return "free energy (nats per row)"
    return "objective (nats per row)"
