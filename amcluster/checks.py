"""Checks of what a user passes in: errors name the parameter and its value."""

import math
from numbers import Integral, Rational, Real

import numpy as np
from sklearn.utils import check_random_state, check_scalar

LARGEST_INTEGER = 2**63 - 1
LARGEST_FLOAT = float(np.finfo(np.float64).max)
MODERATE = 30  # power of two of the largest weight that is left as it is
LONGEST = 200  # what an error shows of a value


def check_number(value, name, kind=Real, **bounds):
    """`sklearn.utils.check_scalar`, and the range of numbers, which that lets pass."""
    largest = LARGEST_INTEGER if kind is Integral else LARGEST_FLOAT
    if isinstance(value, Rational) and not -largest <= value <= largest:
        raise ValueError(
            f"{name} == {shown(value)}, must be between -{largest:.3g} and"
            f" {largest:.3g}."
        )
    try:
        check_scalar(value, name, target_type=kind, **bounds)
    except TypeError as error:
        what = "an integer" if kind is Integral else "a number"
        raise TypeError(f"{error} {name} == {shown(value)}: pass {what}.") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} == {value}, must be finite.")


def shown(value):
    """A value in the words of an error; Python refuses to print very long integers."""
    try:
        text = repr(value)
    except ValueError:
        return f"{type(value).__name__} too long to print"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def check_fits(value, name, dtype):
    """Whether a number of the user is one in the dtype of X too; words pass."""
    largest = float(np.finfo(dtype).max)
    if isinstance(value, Real) and float(value) > largest:
        raise ValueError(
            f"{name} == {value}, must be <= {largest:.2g} for X of {np.dtype(dtype)}."
        )


def check_choice(value, name, choices):
    """Whether value is one of the strings in choices, or None if that is one."""
    if not ((value is None or isinstance(value, str)) and value in choices):
        raise ValueError(f"{name} == {shown(value)}, must be one of {choices}.")


def check_sample_weight(sample_weight, X):
    """Sample weights as a float64 array of shape (n_samples,); ones for None."""
    n_samples = X.shape[0]
    if sample_weight is None:
        return np.ones(n_samples)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n_samples},): one"
            " weight for each row of X."
        )
    bad = weights[~(np.isfinite(weights) & (weights >= 0))]
    if len(bad):
        raise ValueError(
            f"sample_weight contains {bad[0]}; weights must be finite and not negative."
        )
    if not weights.any():
        raise ValueError(
            "sample_weight is zero for all rows; at least one must be positive."
        )
    return weights


def moderate(weights):
    """Weights times a power of two that keeps sums and products of them in float32.

    What has a weight of 1 is as it was, bit for bit.
    """
    _, exponent = math.frexp(weights.max())
    excess = max(exponent - MODERATE, 0) + min(exponent + MODERATE, 0)
    return weights if excess == 0 else np.ldexp(weights, -excess)


def check_seen(X, weights, names):
    """Raise if a feature has no value in any row that counts."""
    missing = np.isnan(X)
    if not missing.any():
        return
    unseen = np.flatnonzero(missing[weights > 0].all(axis=0))
    if len(unseen):
        column = unseen[0]
        name = f"column {column}" if names is None else f"feature {names[column]!r}"
        raise ValueError(
            f"X has no value in {name}: it is NaN in every row of positive weight."
            " Drop it before the fit."
        )


def check_spread(values):
    """Raise if squared distances of centred rows leave the range of their dtype."""
    spread = float(max(np.nanmax(values), -np.nanmin(values)))
    info = np.finfo(values.dtype)
    lowest = float(np.sqrt(info.tiny / info.eps))
    highest = float(np.sqrt(info.max * info.eps / values.shape[1]))
    if spread != 0 and not lowest < spread < highest:
        raise ValueError(
            f"X spreads over about {spread:.0e}, and squared distances would leave the"
            f" range of {values.dtype}; scale X to a spread between {lowest:.0e} and"
            f" {highest:.0e}."
        )


def check_range(X, middle):
    """Raise if a row is so far away that its squared distance leaves the dtype.

    Distances are to `middle`, a point; None: between rows.
    """
    least, most = np.fmin.reduce(X), np.fmax.reduce(X)
    with np.errstate(over="ignore", invalid="ignore"):
        if middle is None:
            spread = np.fmax.reduce(most - least)
        else:
            spread = np.fmax.reduce(np.fmax(most - middle, middle - least))
    info = np.finfo(X.dtype)
    highest = float(np.sqrt(info.max * info.eps / X.shape[1]))
    if spread >= highest:
        raise ValueError(
            f"X has values that are {spread:.0e} from the others, and squared distances"
            f" would leave the range of {X.dtype}: at most {highest:.0e}. Drop such"
            " rows, or set such values to NaN; the model is as before."
        )


def generator_of(random_state):
    """The RandomState of a parameter; an error that names it where there is none."""
    try:
        return check_random_state(random_state)
    except ValueError as error:
        text = f"random_state={shown(random_state)} is no seed: {error}"
        raise ValueError(text) from None


def check_state(model, shapes, numbers):
    """Raise unless fitted attributes are as a fit leaves them: kernels trust them.

    Parameters
    ----------
    model : estimator
    shapes : dict
        Shapes of arrays of numbers, by their names.
    numbers : iterable of str
        Names of positive finite numbers.
    """
    for name, shape in shapes.items():
        value = getattr(model, name, None)
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "fiu"):
            what = getattr(value, "dtype", type(value).__name__)
            refuse(f"{name} is of type {what}", f"numbers of shape {shape}")
        if value.shape != shape:
            beside = shapes["cluster_centers_"]
            refuse(
                f"{name} has shape {value.shape}",
                f"shape {shape}, beside cluster_centers_ of shape {beside}",
            )
        if not np.isfinite(value).all():
            refuse(f"{name} of shape {shape} has NaN or infinity in it", "numbers")
    for name in numbers:
        value = getattr(model, name, None)
        if not (isinstance(value, Real) and 0 < value < math.inf):
            refuse(f"{name} == {value!r}", "a positive number")


def refuse(found, expected):
    """Raise for a fitted state that no fit leaves."""
    raise ValueError(
        f"{found}, expected {expected}. The fitted state was changed, or was not loaded"
        " whole: fit again, or load it anew."
    )
