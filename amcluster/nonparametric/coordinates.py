"""Rows in the coordinates of a fit, and how they meet memories there.

Coordinates mix features, so a row with missing values has none. It is filled for those
who need whole rows, and meets memories by what was seen of it.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from ..learning.missing import roughly_filled
from ..rows.complete import DistinctRows
from ..rows.kinds import by_kind
from ..rows.missing import (
    DistinctRowsWithMissing,
    filled,
    marginal_logits,
    posteriors,
    seen_means,
)


class FilledRows(NamedTuple):
    """Distinct rows with missing values, filled: the calls of `DistinctRows`."""

    whole: DistinctRows  # in coordinates: features @ root, with missing ones filled
    seen: DistinctRowsWithMissing  # of the same rows, in features
    root: np.ndarray | None  # (n_coordinates, n_coordinates); None: the identity

    @property
    def values(self):
        """The filled rows (n_distinct, n_coordinates)."""
        return self.whole.values

    @property
    def features(self):
        """What is seen of the rows, centred; NaN where missing."""
        return self.seen.values

    @property
    def weights(self):
        """The weights (n_distinct,)."""
        return self.seen.weights

    @property
    def offset(self):
        """The offset of the whole rows (n_coordinates,)."""
        return self.whole.offset

    @property
    def device(self):
        """Where kernels meet the rows."""
        return self.seen.device

    @property
    def total_weight(self):
        """The sum of all weights."""
        return self.seen.total_weight

    @property
    def seen_part(self):
        """Part of the values that is seen (n_distinct,)."""
        return (~np.isnan(self.features)).mean(axis=1)

    @property
    def seen_weight(self):
        """The weight of all values that are seen, in rows."""
        return self.weights @ self.seen_part

    def spans_fewer_than(self, n_columns):
        """No: coordinates of their span would mix what is seen with what is not."""
        return False

    def drawn(self, index, weights):
        """Some of the rows, with other weights."""
        whole, seen = self.whole.drawn(index, weights), self.seen.drawn(index, weights)
        return self._replace(whole=whole, seen=seen)

    def with_values(self, values):
        """The same rows, filled otherwise or in another dtype."""
        return self._replace(whole=self.whole.with_values(values))

    def in_coordinates(self, metric):
        """The rows where a metric is Euclidean, in their dtype.

        Where the metric is diagonal, features are coordinates, also if some are
        missing.
        """
        matrix = metric.matrix
        used = matrix.any(axis=1)  # constant features have no part in it
        features, root = self.features[:, used], matrix[used]
        if np.array_equal(root, np.diag(np.diag(root))):  # a value is a coordinate
            features, root = features * np.diag(root).astype(features.dtype), None
        seen = self.seen._replace(values=np.ascontiguousarray(features))
        return FilledRows(self.whole.in_coordinates(metric), seen, root)

    def filled(self, fill):
        """The rows as ``fill(rows)`` fills them."""
        return fill(self)

    def filled_by(self, memories):
        """Each row with missing values as its likeliest memory expects them."""
        of_rows, memories = self.labels(memories), self.in_features(memories)
        features = self.features.copy()
        for k in np.unique(of_rows):
            alone, inside = memories.some([k]), of_rows == k
            features[inside] = filled(self.device, features[inside], alone, self.root)
        return self._filled_with(features)

    def filled_by_each_other(self):
        """Each row with missing values as the others, taken as one kind, expect."""
        mean = seen_means(self.features, self.weights)
        centred = self.seen._replace(values=self.features - mean, offset=mean)
        return self._filled_with(roughly_filled(centred).values + mean)

    def in_features(self, memories):
        """Memories in the coordinates of features."""
        if self.root is None:
            return memories
        return memories._replace(centers=memories.centers @ np.linalg.inv(self.root))

    def labels(self, memories):
        """The memory of largest posterior of each row, given what is seen."""
        return self.seen.labels(self.in_features(memories), self.root)

    def posteriors(self, memories):
        """The posterior of each memory, given what is seen (n_rows, n_clusters)."""
        return posteriors(self._logits(memories))

    def log_likelihood(self, memories):
        """The log density of what is seen of all rows, in nats, but for a constant."""
        evidence = logsumexp(self._logits(memories), axis=1)
        return self.weights @ evidence + self.log_normaliser(memories)

    def log_normaliser(self, memories):
        """What makes the weighted sum of their log evidence one of log densities."""
        n_seen, n_features = self.seen.n_seen, self.features.shape[1]
        normaliser = memories.energy.log_normaliser(
            memories.reference_beta, n_seen, n_features - n_seen
        )
        return self.weights @ np.broadcast_to(normaliser, len(self.weights))

    def _logits(self, memories):
        memories = self.in_features(memories)
        return marginal_logits(self.device, self.features, memories, self.root)[0]

    def expectation(self, memories):
        """Sums over the rows under the posteriors of Gaussian memories.

        Missing values are as each memory expects them, and squared distances are over
        what is seen. For memories with roots the moments are in coordinates too, and
        the evidence is short of log det A / 2, of A = root root^T, for each row.

        Parameters
        ----------
        memories : Memories
            In the coordinates of the whole rows.

        Returns
        -------
        Statistics
        """
        statistics = self.seen.expectation(self.in_features(memories), self.root)
        counts, irls, sums = statistics.counts, statistics.irls, statistics.sums
        if memories.roots is not None:
            if self.root is None:
                return statistics
            moment = self.root.T @ statistics.moment @ self.root
            return statistics._replace(sums=sums @ self.root, moment=moment)
        if self.root is not None:
            return statistics._replace(sums=sums @ self.root, moment=None)
        of_missing = (counts[:, None] - irls) * memories.centers
        return statistics._replace(irls=counts, sums=sums + of_missing)

    def _filled_with(self, features):
        values = features if self.root is None else features @ self.root
        return self.with_values(np.ascontiguousarray(values, self.values.dtype))


def filled_rows(rows):
    """Distinct rows ready for a fit: as they are, and with missing values filled."""
    return rows.filled(lambda seen: FilledRows(roughly_filled(seen), seen, root=None))


@by_kind
def about(batch, base_mean, metric):
    """The distinct rows of a batch about the base mean, in coordinates of a metric.

    What mixes missing values is NaN, to be filled. The metric may be None, Euclidean.
    """


@about.register(DistinctRows)
def _(batch, base_mean, metric):
    moved = _moved(batch, base_mean)
    if metric is None:
        return moved
    return moved.with_values(metric.coordinates(moved.values))


@about.register(DistinctRowsWithMissing)
def _(batch, base_mean, metric):
    seen = _moved(batch, base_mean)
    whole = seen.with_values(seen.values)
    if metric is None:
        return FilledRows(whole, seen, root=None)
    whole = whole.with_values(metric.coordinates(whole.values))
    return FilledRows(whole, seen, metric.matrix)


def _moved(batch, base_mean):
    values = batch.values + (batch.offset - base_mean)
    return batch._replace(values=values, offset=base_mean)
