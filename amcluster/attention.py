"""Attention after a norm is clustering on the hypersphere, and here by how much.

A norm puts every token on a sphere. There the softmax of inner products with keys is
the posterior of a mixture of von Mises-Fisher distributions, and attention is the mean
of the values under it.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from ._typing import Floats
from .checks import check_choice, check_number
from .energies.von_mises_fisher import log_normaliser

__all__ = ["VonMisesFisherMixture", "attention_as_vmf", "vmf_attention"]

NORMS = ("layer", "rms")


class VonMisesFisherMixture(NamedTuple):
    """What the keys of attention say of tokens: one component for each key.

    Parameters
    ----------
    directions : ndarray of shape (n_keys, n_features), float64
        Unit rows. After a layer norm the features of each sum to 0, as those of tokens
        do.
    concentrations : ndarray of shape (n_keys,), float64
        The kappa of each component, not negative.
    log_weights : ndarray of shape (n_keys,), float64
        Logarithms of mixing weights, which sum to 1.
    """

    directions: NDArray[np.float64]
    concentrations: NDArray[np.float64]
    log_weights: NDArray[np.float64]


def attention_as_vmf(
    keys: ArrayLike,
    gamma: ArrayLike,
    delta: ArrayLike,
    scale: float,
    norm: Literal["layer", "rms"] = "layer",
    W_q: ArrayLike | None = None,
    b_q: ArrayLike | None = None,
) -> VonMisesFisherMixture:
    """Give the mixture whose posterior is the attention to these keys after a norm.

    A token x of D features is attended to by ``softmax(scale * keys @ q)`` with
    ``q = W_q @ z + b_q``, where z is its norm::

        z = gamma * (x - mean(x)) / sqrt(var(x)) + delta       (layer)
        z = gamma * x / sqrt(mean(x^2)) + delta                (rms)

    This is the posterior of a von Mises-Fisher mixture at ``x - mean(x)``, or at x,
    divided by its length. With ``h_i = W_q.T @ k_i``, and P for what takes the mean off
    a vector (nothing, for rms), component i has::

        kappa_i m_i = scale * sqrt(D) * P(gamma * h_i)
        log pi_i = scale * (h_i . delta + k_i . b_q) - log c(kappa_i) + constant

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_head_features)
        The keys k_i of one head, as they meet queries.
    gamma : array-like of shape (n_features,)
        What the norm multiplies features with; a number stands for all.
    delta : array-like of shape (n_features,)
        What the norm then adds; 0 for none.
    scale : float
        What inner products are multiplied with, commonly
        ``1 / sqrt(n_head_features)``.
    norm : {"layer", "rms"}, default="layer"
        The norm before the attention.
    W_q : array-like of shape (n_head_features, n_features), default=None
        Makes queries of tokens, as the `weight` of PyTorch's Linear. None: queries are
        the tokens.
    b_q : array-like of shape (n_head_features,), default=None
        Is added to queries. None: nothing.

    Returns
    -------
    mixture : VonMisesFisherMixture
        For `vmf_attention`. It is in float64 for keys in float32, too: log pi and log c
        are large numbers, and their sum is not.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a number cannot be.

    See Also
    --------
    vmf_attention : Attention by such a mixture.

    Notes
    -----
    The mixture is the one of [1]_, Sect. 4, and [2]_, Sect. 5, with three corrections.
    What the norm divides has length sqrt(D), not 1. After a layer norm tokens are in
    the hyperplane of mean 0, on a sphere of D - 1 dimensions: c is ``c_(D - 1)``, and
    what ``gamma * h_i`` has in all features alike counts for nothing. And
    exp(k_i . delta) is no mixing weight before it is divided by c(kappa_i): with no
    delta at all keys have weights, the larger the longer they are.

    References
    ----------
    .. [1] R. Schaeffer et al., "Associative Memory Under the Probabilistic Lens:
       Improved Transformers & Dynamic Memory Creation", 2023.
    .. [2] R. Schaeffer et al., "Bridging Associative Memory and Probabilistic
       Modeling", 2024, arXiv:2402.10202.

    Examples
    --------
    >>> import numpy as np
    >>> from amcluster.attention import attention_as_vmf
    >>> keys = [[3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    >>> mixture = attention_as_vmf(keys, gamma=1, delta=0, scale=3**-0.5, norm="rms")
    >>> mixture.concentrations.round(2)
    array([3.  , 1.  , 1.73])
    >>> np.exp(mixture.log_weights).round(2)
    array([0.55, 0.19, 0.26])
    """
    check_choice(norm, "norm", NORMS)
    check_number(scale, "scale", min_val=0, include_boundaries="neither")
    keys = _checked(keys, "keys", (None, None))
    n_keys, n_head_features = keys.shape
    biases = np.zeros(n_keys)
    if b_q is not None:
        biases = keys @ _checked(b_q, "b_q", (n_head_features,))
    if W_q is not None:
        keys = keys @ _checked(W_q, "W_q", (n_head_features, None))
    n_features = keys.shape[1]
    n_dimensions = n_features - (norm == "layer")
    if n_dimensions < 2:
        what = "keys" if W_q is None else "W_q"
        raise ValueError(
            f"{what} has {n_features} columns, must have {2 + (norm == 'layer')} or"
            f" more: norm={norm!r} leaves no sphere of fewer."
        )
    biases += keys @ _checked(delta, "delta", (n_features,), or_number=True)
    keys = keys * _checked(gamma, "gamma", (n_features,), or_number=True)
    if norm == "layer":
        keys = _centred(keys)
    lengths = np.linalg.norm(keys, axis=1)
    concentrations = scale * math.sqrt(n_features) * lengths
    # A key of no length has no direction: any one will do, of mean 0 for both norms.
    keys[lengths == 0] = np.eye(n_features)[0] - np.eye(n_features)[1]
    directions = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    log_weights = scale * biases - log_normaliser(concentrations, n_dimensions)
    return VonMisesFisherMixture(directions, concentrations, log_softmax(log_weights))


def vmf_attention(
    x: ArrayLike,
    directions: ArrayLike,
    concentrations: ArrayLike,
    log_weights: ArrayLike,
    values: ArrayLike,
    norm: Literal["layer", "rms"] = "layer",
    eps: float = 0.0,
) -> Floats:
    """Attention as the posterior mean of values, in a von Mises-Fisher mixture.

    With x^ for ``x - mean(x)``, or for x if the norm is "rms", divided by its length::

        a_i = log pi_i + log c(kappa_i) + kappa_i m_i . x^
        output = sum_i softmax(a)_i * values_i

    The mixture may come from `attention_as_vmf`, then it is the layer's own attention;
    or be any other, where weights do not depend on concentrations as keys make them.

    Parameters
    ----------
    x : array-like of shape (n_tokens, n_features)
        Tokens before the norm.
    directions : array-like of shape (n_keys, n_features)
        The m_i, unit rows.
    concentrations : array-like of shape (n_keys,)
        The kappa_i, not negative.
    log_weights : array-like of shape (n_keys,)
        The log pi_i.
    values : array-like of shape (n_keys, n_values)
        What is mixed. The identity matrix shows the posterior itself.
    norm : {"layer", "rms"}, default="layer"
        The norm before the attention.
    eps : float, default=0.0
        The epsilon that the norm adds to the variance, or to the mean square. With it a
        token is at ``sqrt(var / (var + eps))``, a little inside the sphere: the cosine
        is multiplied with that, and tokens of low variance decide less. 0 is the
        mixture as it is.

    Returns
    -------
    output : ndarray of shape (n_tokens, n_values)
        Computed in float64; in float32 if x is.

    Raises
    ------
    ValueError
        If shapes do not fit each other, a number cannot be, or eps is 0 and the norm of
        a token has no direction.

    See Also
    --------
    attention_as_vmf : The mixture that keys and a norm make.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import softmax
    >>> from amcluster.attention import attention_as_vmf, vmf_attention
    >>> rng = np.random.default_rng(0)
    >>> x, keys, values = (rng.normal(size=(n, 16)) for n in (3, 5, 5))
    >>> gamma, delta, scale = rng.uniform(0.5, 2, 16), rng.normal(size=16), 0.25
    >>> mixture = attention_as_vmf(keys, gamma, delta, scale)
    >>> output = vmf_attention(x, *mixture, values, eps=1e-5)

    It is attention after a layer norm:

    >>> z = x - x.mean(axis=1, keepdims=True)
    >>> z = gamma * z / np.sqrt(z.var(axis=1, keepdims=True) + 1e-5) + delta
    >>> np.allclose(output, softmax(scale * z @ keys.T, axis=1) @ values, rtol=1e-12)
    True
    """
    check_choice(norm, "norm", NORMS)
    check_number(eps, "eps", min_val=0)
    dtype = np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64
    directions = _checked(directions, "directions", (None, None))
    n_keys, n_features = directions.shape
    concentrations = _checked(concentrations, "concentrations", (n_keys,))
    if (concentrations < 0).any():
        raise ValueError(
            f"concentrations contains {concentrations.min()}, must be >= 0: turn the"
            " directions of negative ones around."
        )
    log_weights = _checked(log_weights, "log_weights", (n_keys,))
    values = _checked(values, "values", (n_keys, None))
    states = _on_the_sphere(_checked(x, "x", (None, n_features)), norm, eps)
    n_dimensions = n_features - (norm == "layer")
    offsets = log_weights + log_normaliser(concentrations, n_dimensions)
    posteriors = softmax(offsets + concentrations * (states @ directions.T), axis=1)
    return (posteriors @ values).astype(dtype)


def _on_the_sphere(x: Floats, norm: str, eps: float) -> Floats:
    """The norm of tokens, in units of sqrt(n_features)."""
    if norm == "layer":
        x = _centred(x)
    variances = np.square(x).mean(axis=1, keepdims=True) + eps
    lost = np.flatnonzero(variances == 0)
    if len(lost):
        what = "of equal features" if norm == "layer" else "of zeros"
        raise ValueError(
            f"x has a row {what} (index {lost[0]}), which norm={norm!r} cannot bring to"
            " the sphere: remove it, or pass an eps > 0."
        )
    return x / np.sqrt(x.shape[1] * variances)


def _centred(rows: Floats) -> Floats:
    """Rows less their mean, and zeros where only rounding is left of them."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    rounding = 16 * np.finfo(rows.dtype).eps * np.abs(rows).max(axis=1, keepdims=True)
    alike = np.abs(centred).max(axis=1, keepdims=True) <= rounding
    return np.where(alike, 0.0, centred)


def _checked(
    value: ArrayLike,
    name: str,
    shape: tuple[int | None, ...],
    or_number: bool = False,
) -> NDArray[np.float64]:
    """A copy in float64, of that shape, in which None is any length but 0."""
    array = np.array(value, dtype=np.float64)
    if or_number and array.ndim == 0:
        array = np.full([length or 1 for length in shape], array)
    fits = array.ndim == len(shape) and array.size > 0
    if not (
        fits and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    ):
        expected = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(
            f"{name} has shape {array.shape}, expected ({expected}"
            f"{',' * (len(shape) == 1)}): reshape it, or the arguments it meets."
        )
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise ValueError(f"{name} contains {bad}; all its numbers must be finite.")
    return array
