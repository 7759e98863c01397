"""Universal Hopfield networks: a similarity, a separation, and what is read out."""

from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.utils import check_array

from .._typing import Floats
from ..checks import check_choice, check_number
from ..execution.threads import blas_in_one_thread

SIMILARITIES = ("dot", "cosine", "euclidean", "manhattan")
SEPARATIONS = ("softmax", "polynomial", "max")
# As many similarities of queries with memories are in memory at once.
BLOCK = 1 << 22


def hopfield_retrieve(
    queries: ArrayLike,
    memories: ArrayLike,
    values: ArrayLike | None = None,
    *,
    similarity: Literal["dot", "cosine", "euclidean", "manhattan"] = "dot",
    separation: Literal["softmax", "polynomial", "max"] = "softmax",
    beta: float = 1.0,
    degree: int = 3,
    n_steps: int = 1,
) -> Floats:
    """Retrieve from memories without fitting anything.

    A step compares a query q with each memory m_k, tells the similarities s_k apart,
    and reads out::

        s_k = m_k . q,  m_k . q / (|m_k| |q|),  -|m_k - q|^2 / 2  or  -sum |m_k - q|
        w = softmax(beta * s),  max(s, 0)^degree / sum,  or 1 / (their number) for the
            largest of s and 0 for the others
        q <- sum_k w_k m_k

    and the last of the n_steps reads ``sum_k w_k values_k``. So this is the association
    of modern Hopfield layers, and with one step of "dot" and "softmax" attention.

    Parameters
    ----------
    queries : array-like of shape (n_queries, n_features)
        Where states start.
    memories : array-like of shape (n_memories, n_features)
        What queries are compared with.
    values : array-like of shape (n_memories, n_values), default=None
        What the last step reads: the associations of the memories. None: the memories.
    similarity : {"dot", "cosine", "euclidean", "manhattan"}, default="dot"
        How a query is compared. The cosine of a vector of zeros is 0.
    separation : {"softmax", "polynomial", "max"}, default="softmax"
        How similarities become weights. Polynomials are for "dot" and "cosine"; where
        no similarity is positive, the largest decide as with "max".
    beta : float, default=1.0
        Inverse temperature of "softmax".
    degree : int, default=3
        Of "polynomial", 1 or more.
    n_steps : int, default=1
        Number of steps, the last one included.

    Returns
    -------
    retrieved : ndarray of shape (n_queries, n_values)
        Rows of n_features if values is None. In the dtype of queries: float32 stays
        float32, all else becomes float64.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a parameter cannot be.

    See Also
    --------
    ModernHopfieldNetwork : Stores patterns, takes some in and forgets others.

    References
    ----------
    .. [1] B. Millidge et al., "Universal Hopfield Networks: A General Framework for
       Single-Shot Associative Memory Models", ICML 2022.
    .. [2] H. Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021.

    Examples
    --------
    >>> from amcluster.memory import hopfield_retrieve
    >>> memories, values = [[1.0, 0.0], [0.0, 1.0]], [[10.0], [20.0]]
    >>> hopfield_retrieve([[0.9, 0.3]], memories, values, separation="max")
    array([[10.]])
    >>> hopfield_retrieve([[0.9, 0.3]], memories, similarity="manhattan").round(2)
    array([[0.77, 0.23]])
    """
    check_choice(similarity, "similarity", SIMILARITIES)
    check_choice(separation, "separation", SEPARATIONS)
    check_number(beta, "beta", min_val=0, include_boundaries="neither")
    check_number(degree, "degree", Integral, min_val=1)
    check_number(n_steps, "n_steps", Integral, min_val=1)
    if separation == "polynomial" and similarity in ("euclidean", "manhattan"):
        raise ValueError(
            f"separation == 'polynomial' with similarity == {similarity!r}, whose"
            " values are never positive: take separation='softmax' or 'max', or"
            " similarity='dot' or 'cosine'."
        )
    states, stored, read = _checked(queries, memories, values)
    size = max(1, BLOCK // len(stored))
    out = np.empty((len(states), read.shape[1]), states.dtype)
    with blas_in_one_thread:
        for start in range(0, len(states), size):
            here = states[start : start + size]
            for step in range(n_steps):
                weights = _similarities(here, stored, similarity)
                weights = _separated(weights, separation, beta, degree)
                here = weights @ (read if step == n_steps - 1 else stored)
            out[start : start + size] = here
    return out


def _similarities(queries: Floats, memories: Floats, similarity: str) -> Floats:
    """How alike each query and each memory are (n_queries, n_memories)."""
    if similarity == "manhattan":
        return -cdist(queries, memories, "cityblock").astype(queries.dtype)
    if similarity == "euclidean":
        return cdist(queries, memories, "sqeuclidean").astype(queries.dtype) / -2
    if similarity == "cosine":
        queries, memories = _normalised(queries), _normalised(memories)
    return queries @ memories.T


def _normalised(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)


def _separated(
    similarities: Floats, separation: str, beta: float, degree: int
) -> Floats:
    """Weights of the memories (n_queries, n_memories); rows sum to 1."""
    if separation == "softmax":
        return softmax(similarities.dtype.type(beta) * similarities, axis=1)
    largest = similarities.max(axis=1, keepdims=True)
    weights = (similarities == largest).astype(similarities.dtype)
    if separation == "polynomial":
        # Of the largest, so that no power overflows.
        positive = np.where(largest > 0, largest, 1)
        powers = (np.maximum(similarities, 0) / positive) ** int(degree)
        weights = np.where(largest > 0, powers, weights)
    return weights / weights.sum(axis=1, keepdims=True)


def _checked(queries: Any, memories: Any, values: Any) -> tuple[Floats, Floats, Floats]:
    """Queries, memories and values, in the dtype of the queries."""
    dtypes = [np.float64, np.float32]
    queries = check_array(queries, dtype=dtypes, input_name="queries")
    dtype = queries.dtype
    memories = check_array(memories, dtype=dtype, input_name="memories")
    if memories.shape[1] != queries.shape[1]:
        raise ValueError(
            f"memories has {memories.shape[1]} columns and queries {queries.shape[1]}:"
            " pass both with the same features, and others as values."
        )
    if values is None:
        return queries, memories, memories
    values = check_array(values, dtype=dtype, input_name="values")
    if len(values) != len(memories):
        raise ValueError(
            f"values has {len(values)} rows and memories {len(memories)}: pass one row"
            " for each memory."
        )
    return queries, memories, values
