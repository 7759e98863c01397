"""Where EM is heading: squared extrapolation (SQUAREM; Varadhan and Roland, 2008).

EM slows down where clusters overlap: each step goes on in the direction of the last
one, and is but little shorter. Two steps in a row, r and then r + v, tell how the
lengths fall, and with a = |r| / |v| the parameters

    theta_0 + 2 a r + a^2 v

are further on than the second step (their scheme S3). Lengths are those that matter to
the likelihood, in about the units of its Fisher information, whatever the units of the
data: centers in units of the spread and logarithms of weights, both by the weight of
their memory, and the logarithm of the spread.
"""

import numpy as np
from scipy.special import softmax


def ahead(mixtures):
    """The mixture that three in a row lead to; None if it is not beyond the third."""
    last = mixtures[-1]
    first, second, third = (_in_units(mixture, last) for mixture in mixtures)
    step = second - first
    turn = third - second - step
    turned = np.linalg.norm(turn)
    factor = np.linalg.norm(step) / turned if turned > 0 else 0.0
    if factor <= 1:
        return None

    def extrapolated(first, second, third):
        step = second - first
        return first + 2 * factor * step + factor**2 * (third - second - step)

    log_weights = extrapolated(*(np.log(mixture.weights) for mixture in mixtures))
    scales = (mixture.spread.relative_to(last.spread) for mixture in mixtures)
    return last._replace(
        centers=extrapolated(*(mixture.centers for mixture in mixtures)),
        weights=np.maximum(softmax(log_weights), np.finfo(np.float64).tiny),
        spread=last.spread.scaled(extrapolated(*scales)),
    )


def _in_units(mixture, last):
    """The parameters of a mixture in one array, in units that another one sets."""
    roots = np.sqrt(last.weights)
    centers = last.spread.project(mixture.centers) * np.sqrt(2 * last.spread.beta)
    parts = (
        roots[:, None] * centers,
        roots * np.log(mixture.weights),
        mixture.spread.relative_to(last.spread),
    )
    return np.concatenate([part.ravel() for part in parts])
