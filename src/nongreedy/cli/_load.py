"""From what was typed to a task, an engine or an optimizer of the user's own: ``my_task.py:task``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nongreedy as ng
from nongreedy.errors import nearest_name

from ._exit import Mistake


@dataclass(frozen=True)
class Target:
    """A task and, where its author chose one, the optimizer to learn.

    Attributes:
        told: What a table became, in sentences.
        scale: Of real targets that are ours.
    """

    name: str
    task: ng.Task
    optimizer: Any = None
    told: tuple[str, ...] = ()
    scale: ng.data.TargetScale | None = None

    def to_json(self) -> dict[str, Any]:
        """What a report says of it."""
        return {"name": self.name, "told": list(self.told)}


def own_task(target: str) -> Target:
    """Load ``FILE.py:NAME`` or ``package.module:NAME``; without a name, ``task``."""
    advice = (
        "not a nongreedy.Task. Write `{} = ng.Task(...)`, or a function without arguments that "
        "returns one."
    )
    module, _, task = _object(target, "task", (ng.Task,), advice)
    return Target(target, task, getattr(module, "optimizer", None))


def own_part(target: str) -> tuple[str, ng.Engine | ng.Optimizer | Target]:
    """The name of an engine or optimizer, and the object; or a task."""
    advice = (
        "neither a nongreedy.Task nor an Engine or Optimizer of it. Name an object, such as "
        "my_task.py:task or my_file.py:MyEngine()."
    )
    module, name, own = _object(target, "", (ng.Engine, ng.Optimizer, ng.Task), advice)
    if isinstance(own, ng.Task):
        return name, Target(target, own, getattr(module, "optimizer", None))
    return name, own


def _object(
    target: str, default: str, kinds: tuple[type, ...], advice: str
) -> tuple[ModuleType, str, Any]:
    """Module, name and object: given by name, by a call, or as what makes it without arguments."""
    place, expression = _split(target, default)
    name = _first_name(expression, target)
    module = _import_file(place) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise Mistake(f"{place!r} has no {name!r}.{nearest_name(name, public)}")
    value = _guarded(lambda: eval(expression, vars(module)), target)
    if callable(value) and not isinstance(value, kinds):
        _check_makes_alone(value, f"{place}:{name}")
        value = _guarded(value, target)
    if not isinstance(value, kinds):
        raise Mistake(f"{target!r} is {type(value).__name__!r}, {advice.format(name)}")
    return module, name, value


def _split(target: str, default: str) -> tuple[str, str]:
    # At the first colon after the file's name: the call may have colons of its own.
    start = target.find(".py:") + 3 if ".py:" in target else 0
    place, _, expression = target[start:].partition(":")
    if not expression and not default:
        raise Mistake(
            f"{target!r} names no object. Write my_file.py:MyEngine() or module:my_optimizer."
        )
    return target[:start] + place, expression or default


def _first_name(expression: str, target: str) -> str:
    """``MyEngine`` of ``MyEngine(order=2)``."""
    try:
        body = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise Mistake(f"{target!r} is not Python after the colon: {error.msg}.") from error
    inner = body.func if isinstance(body, ast.Call) else body
    if not isinstance(inner, ast.Name):
        raise Mistake(f"{target!r}: give a name or a call after the colon, such as MyEngine().")
    return inner.id


def _import_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        beside = [file.name for file in path.parent.glob("*.py")]
        hint = nearest_name(path.name, beside) if beside else " Give the path of a Python file."
        raise Mistake(f"No file {place!r}.{hint}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # a path that ends in .py has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # As `python my_task.py` does: the file finds its neighbours, and its classes can be pickled.
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules.setdefault(path.stem, module)
    _guarded(lambda: spec.loader.exec_module(module), place)  # pyright: ignore
    return module


def _import_module(place: str) -> ModuleType:
    sys.path.insert(0, "")
    spec = None
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(place)
    if spec is None:
        raise Mistake(
            f"No module {place!r}. Give a file and a name in it, my_task.py:task, or a module that "
            "Python can import from here."
        )
    return _guarded(lambda: importlib.import_module(place), place)


def _check_makes_alone(function: Any, called: str) -> None:
    """Raise Mistake where what would make the object wants to be told something."""
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise Mistake(
            f"{called!r} is called without arguments, but: {error}. Give its arguments defaults, or write "
            f"them: '{called}(...)'."
        ) from None
    except ValueError:  # builtins have no signature
        return


def _guarded(action: Any, place: str) -> Any:
    """Run the user's own code; say where it fails, in one line."""
    try:
        return action()
    except (Mistake, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise Mistake(
            f"{place} ended Python itself, by sys.exit({error.code!r}). Put what only a script does under "
            '`if __name__ == "__main__":`.'
        ) from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        # The message of a file that is no Python has its line already.
        where = f" ({frame.filename}, line {frame.lineno})"
        where = "" if isinstance(error, SyntaxError) else where
        raise Mistake(
            f"{place} raised {type(error).__name__}: {error}{where}. Run it by itself with `python` to see "
            "the whole traceback."
        ) from error
