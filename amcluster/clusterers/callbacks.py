"""Bridge to scikit-learn's callbacks, which exist from version 1.9.

A fit is a tree of tasks: the fit, its starts, and the iterations of each. Callbacks
hear when a task begins and ends, and may ask to stop at the end of one. With an older
scikit-learn, estimators have no `set_callbacks` and tasks are silent.
"""

from collections.abc import Callable
from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from .._typing import Floats

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # pragma: no cover

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand-in that adds nothing."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Stand-in that changes nothing."""
        return method


# What an estimator would keep, or a function that says so when it is asked.
Attributes = dict[str, Any] | Callable[[], dict[str, Any]]


class Task:
    """One task of a fit, of which callbacks are told.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    context : sklearn.callback.CallbackContext or None
        Its place in the tree; None: nobody listens.
    data : dict
        X, y and metadata, as hooks take them.
    max_subtasks : int or None
        Most subtasks it may have; None: not known before.
    """

    max_subtasks: Any

    def __init__(
        self,
        estimator: BaseEstimator,
        context: Any,
        data: dict[str, Any],
        max_subtasks: int | None,
    ) -> None:
        self._estimator, self._context, self._data = estimator, context, data
        self.max_subtasks = max_subtasks
        if context is not None:
            context.call_on_fit_task_begin(estimator=estimator, **data)

    @classmethod
    def root(
        cls,
        estimator: BaseEstimator,
        X: Floats,
        y: None,
        sample_weight: ArrayLike | None,
        max_subtasks: int | None,
    ) -> Self:
        """Begin the task of a fit; the fit has to be decorated `with_callbacks`."""
        context = None
        if hasattr(estimator, "_init_callback_context"):
            context = estimator._init_callback_context(max_subtasks=max_subtasks)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        return cls(estimator, context, data, max_subtasks)

    @classmethod
    def silent(cls, estimator: BaseEstimator, max_subtasks: int | None = None) -> Self:
        """A task that nobody hears of."""
        return cls(estimator, None, {}, max_subtasks)

    def subtask(self, name: str, max_subtasks: int | None = 0) -> "Task":
        """Begin a task below this one."""
        context = self._context
        if context is not None:
            context = context.subcontext(name, max_subtasks=max_subtasks)
        return Task(self._estimator, context, self._data, max_subtasks)

    def end(self, attributes: Attributes | None = None) -> bool:
        """End the task; return whether a callback asks to stop.

        `attributes`, or what it returns if it is callable, are those with which the
        estimator could predict as if the fit had ended here.
        """
        return self._context is not None and self._context.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=attributes,
            **self._data,
        )


class Iterations:
    """Leaf tasks in a row: where one ends the next begins, until `close`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._current = task.subtask("iteration")

    def end_one(self, attributes: Attributes) -> bool:
        """End the current iteration; return whether a callback asks to stop."""
        stop = self._current.end(attributes)
        self._current = self._task.subtask("iteration")
        return stop

    def close(self) -> None:
        """End the iteration that was begun last and never ran."""
        self._current.end()
