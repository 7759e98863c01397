"""CSR matrices: blocks of their rows for kernels, and an order of their own."""

from itertools import pairwise

import numpy as np

from ..kernels import NonZeros, plain, target


def plain_matrix(X):
    """The CSR matrix, with arrays in the layout of compiled kernels: see `plain`."""
    data, indices = plain(X.data), plain(X.indices)
    if data is X.data and indices is X.indices:
        return X
    return type(X)((data, indices, X.indptr), shape=X.shape)


def block_of(X, rows=slice(None)):
    """Some rows of a CSR matrix, for kernels."""
    first, beyond, _ = rows.indices(X.shape[0])
    starts = plain(X.indptr[first : beyond + 1], np.int64)
    return NonZeros(plain(X.data), plain(X.indices), starts)


def canonical_order(X, weights):
    """Sort by a hash of what is not zero in each row, then by weight.

    Parameters
    ----------
    X : CSR of shape (n_rows, n_features)
        With sorted indices, without duplicates.
    weights : ndarray of shape (n_rows,)

    Returns
    -------
    order : ndarray of shape (n_rows,)
        Equal rows follow each other.
    is_first : ndarray of shape (n_rows,)
        Along it, whether a row differs from the one before.
    """
    rows, kernels = block_of(X), target()
    codes = np.empty(X.shape[0], np.uint64)
    kernels.sparse_hash(rows, codes)
    order = np.lexsort((weights, codes))
    codes = codes[order]
    has_other_code = np.append(True, codes[1:] != codes[:-1])
    is_first = np.ones(len(order), bool)
    kernels.sparse_differences(rows, order, is_first)
    collides = is_first & ~has_other_code
    if collides.any():
        starts = np.append(np.flatnonzero(has_other_code), len(order))
        group = np.cumsum(has_other_code) - 1
        for i in np.unique(group[collides]):
            here = slice(starts[i], starts[i + 1])
            _sort_by_content(X, weights, order[here], is_first[here])
    return order, is_first


def _sort_by_content(X, weights, order, is_first):
    """Sort, in place, different rows of one hash, which next to never exist."""

    def content(row):
        here = slice(X.indptr[row], X.indptr[row + 1])
        stored = zip(X.indices[here].tolist(), X.data[here].tolist(), strict=True)
        return [pair for pair in stored if pair[1] != 0]

    keys = {row: (content(row), weights[row]) for row in order.tolist()}
    order[:] = sorted(keys, key=keys.get)
    rows = pairwise(order.tolist())
    is_first[1:] = [keys[row][0] != keys[before][0] for before, row in rows]
