"""Colours, axes and legends that all displays share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, distinguishable with any kind of colour vision.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
)
GREY = "0.6"


def axes(ax: Axes | None, who: str) -> Axes:
    """The Axes to draw on: `ax`, or those of a new figure."""
    plt = _pyplot(who)
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax


def two_axes(ax: Sequence[Axes] | None, who: str) -> NDArray[np.object_]:
    """Two Axes to draw on: those of `ax`, or of a new figure, side by side."""
    plt = _pyplot(who)
    if ax is None:
        _, ax = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    both = np.array(ax, dtype=object).ravel()
    if len(both) != 2:
        raise ValueError(
            f"ax has {len(both)} axes, {who} draws on 2: pass those of"
            " plt.subplots(1, 2), or None."
        )
    return both


def _pyplot(who: str) -> Any:
    """matplotlib, imported here so that it is needed for plots only."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{who}.plot needs matplotlib, which is not installed. Install it with"
            ' pip install "amcluster[plot]".'
        ) from error
    return plt


def colours(n_memories: int) -> list[str]:
    """A colour for each memory; they repeat after seven."""
    return [PALETTE[k % len(PALETTE)] for k in range(n_memories)]


def colours_of(labels: Ints) -> NDArray[np.str_]:
    """The colour of the memory of each label."""
    return np.take(PALETTE, np.asarray(labels) % len(PALETTE))


def legend_beside(ax: Axes, **options: Any) -> None:
    """A legend to the right of the axes, where it hides no data."""
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, **options)


def whole_ticks(ax: Axes) -> None:
    """No ticks between whole numbers along x."""
    ax.xaxis.get_major_locator().set_params(integer=True)
