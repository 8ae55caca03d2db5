"""What of a task is made anew for each value of what no gradient reaches."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from ..errors import nearest_name
from ..schedules import Basis, Default, GradientFree, Schedule

BATCH_SIZE, EPOCHS = "batch_size", "epochs"  # which no function need receive
F = TypeVar("F", bound=Callable[..., Any])


def checked_table(given: Any) -> dict[str, Basis | float]:
    """The hyperparameters of a task, by name; None is none.

    Raises:
        TypeError: Something else than a mapping.
    """
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(
            "`hyperparameters` must be a dictionary from names to bases or numbers, such as "
            f'{{"penalty": ng.Constant(initial=0.1)}}, but got {given!r:.80}.'
        )
    return dict(given or {})


def choices_of(learnable: Mapping[str, Basis | float]) -> dict[str, GradientFree]:
    """Those that no gradient reaches, by name."""
    return {name: basis for name, basis in learnable.items() if isinstance(basis, GradientFree)}


def default_of(basis: Basis | float, other: Default) -> Default:
    """What holds for one where it leaves a field open, else `other`."""
    if not isinstance(basis, GradientFree):
        return other
    transform, step = basis.coordinate
    return Default(basis.value, basis.bounds, transform, step)


def received(function: Callable[..., Any] | None, names: Mapping[str, Any]) -> list[str]:
    """Of these names those that a function has an argument for."""
    if function is None or isinstance(function, nn.Module):
        return []
    try:
        arguments = inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins have no signature
        return []
    return [name for name in names if name in arguments]


def receiving(function: F, choices: Mapping[str, GradientFree]) -> F:
    """The same function, given the values that it has arguments for."""
    values = {name: choices[name].value for name in received(function, choices)}
    return functools.partial(function, **values) if values else function  # type: ignore[return-value]


def moved(
    learnable: Mapping[str, Basis | float], values: Mapping[str, float]
) -> dict[str, Basis | float]:
    """The same table at other values.

    Raises:
        ValueError: A name that is none of these, or a value outside its bounds.
    """
    choices = choices_of(learnable)
    for name in values:
        if name not in choices:
            raise ValueError(
                f"{name!r} is no GradientFree hyperparameter of the task."
                + nearest_name(name, choices)
            )
    return {n: choices[n].at(values[n]) if n in values else b for n, b in learnable.items()}


def settled_batch_size(
    given: "int | GradientFree | None", table: dict[str, Basis | float]
) -> int | None:
    """Where it begins; one that is searched goes into the table.

    Raises:
        ValueError: One that is searched and may be no whole number.
    """
    if not isinstance(given, GradientFree):
        return given
    if not given.integer or given.bounds[0] < 1:
        raise ValueError(
            f"`batch_size` must be a whole number of at least 1, but got {given!r}: pass integer=True."
        )
    table[BATCH_SIZE] = given
    return int(given.value)


def refuse_others(choices: Mapping[str, GradientFree], schedule: Schedule) -> None:
    """What no gradient reaches is part of the task: a schedule for another value is one of another run.

    Raises:
        ValueError: It is.
    """
    for name, choice in choices.items():
        if name in schedule.curves and float(schedule[name]) != choice.value:
            wanted = float(schedule[name])
            raise ValueError(
                f"The schedule is for {name}={wanted:g}, but the task has {choice.value:g}. Take the task of "
                f"the result, or task.with_values({name}={wanted:g})."
            )
