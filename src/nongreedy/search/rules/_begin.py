"""Where a search begins: at practice, at the first values, at a schedule or at that of a result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from ...engines import Problem
from ...optimizers import ExponentialAverage, Optimizer, TailAverage
from ...schedules import Constant, Schedule
from ...schedules._average import INTERPOLATED, is_average
from ...schedules._ranges import beyond
from ...schedules._settings import base
from ...task import Task
from .._result import Result
from .._words import count
from ._averaged import around, schedule_free
from ._practice import innermost, practised
from ._rule import OuterRule

_FEW = 8  # examples: of fewer a search finds what fits these
_KINDS = {kind.name: kind for kind in (TailAverage, ExponentialAverage)}


def started(problem: Problem, start: str | Schedule | Result) -> Problem:
    """The problem, beginning at ``"practice"``, ``"zero"``, a schedule or that of a result.

    A schedule for averaged weights brings its average along: without it, it is another one.

    Raises:
        TypeError, ValueError: Anything else; an average that the optimizer cannot have; bounds within
            which a search could come to what no file of a schedule may hold.

    Warns:
        UserWarning: Hardly any examples.
    """
    _check_bounds(problem)
    _warn_of_few(problem.task)
    if isinstance(start, Result):
        start = start.schedule
    if isinstance(start, Schedule):
        own = problem.hyperparameters
        missing = [base(n)[0] for n in start.curves if is_average(n) and n not in own]
        if missing:
            optimizer = _averaging(problem.optimizer, missing[0])
            problem = replace(problem, optimizer=optimizer, start=None)
        return replace(problem, start=start).chosen(start)
    if start == "zero":
        return problem
    if start == "practice":
        return replace(problem, start=practised(problem))
    words = f"`start` must be 'practice', 'zero', a schedule or a result, but got {start!r}."
    if isinstance(start, str):
        raise ValueError(words + " Read a file by ng.Schedule.load(path).")
    raise TypeError(words)


def searchable(problem: Problem, rule: OuterRule[Any]) -> Problem:
    """The problem, whose values that no gradient reaches the rule moves.

    Raises:
        ValueError: It moves only what is differentiated.
    """
    if problem.task.choices and not rule.gradient_free:
        names = ", ".join(problem.task.choices)
        raise ValueError(
            f"{type(rule).__name__} moves by derivatives alone, and {names} has none. Take outer='auto', "
            "with bases other than Windows('auto'); or fix it by a number."
        )
    return problem


def _check_bounds(problem: Problem) -> None:
    """Raise ValueError where a search could end in a schedule that no optimizer takes."""
    for name, hyper in problem.learned.items():
        words = beyond(name, hyper.bounds) if hyper.owner == "optimizer" else None
        if words:
            raise ValueError(words)


def _warn_of_few(task: Task) -> None:
    for examples in (task.train, task.validation):
        if examples.count < _FEW:
            warnings.warn(
                f"`{examples.name}` has {count(examples.count, 'example')}: a schedule that is learned on "
                "so few fits them and tells nothing of others. Give more, or do not tune.",
                stacklevel=4,
            )


def _averaging(optimizer: Optimizer, name: str) -> Optimizer:
    """The optimizer with the average that has this setting."""
    inner = innermost(optimizer)
    if inner.average is None:
        changed = (
            schedule_free(inner)
            if name == INTERPOLATED
            else replace(inner, average=_KINDS[name](Constant()))
        )
        if changed is not None:
            return around(optimizer, changed)
    raise ValueError(
        f"`start` has {name}: it is of averaged weights, as {type(inner).__name__} with these settings "
        "has none. Give the optimizer that it was found for, such as optimizer=result.optimizer."
    )
