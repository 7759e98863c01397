"""First directions of memories on the sphere: k-means++ draws, spherical k-means.

Rows are unit rows, distinct and in canonical order, as `amcluster.rows.sphere` has
them. Half the squared distance of two of them is 1 - cosine. All draws invert the
cumulative mass along an order of the directions: the answer depends on them as a set,
and neither on the lengths of rows nor on whether their zeros are stored.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from .seeding import candidates_drawn, draw, draw_apart


class Clusters(NamedTuple):
    """Rows given to the direction with the largest cosine."""

    directions: np.ndarray  # (n_clusters, n_features) in float64
    statistics: object  # SphericalStatistics
    labels: np.ndarray  # (n_rows,)
    n_changed: int  # labels that were others before

    @property
    def loss(self):
        """The weighted mean of 1 - cosine, of a row and the direction of its label."""
        return 1 - self.mean_cosine

    @property
    def mean_cosine(self):
        """The weighted mean of the cosine of a row and the direction of its label."""
        return self.statistics.evidence / self.statistics.weight

    @property
    def worth(self):
        """What a rise of the mean cosine is worth, in nats per row and feature.

        It is the concentration over the number of features, in many dimensions.
        """
        length = min(self.mean_cosine, 1 - np.finfo(np.float64).eps)
        return length / (1 - length * length)


def cosine_plus_plus(rows, n_clusters, random_state):
    """Greedy k-means++ seeds, by 1 - cosine, in float64.

    Each seed is the best of a few rows drawn with probability proportional to their
    weight times 1 - cosine with the nearest seed so far. Where there are fewer distinct
    directions than clusters, some are repeated.
    """
    closest, seeds = np.full(len(rows), inf), []
    order = order_of(rows)
    index = [draw(rows.weights[order], random_state.uniform())]
    while True:
        candidates = rows.directions(order[index])
        nearer = np.minimum(closest[:, None], distances(rows, candidates))
        best = (rows.weights @ nearer).argmin()
        seeds.append(candidates[best].astype(np.float64))
        closest = nearer[:, best]
        mass = rows.weights * closest
        if len(seeds) == n_clusters or not mass.any():
            return np.resize(seeds, (n_clusters, rows.n_features))
        index = candidates_drawn(mass[order], n_clusters, random_state)


def random_directions(rows, n_clusters, random_state):
    """Those of distinct rows drawn by weight; all of them, repeated, if too few."""
    order = order_of(rows)
    drawn = draw_apart(rows.weights[order], n_clusters, random_state)
    directions = rows.directions(order[drawn]).astype(np.float64)
    return np.resize(directions, (n_clusters, rows.n_features))


def order_of(rows):
    """Rows in the order of their cosine with one direction, drawn by their features.

    Next to no two different rows have the same one.
    """
    direction = np.random.RandomState(0).normal(size=(1, rows.n_features))
    cosines = rows.cosines((direction / np.linalg.norm(direction)).astype(rows.dtype))
    return np.argsort(cosines[:, 0], kind="stable")


def distances(rows, directions):
    """1 - cosine of rows and directions, 0 where rounding could have made it."""
    unknown = 2 * np.finfo(rows.dtype).eps * np.sqrt(rows.n_features)
    away = 1 - rows.cosines(directions.astype(rows.dtype, copy=False))
    away[away < unknown] = 0
    return away


def given(rows, directions, labels=None):
    """Give each row to the direction with the largest cosine; the first of equal ones.

    `labels` are those of the rows before, which are left as they are.
    """
    labels = np.full(len(rows), -1, np.intp) if labels is None else labels.copy()
    narrow = np.ascontiguousarray(directions, rows.dtype)
    statistics, n_changed = rows.assignment(narrow, labels)
    return Clusters(directions, statistics, labels, int(n_changed))


def moved(rows, clusters):
    """The direction of the sum of each cluster; the loneliest rows where one is empty.

    A cluster whose rows cancel out keeps its direction.
    """
    directions = normalised(clusters.statistics.sums, clusters.directions)
    empty = np.flatnonzero(clusters.statistics.counts == 0)
    if len(empty):
        lonely = np.argsort(_largest_cosines(rows, clusters), kind="stable")
        index = np.resize(lonely, len(empty))
        directions[empty] = rows.directions(index)
    return directions


def hard_phase(rows, clusters, *, max_iter, tol, watch=None, bar=inf):
    """Spherical k-means until an iteration gains no more than tol.

    Parameters
    ----------
    rows : UnitRows
    clusters : Clusters
    max_iter : int
    tol : float
        In nats per row and feature.
    watch : callable, default=None
        ``watch(iteration, loss, clusters)`` says whether to stop; the first
        iteration is the start, before any step.
    bar : float
        It is given up where the loss, if each iteration left gained as much as the
        last one, would still be above this: gains get smaller.

    Returns
    -------
    clusters : Clusters
    history : list of float
        The losses, the first before any iteration.
    """
    history, gained = [clusters.loss], inf
    stop = watch is not None and watch(1, clusters.loss, clusters)
    while len(history) <= max_iter and gained > tol and clusters.n_changed and not stop:
        after = given(rows, moved(rows, clusters), clusters.labels)
        gain = clusters.loss - after.loss
        if gain < 0:  # rounding, where it has converged
            break
        clusters, gained = after, gain * after.worth
        history.append(clusters.loss)
        stop = watch is not None and watch(len(history), clusters.loss, clusters)
        if clusters.loss - (max_iter + 1 - len(history)) * gain > bar:
            break
    return clusters, history


def normalised(sums, instead):
    """Rows of unit length; those of `instead` where sums vanish."""
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit = sums / np.where(lengths > 0, lengths, 1.0)
    return np.where(lengths > 0, unit, instead)


def _largest_cosines(rows, clusters):
    """The cosine of each row with the nearest direction, one direction after another.

    All at once they could take more memory than the rows.
    """
    largest = np.full(len(rows), -inf)
    for direction in clusters.directions.astype(rows.dtype):
        np.maximum(largest, rows.cosines(direction[None])[:, 0], out=largest)
    return largest
