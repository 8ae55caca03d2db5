"""The user's own functions: whether they can be called as a task calls them."""

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import nn

from ..schedules import Basis
from ._choices import BATCH_SIZE, EPOCHS, choices_of, received
from ._hypers import takes_hypers

# By position; besides, each is given `hypers` and what is searched, where it has an argument for it.
_CALLED = {
    "loss": ("output", "target"),
    "validation_loss": ("output", "target"),
    "augment": ("inputs", "generator"),
    "prepare": ("inputs", "targets"),
    "forward": ("network", "inputs"),
    "initialize": ("parameters",),
    "collate_fn": ("items",),
    "metric": ("output", "target"),
}


def check_functions(functions: Mapping[str, Any], searched: Collection[str]) -> None:
    """Raise where a function could not be called, and where a loss would train by itself.

    Args:
        functions: Name -> what was given for it; None is nothing.
        searched: Names of hyperparameters that a function may take by name.

    Raises:
        TypeError: No function, or one of other arguments.
        ValueError: Trainable parameters in a loss.
    """
    for name, function in functions.items():
        if function is None:
            continue
        takes = ", ".join(_CALLED[name])
        if not callable(function):
            raise TypeError(f"`{name}` must be a function of ({takes}), but got {function!r:.80}.")
        given = _other_arguments(function, _CALLED[name], searched)
        unmade = isinstance(function, type) and (given or issubclass(function, nn.Module))
        if unmade:
            raise TypeError(
                f"`{name}` is the class {function.__name__}; pass an instance: {function.__name__}()."
            )
        if given is not None:
            raise TypeError(
                f"`{name}` is called with ({takes}), but takes {given}. Change its arguments."
            )
        if isinstance(function, nn.Module) and name in ("loss", "validation_loss"):
            _check_fixed(name, function)


def check_received(
    learnable: Mapping[str, Basis | float],
    functions: Mapping[str, Any],
    makers: Iterable[Callable[..., Any] | None],
) -> None:
    """Raise ValueError at a hyperparameter that no function takes, or that begins nowhere.

    Args:
        functions: Those that may take ``hypers``, by name.
        makers: Those that may take by name what is searched.
    """
    choices = choices_of(learnable)
    placed = {BATCH_SIZE, EPOCHS} & choices.keys()
    for maker in makers:
        placed.update(received(maker, choices))
    others = set(learnable) - placed
    if others and not any(takes_hypers(function) for function in functions.values()):
        raise ValueError(
            f"The task has hyperparameters {sorted(others)}, but none of its functions "
            f"({', '.join(functions)}) has an argument `hypers` to receive them."
        )
    for name, basis in learnable.items():
        if isinstance(basis, Basis) and basis.initial is None:
            raise ValueError(
                f"{name} has no initial value, and none is known for a task's own "
                f"hyperparameter: {basis!r}. Pass initial=."
            )


def check_judge(loss: Callable[..., Any]) -> None:
    """Raise ValueError where training would be judged by hyperparameters."""
    if takes_hypers(loss):
        raise ValueError(
            "The validation loss takes `hypers`, but training is judged without them. Pass "
            "validation_loss=, a function of (output, target)."
        )


def check_model(model: Any, searched: Collection[str]) -> None:
    """Raise TypeError unless this is a network, or makes one without being told anything."""
    if isinstance(model, nn.Module):
        return
    if not callable(model):
        raise TypeError(
            f"`model` must be an nn.Module or a function that makes one, but got {model!r:.80}. Pass one, "
            "such as lambda: torch.nn.Linear(20, 2)."
        )
    if (given := _other_arguments(model, (), searched)) is not None:
        name = getattr(model, "__name__", type(model).__name__)
        raise TypeError(
            f"`model` is called without arguments, but {name} takes {given}. Pass a network, or what makes "
            "one by itself, such as lambda: torch.nn.Linear(20, 2)."
        )


def _other_arguments(
    function: Callable[..., Any], called: Collection[str], searched: Collection[str]
) -> str | None:
    """What a function takes, where that is not what it is called with."""
    named = {"hypers"} if takes_hypers(function) else set[str]()
    takes = function.forward if isinstance(function, nn.Module) else function
    for wrapped in (True, False):  # a decorator may say what it wraps, and take something else
        try:
            signature = inspect.signature(takes, follow_wrapped=wrapped)
        except (TypeError, ValueError):  # builtins have no signature
            return None
        own = named | {name for name in searched if name in signature.parameters}
        with contextlib.suppress(TypeError):
            signature.bind(*called, **dict.fromkeys(own))
            return None
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{inspect.Signature(bare)!s:.80}"


def _check_fixed(name: str, loss: nn.Module) -> None:
    trained = [path for path, p in loss.named_parameters() if p.requires_grad]
    if trained:
        raise ValueError(
            f"`{name}` has trainable parameters of its own ({', '.join(trained)}), which no "
            "optimizer would train. Make them part of the model, whose output may hold what the "
            "loss needs of them; or freeze them: loss.requires_grad_(False)."
        )
