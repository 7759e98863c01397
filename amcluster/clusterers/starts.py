"""Learning from several starts, of which the best is kept."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .callbacks import Iterations, Task


def best_of(
    starts: Iterable[Any],
    learn: Callable[[int, Any, Iterations], Any],
    is_better: Callable[[Any, Any], bool],
    attributes: Callable[[Any], dict[str, Any]],
    task: Task,
    max_iter: int | None = None,
) -> Any:
    """What the best of several starts comes to.

    Parameters
    ----------
    starts : iterable
        Where learning starts; each is asked for when the one before has ended.
    learn : callable
        ``learn(number, start, iterations)`` returns an outcome, and ends the leaf tasks
        of `iterations` as it goes.
    is_better : callable
        ``is_better(outcome, best)`` says whether to keep an outcome instead.
    attributes : callable
        Attributes that an estimator keeps of an outcome, for callbacks.
    task : Task
        The fit; each start is a subtask, and callbacks may ask to stop after one.
    max_iter : int or None
        Most iterations of a start; None: not known before.

    Returns
    -------
    outcome : object
        The first of the best.
    """
    # One more subtask than iterations: see `Iterations.close`.
    max_subtasks = None if max_iter is None else max_iter + 1
    best = None
    for number, start in enumerate(starts):
        subtask = task.subtask("start", max_subtasks=max_subtasks)
        iterations = Iterations(subtask)
        outcome = learn(number, start, iterations)
        iterations.close()
        if best is None or is_better(outcome, best):
            best = outcome
        if subtask.end(partial(attributes, best)):
            break
    return best
