"""What rounding takes from values, so that equal ones are no cluster of no width."""

import numpy as np

# Values nearer than so many units of rounding are the same number.
SAME = 64
# Directions with less than this part of the largest variance are exact relations.
EXACT = 1e-10


def smallest_steps(values, offset):
    """The smallest difference of two values of each feature; 0 where there is none.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
        About the offset, NaN where missing.
    offset : ndarray of shape (n_features,)
    """
    steps = np.zeros(values.shape[1])
    for j, column in enumerate(values.T):
        seen = np.unique(column[~np.isnan(column)])
        differences = np.diff(seen)
        largest = np.abs(seen).max(initial=0.0) + np.abs(offset[j])
        differences = differences[
            differences > SAME * np.finfo(column.dtype).eps * largest
        ]
        steps[j] = differences.min(initial=np.inf)
    return np.where(np.isfinite(steps), steps, 0.0)


def rounding_noise(steps, matrix, noise):
    """Covariance, in coordinates, of what rounding to steps took from rows.

    Of no feature it is more than its noise: where steps are as long as that, values are
    categories rather than rounded.

    Parameters
    ----------
    steps : ndarray of shape (n_features,)
    matrix : ndarray of shape (n_features, n_coordinates)
        The map from features to coordinates.
    noise : float
        Variance of the noise of a coordinate.
    """
    # The least-norm inverse of the map: noise of features that a coordinate is.
    of_features = noise * np.square(np.linalg.pinv(matrix)).sum(axis=0)
    variances = np.minimum(np.square(steps) / 12, of_features)
    return (matrix.T * variances) @ matrix


def noise_of_relations(rows, noise):
    """Covariance of noise along directions in which rows do not differ.

    Copies of features and exact sums have such directions: what no row tells, no
    memory's shape should.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
        In coordinates.
    noise : float
        Variance of the noise of a coordinate.
    """
    values = rows.values.astype(np.float64)
    weights = rows.weights / rows.total_weight
    mean = weights @ values
    covariance = (values.T * weights) @ values - np.outer(mean, mean)
    lengths, axes = np.linalg.eigh(covariance)
    empty = axes[:, lengths < EXACT * max(lengths[-1], 0.0)]
    return noise * empty @ empty.T
