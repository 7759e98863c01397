"""Extrapolation of EM: SQUAREM (Varadhan and Roland, 2008).

EM slows down where clusters overlap: each step goes on in the direction of the last
one, and is but little shorter. Two steps in a row, r and then r + v, tell how the
lengths fall, and with a = |r| / |v| the parameters

    theta_0 + 2 a r + a^2 v

are further on than the second step (their scheme S3). Lengths are those that matter to
the likelihood, in about the units of its Fisher information, whatever the units of the
data: centers in units of the spread and logarithms of weights, both by the weight of
their memory, and the logarithm of the spread.
"""

from math import inf

import numpy as np

# The largest a |r|, in those units. Where steps hardly get shorter, a is huge, and the
# extrapolated spread would be 0 or infinite.
LONGEST = 10.0
# A weight of 0 would have no logarithm.
TINY = np.finfo(np.float64).tiny


def ahead(mixtures):
    """The mixture that three in a row lead to; None if it is not beyond the third."""
    last = mixtures[-1]
    centers = np.array([mixture.centers for mixture in mixtures])
    log_weights = np.log([mixture.weights for mixture in mixtures])
    of_others = [m.spread.relative_to(last.spread) for m in mixtures[:-1]]
    scales = np.array([*of_others, np.zeros_like(of_others[0])])
    step, turn = step_and_turn(_in_units(centers, log_weights, scales, last))
    factor = factor_of(np.linalg.norm(step), np.linalg.norm(turn))
    if factor is None:
        return None
    return last._replace(
        centers=_extrapolated(centers, factor),
        weights=weights_of(_extrapolated(log_weights, factor)),
        spread=last.spread.scaled(_extrapolated(scales, factor)),
    )


def factor_of(length, turned):
    """How far to go, by |r| and |v|; None if that is not beyond the second step."""
    if length <= turned or length >= LONGEST:
        return None
    return min(LONGEST / length, length / turned if turned > 0 else inf)


def between(mixture, other, part):
    """The mixture that is this part of the way from one to another."""
    log_weights = np.log([mixture.weights, other.weights])
    scales = other.spread.relative_to(mixture.spread)
    return mixture._replace(
        centers=mixture.centers + part * (other.centers - mixture.centers),
        weights=weights_of(log_weights[0] + part * (log_weights[1] - log_weights[0])),
        spread=mixture.spread.scaled(part * scales),
    )


def _in_units(centers, log_weights, scales, last):
    """The parameters of the three, (3, n), in units that the last one sets."""
    roots = np.sqrt(last.weights)
    flat = centers.reshape(-1, centers.shape[-1])
    flat = last.spread.project(flat) * np.sqrt(2 * last.spread.beta)
    parts = roots[:, None] * flat.reshape(centers.shape), roots * log_weights, scales
    return np.concatenate([part.reshape(3, -1) for part in parts], axis=1)


def weights_of(logarithms):
    """Their exponentials, divided by the sum and none of them 0."""
    weights = np.exp(logarithms - logarithms.max())
    return np.maximum(weights / weights.sum(), TINY)


def step_and_turn(points):
    """r and v of three points in a row."""
    first, second, third = points
    return second - first, third - 2 * second + first


def _extrapolated(points, factor):
    step, turn = step_and_turn(points)
    return points[0] + 2 * factor * step + factor**2 * turn
