"""Memories too small to be clusters are dissolved: their rows go to the others."""

import numpy as np


def dissolve(rows, grown, model, min_size, soft):
    """Drop the smallest memory and count again, while one has too few rows.

    A memory's size is the weight of the rows it is the label of. The others keep their
    centers and shapes, so that rows of a dropped memory stay as strange as they were.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
    grown : Grown or Shaped
    model : Nonparametric
    min_size : float
    soft : bool
        Whether counts are sums of responsibilities, or of labels.

    Returns
    -------
    Grown or Shaped
        With one memory at least.
    """
    sizes = _sizes(rows, grown, model)
    while len(sizes) > 1 and sizes.min() < min_size:
        kept = np.arange(len(sizes)) != sizes.argmin()
        grown = grown.some(kept)
        sizes = _sizes(rows, grown, model)
        counts = rows.expectation(model.memories(grown)).counts if soft else sizes
        grown = grown._replace(counts=counts)
    return grown


def _sizes(rows, grown, model):
    of_rows = rows.labels(model.memories(grown))
    sizes = np.bincount(of_rows, rows.weights, len(grown.counts))
    return np.where(grown.counts > model.restaurant.discount, sizes, 0.0)
