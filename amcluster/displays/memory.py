"""A plot of the memories, as images or profiles."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from .._typing import Floats, Ints
from ..checks import check_number
from ..clusterers.base import AssociativeClusterer
from .drawing import GREY, axes, colours, legend_beside
from .fitted import Fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 10
GAP = 0.25  # between images, in widths of an image

ImageShape = tuple[int, int] | tuple[int, int, int]


class MemoryDisplay:
    """Memories as images or as profiles over the features, with sizes and nearest rows.

    Create it by `from_estimator`. With `image_shape` each memory is a framed image,
    with the number of its rows above and the rows nearest to it below. Without, it is a
    line over the features, and the rows nearest to it are thin lines.

    Parameters
    ----------
    memories : ndarray of shape (n_clusters, n_features)
        Values of each memory.

    sizes : ndarray of shape (n_clusters,), int
        Number of rows of each memory.

    nearest : ndarray of shape (n_clusters, n_nearest, n_features)
        The rows nearest to each memory, NaN where it has fewer.

    feature_names : list of str
        Names of the features, on the axis of profiles.

    ylabel : str, default="value"
        Label of the axis of values of profiles.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the memories.

    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    EnergyLandscapeDisplay : Where memories are, in a plane.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from amcluster import CLAMClusterer, MemoryDisplay
    >>> X = load_digits().data[:500]
    >>> clam = CLAMClusterer(10, random_state=0).fit(X)
    >>> display = MemoryDisplay.from_estimator(clam, X, image_shape=(8, 8))
    >>> int(display.sizes.sum())
    500
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        memories: Floats,
        sizes: Ints,
        nearest: Floats,
        feature_names: list[str],
        ylabel: str = "value",
    ) -> None:
        self.memories = memories
        self.sizes = sizes
        self.nearest = nearest
        self.feature_names = feature_names
        self.ylabel = ylabel

    @classmethod
    def from_estimator(
        cls,
        estimator: AssociativeClusterer | Pipeline,
        X: ArrayLike,
        *,
        image_shape: ImageShape | None = None,
        n_nearest: int = 3,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the memories of a fitted clusterer.

        Parameters
        ----------
        estimator : clusterer of amcluster, or Pipeline that ends in one
            A fitted estimator. With a Pipeline memories are drawn in the units before
            it, if its steps can be inverted.
        X : array-like of shape (n_samples, n_features)
            Rows to count, and to search for the nearest.
        image_shape : tuple of 2 or 3 int, default=None
            (height, width) of a row as an image, or (height, width, 3) in colours;
            None: a profile.
        n_nearest : int, default=3
            Number of rows to draw for each memory: of those that it labels, the ones at
            the least Euclidean distance.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `imshow`, or `plot` for profiles.

        Returns
        -------
        display : MemoryDisplay
            What was drawn, and its numbers.

        Raises
        ------
        TypeError
            If the estimator is not a clusterer of this library.
        ValueError
            If the features of X are not as many as the pixels of `image_shape`.
        """
        fitted = Fitted.of(estimator, cls.__name__)
        check_number(n_nearest, "n_nearest", Integral, min_val=0)
        rows = fitted.rows(X)
        labels = fitted.memories_of(rows)
        distances = np.asarray(fitted.clusterer.transform(rows))  # a frame, perhaps
        memories = fitted.undone(fitted.clusterer.cluster_centers_)
        rows = fitted.undone(rows)
        undone = hasattr(fitted.steps, "inverse_transform")
        names = fitted.feature_names
        if undone:
            names = _names_before(estimator, memories.shape[1])
        display = cls(
            memories=memories,
            sizes=np.bincount(labels, minlength=len(memories)),
            nearest=_nearest(rows, labels, distances, n_nearest),
            feature_names=names,
            ylabel="value" if undone else f"value{fitted.preparation}",
        )
        return display.plot(image_shape=image_shape, ax=ax, **kwargs)

    def plot(
        self,
        *,
        image_shape: ImageShape | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        image_shape : tuple of 2 or 3 int, default=None
            (height, width) of a memory as an image, or (height, width, 3) in colours;
            None: a profile.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        **kwargs : dict
            Passed to matplotlib's `imshow`, or `plot` for profiles.

        Returns
        -------
        display : MemoryDisplay
            This display.

        Raises
        ------
        ValueError
            If the features are not as many as the pixels of `image_shape`.
        """
        n_features = self.memories.shape[1]
        if image_shape is not None and prod(image_shape) != n_features:
            raise ValueError(
                f"image_shape == {image_shape!r} has {prod(image_shape)} pixels, but"
                f" memories have {n_features} features; pass (height, width) with"
                f" height * width == {n_features}, or None for profiles."
            )
        ax = axes(ax, type(self).__name__)
        self.ax_, self.figure_ = ax, ax.figure
        if image_shape is None:
            self._draw_profiles(**kwargs)
        else:
            self._draw_images(tuple(image_shape), **kwargs)
        return self

    def _draw_profiles(self, **kwargs: Any) -> None:
        places = np.arange(len(self.feature_names))
        shades = colours(len(self.memories))
        for k, (memory, size) in enumerate(zip(self.memories, self.sizes, strict=True)):
            for row in self.nearest[k]:
                self.ax_.plot(places, row, color=shades[k], linewidth=0.6, alpha=0.5)
            style = {"color": shades[k], "marker": "osD^vPX"[k % 7], "linewidth": 2}
            name = f"memory {k}: {_rows(size)}"
            self.ax_.plot(places, memory, label=name, **(style | kwargs))
        ticks = places if len(places) <= 30 else places[:: len(places) // 10]
        names = [self.feature_names[i] for i in ticks]
        long = max(map(len, names)) > 4
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        self.ax_.set_xticks(ticks, names, **(turned if long else {}))
        self.ax_.set_ylabel(self.ylabel)
        legend_beside(self.ax_)

    def _draw_images(self, shape: tuple[int, ...], **kwargs: Any) -> None:
        columns = min(len(self.memories), MOST_COLUMNS)
        height, width = shape[:2]
        across, title = width * (1 + GAP), 0.45 * height
        down = height * (1 + GAP / 2) * (1 + self.nearest.shape[1]) + title
        drawn = np.concatenate([self.memories[:, None], self.nearest], axis=1)
        style = {"cmap": "gray_r", "aspect": "equal", "interpolation": "nearest"}
        if len(shape) == 2:
            style |= {"vmin": np.nanmin(drawn), "vmax": np.nanmax(drawn)}
        for k, images in enumerate(drawn):
            left, top = (k % columns) * across, (k // columns) * down + title
            self.ax_.text(
                left + width / 2,
                top - 0.08 * height,
                self.sizes[k],
                ha="center",
                va="bottom",
                fontsize="small",
            )
            for i, image in enumerate(images):
                if np.isnan(image).all():
                    continue
                y = top + i * height * (1 + GAP / 2)
                extent = (left, left + width, y + height, y)
                self.ax_.imshow(image.reshape(shape), extent=extent, **(style | kwargs))
                self._frame(left, y, width, height, strong=i == 0)
        n_rows = -(-len(drawn) // columns)
        self.ax_.set_xlim(-1, columns * across - width * GAP + 1)
        self.ax_.set_ylim(n_rows * down, -1)
        self.ax_.set_axis_off()

    def _frame(
        self, left: float, top: float, width: float, height: float, strong: bool
    ) -> None:
        from matplotlib.patches import Rectangle

        style = {"edgecolor": "black" if strong else GREY, "fill": False}
        style["linewidth"] = 1.5 if strong else 0.5
        self.ax_.add_patch(Rectangle((left, top), width, height, **style))


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def _names_before(pipeline: Any, n_features: int) -> list[str]:
    """Names of the features that a Pipeline is given."""
    default = [f"x{i}" for i in range(n_features)]
    return list(getattr(pipeline, "feature_names_in_", default))


def _nearest(rows: Floats, labels: Ints, distances: Floats, n_nearest: int) -> Floats:
    """The rows of each memory nearest to it; NaN where it has too few rows."""
    found = np.full((distances.shape[1], n_nearest, rows.shape[1]), np.nan)
    for k, own in enumerate(distances.T):
        members = np.flatnonzero(labels == k)
        chosen = members[own[members].argsort(kind="stable")[:n_nearest]]
        found[k, : len(chosen)] = rows[chosen]
    return found
