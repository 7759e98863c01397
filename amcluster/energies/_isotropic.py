"""What energies share that depend on the length of a row's difference."""

import numpy as np
from scipy.special import gammaln

from .._typing import Floats, Numbers


def spread_over_directions(
    squared_lengths: Floats, shape: tuple[int, int], random_state: np.random.RandomState
) -> Floats:
    """Vectors of these squared lengths, each in a direction drawn uniformly."""
    normal = random_state.normal(size=shape)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return normal * np.sqrt(squared_lengths)[:, None]


def log_normaliser_of_power(
    power: Numbers, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
) -> Numbers:
    """Log of what makes (1 - t)^power, t < 1, integrate to 1 over all features.

    Of the seen ones the density has n_hidden / 2 more in its exponent: the integral
    over what is hidden (Pearson's type II).
    """
    power, half = power + n_hidden / 2, n_seen / 2
    return half * np.log(beta / np.pi) + gammaln(power + half + 1) - gammaln(power + 1)


def draw_of_power(
    power: float, shape: tuple[int, int], random_state: np.random.RandomState
) -> Floats:
    """Draws of that density, where beta is 1."""
    lengths = random_state.beta(shape[1] / 2, power + 1, size=shape[0])
    return spread_over_directions(lengths, shape, random_state)
