"""A plot of the posteriors of rows over the memories, step by step."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import entropy
from sklearn.pipeline import Pipeline

from .._typing import Floats
from ..checks import check_number
from ..clusterers.base import AssociativeClusterer
from ..clusterers.elbo import CLAMELBOClusterer
from .drawing import (
    GREY,
    PALETTE,
    axes,
    colours,
    colours_of,
    legend_beside,
    whole_ticks,
)
from .fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class AssignmentDisplay:
    """Posteriors of rows over the memories, step by step.

    Create it by `from_estimator`. Without `row` each line is the entropy of a row's
    posterior, in the colour of the memory it ends at, and the black line is their mean.
    With `row`, areas are the posteriors of the memories for that row, and the black
    line is its entropy divided by the log of the number of memories: 1 for a uniform
    posterior, 0 for certainty.

    Parameters
    ----------
    posteriors : ndarray of shape (n_samples, n_steps + 1, n_clusters)
        Posterior of each row after each step; they sum to 1 over the memories.

    Attributes
    ----------
    entropies_ : ndarray of shape (n_samples, n_steps + 1)
        Entropies of the posteriors, in nats.

    ax_ : matplotlib Axes
        The axes with the posteriors.

    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    CLAMELBOClusterer.trajectory : Posteriors by one of two flows.
    EnergyLandscapeDisplay : States on their way through the space of X.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from amcluster import AssignmentDisplay, CLAMELBOClusterer
    >>> X = load_iris().data
    >>> elbo = CLAMELBOClusterer(3, random_state=0).fit(X)
    >>> display = AssignmentDisplay.from_estimator(elbo, X, n_steps=10)
    >>> display.entropies_.shape
    (150, 11)
    >>> plt.show()
    """

    entropies_: Floats
    ax_: Axes
    figure_: Figure

    def __init__(self, *, posteriors: Floats) -> None:
        self.posteriors = posteriors

    @classmethod
    def from_estimator(
        cls,
        estimator: AssociativeClusterer | Pipeline,
        X: ArrayLike,
        *,
        n_steps: int = 20,
        row: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Follow the posteriors of a fitted clusterer.

        With `CLAMELBOClusterer` the posterior is the state of the network, and moves
        from uniform to its limit by the natural flow. With other clusterers it is the
        posterior of the state, which moves from the row towards a memory.

        Parameters
        ----------
        estimator : clusterer of amcluster, or Pipeline that ends in one
            A fitted estimator.
        X : array-like of shape (n_samples, n_features)
            Rows to follow.
        n_steps : int, default=20
            Number of steps, of the default size of `trajectory`.
        row : int, default=None
            Row of X whose posteriors are drawn; None: the entropies of all.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : AssignmentDisplay
            What was drawn, and its numbers.

        Raises
        ------
        TypeError
            If the estimator is not a clusterer of this library.
        ValueError
            If `row` is not the index of a row of X.
        """
        fitted = Fitted.of(estimator, cls.__name__)
        clusterer, rows = fitted.clusterer, fitted.rows(X)
        states = clusterer.trajectory(rows, n_steps)
        if not isinstance(clusterer, CLAMELBOClusterer):
            posteriors = clusterer.predict_proba(states.reshape(-1, rows.shape[1]))
            states = posteriors.reshape(*states.shape[:2], -1)
        return cls(posteriors=states).plot(row=row, ax=ax)

    def plot(self, *, row: int | None = None, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        row : int, default=None
            Row whose posteriors are drawn; None: the entropies of all.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : AssignmentDisplay
            This display.

        Raises
        ------
        ValueError
            If `row` is not the index of a row.
        """
        if row is not None:
            last = len(self.posteriors) - 1
            check_number(row, "row", Integral, min_val=0, max_val=last)
        ax = axes(ax, type(self).__name__)
        self.ax_, self.figure_ = ax, ax.figure
        self.entropies_ = entropy(self.posteriors, axis=2)
        if row is None:
            self._draw_entropies()
        else:
            self._draw_posteriors(row)
        ax.set_xlabel("step")
        whole_ticks(ax)
        ax.set_xlim(0, self.posteriors.shape[1] - 1)
        return self

    def _draw_entropies(self) -> None:
        labels = self.posteriors[:, -1].argmax(axis=1)
        alpha = max(0.1, min(1, 60 / len(labels)))
        for line, colour in zip(self.entropies_, colours_of(labels), strict=True):
            self.ax_.plot(line, color=colour, alpha=alpha, linewidth=0.8)
        mean = self.entropies_.mean(axis=0)
        self.ax_.plot(mean, color="black", linewidth=2, label="mean of the rows")
        self.ax_.set(ylabel="entropy of the posterior (nats)")
        # Leave room for the legend above all lines.
        self.ax_.set_ylim(0, max(1.25 * self.entropies_.max(), 0.1))
        self.ax_.legend(loc="upper right")

    def _draw_posteriors(self, row: int) -> None:
        posteriors = self.posteriors[row]
        largest = (-posteriors.max(axis=0)).argsort(kind="stable")[: len(PALETTE)]
        seen = np.sort(largest)
        others = 1 - posteriors[:, seen].sum(axis=1)
        names = [f"memory {k}" for k in seen]
        if posteriors.shape[1] > len(seen):
            names.append("all others")
        shades = list(colours_of(seen))
        if len(set(shades)) < len(seen):
            shades = colours(len(seen))
        self.ax_.stackplot(
            np.arange(len(posteriors)),
            [*posteriors[:, seen].T, np.maximum(others, 0)][: len(names)],
            labels=names,
            colors=[*shades, GREY],
            edgecolor="white",
            linewidth=0.5,
        )
        if posteriors.shape[1] > 1:
            share = self.entropies_[row] / np.log(posteriors.shape[1])
            self.ax_.plot(share, "k--", linewidth=2, label="entropy / largest")
        self.ax_.set(ylabel="posterior", ylim=(0, 1))
        legend_beside(self.ax_)
