"""Rows by kind, as each kind is met in a way of its own."""

from functools import singledispatch, update_wrapper

import numpy as np

from .complete import Complete
from .missing import Missing, has_missing


def of_each_kind(X, missing, answer):
    """What ``answer(rows)`` says of complete rows, and of those with missing values.

    Both are met in their own ways, with their own rounding. Apart, no row's answer
    depends on the rows that it came with.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    missing : bool
        Whether some values are.
    answer : callable
        Takes `Complete` or `Missing` rows, and returns an array with an entry for each
        row, or a tuple of such arrays.
    """
    # What is too far away for the dtype is infinitely far away, and no warning.
    with np.errstate(over="ignore", invalid="ignore"):
        if not missing:
            return answer(Complete(X))
        return apart(
            np.isnan(X).any(axis=1),
            X,
            lambda some: answer(Missing(some)),
            lambda others: answer(Complete(others)),
        )


def as_one_kind(X):
    """All rows as one kind: that of rows with missing values if there are any."""
    return Missing(X) if has_missing(X) else Complete(X)


def apart(where, X, of_some, of_others):
    """Answers to some of the rows, and to the others, by themselves."""
    if where.all():
        return of_some(X)
    if not where.any():
        return of_others(X)
    return put_together(where, of_some(X[where]), of_others(X[~where]))


def put_together(where, some, others):
    """Answers for rows that are in two parts, each an array or a tuple of them."""
    if isinstance(some, tuple):
        return tuple(
            put_together(where, *pair) for pair in zip(some, others, strict=True)
        )
    together = np.empty((len(where), *some.shape[1:]), some.dtype)
    together[where], together[~where] = some, others
    return together


def by_kind(function):
    """A function that every kind of rows has a version of, found by its first argument.

    The function that is decorated has the docstring; versions are registered, as with
    `functools.singledispatch`. Rows of another kind are refused, and never taken for
    one of those.
    """

    def unknown(rows, *_, **__):
        raise NotImplementedError(
            f"{function.__module__}.{function.__name__} has no version for"
            f" {type(rows).__name__}: register one."
        )

    return singledispatch(update_wrapper(unknown, function))
