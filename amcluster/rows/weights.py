"""Sample weights as numbers of rows, which is what evidence counts."""

import warnings
from typing import NamedTuple

import numpy as np

READINGS = ("auto", "counts", "relative")
# Whole numbers of a larger mean are weights of a survey rather than counts.
LARGEST_MEAN = 10
EPS = float(np.finfo(np.float64).eps)


class Weighing(NamedTuple):
    """What is kept of all weights of a stream to tell how many rows they stand for."""

    relative: bool = False
    unit: float = 0.0  # the largest, so that neither sum leaves the range of numbers
    total: float = 0.0  # sum of weights / unit
    squares: float = 0.0  # sum of squares of weights / unit

    def in_rows(self, weights, reading):
        """Weights in rows, and the state with them.

        Relative weights are multiplied by sum(w) / sum(w^2), so that they sum to Kish's
        effective number of rows, (sum w)^2 / sum(w^2); in a stream both sums are of all
        batches so far, as the ratio of rows of different batches counts too.

        Parameters
        ----------
        weights : ndarray of shape (n_rows,)
            Not negative, some positive.
        reading : {"auto", "counts", "relative"}

        Returns
        -------
        weights : ndarray of shape (n_rows,)
        weighing : Weighing
        """
        positive = np.sort(weights[weights > 0])  # sums are then the same in any order
        unit = max(self.unit, float(positive[-1]))
        parts, earlier = positive / unit, self.unit / unit
        relative = reading == "relative"
        if reading == "auto":
            relative = self.relative or not are_counts(positive)
        total = self.total * earlier + float(parts.sum())
        squares = self.squares * earlier**2 + float(np.square(parts).sum())
        if relative:
            weights = weights / unit * (total / squares)
        return weights, Weighing(relative, unit, total, squares)


def are_counts(positive):
    """Whether weights are read as numbers of equal rows."""
    with np.errstate(over="ignore"):
        mean = positive.mean()
    if mean > 1 / EPS or not np.array_equal(positive, np.floor(positive)):
        return False  # so large a float is always whole
    if mean <= LARGEST_MEAN:
        return True
    warnings.warn(
        f"sample_weight holds whole numbers of mean {mean:.3g}, which are taken as"
        ' relative: only their ratios matter. Set weighting="counts" if they count'
        ' equal rows, or "relative" if they do not.',
        UserWarning,
        stacklevel=2,
    )
    return False
