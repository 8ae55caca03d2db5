"""From what was typed to a task, an engine or an optimizer: ``my_task.py:task``, or by its name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import nongreedy as ng
from nongreedy.errors import nearest_name

from ._exit import Mistake


@dataclass(frozen=True)
class Target:
    """A task and, where its author chose one, the optimizer to learn."""

    name: str
    task: ng.Task
    optimizer: Any = None


def own_task(target: str) -> Target:
    """Load ``FILE.py:NAME`` or ``package.module:NAME``; without a name, ``task``."""
    module, name, task = _object(target, "task", ng.Task)
    if not isinstance(task, ng.Task):
        raise Mistake(
            f"{target!r} is {type(task).__name__!r}, not a nongreedy.Task. Write "
            f"`{name} = ng.Task(...)`, or a function without arguments that returns one."
        )
    return Target(target, task, getattr(module, "optimizer", None))


def own_part(target: str) -> tuple[str, ng.Engine | ng.Optimizer]:
    """The name of an engine or optimizer, and the object."""
    _, name, found = _object(target, "", ng.Engine, ng.Optimizer)
    if not isinstance(found, (ng.Engine, ng.Optimizer)):
        raise Mistake(
            f"{target!r} is {type(found).__name__!r}, neither a nongreedy.Engine nor a "
            "nongreedy.Optimizer. Name an object, such as my_file.py:MyEngine()."
        )
    return name, found


def _object(target: str, default: str, *kinds: type) -> tuple[ModuleType, str, Any]:
    """Module, name and object: given by name, by a call, or as what makes it without arguments."""
    place, expression = _split(target, default)
    name = _first_name(expression, target)
    module = _import_file(place) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise Mistake(f"{place!r} has no {name!r}.{nearest_name(name, public)}")
    found = _guarded(lambda: eval(expression, vars(module)), target)
    if callable(found) and not isinstance(found, kinds):
        found = _guarded(found, target)
    return module, name, found


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
        found = [str(file.relative_to(path.parent)) for file in path.parent.glob("*.py")]
        hint = nearest_name(path.name, found) if found else " Give the path of a Python file."
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
    try:
        found = importlib.util.find_spec(place) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise Mistake(
            f"No module {place!r}. Give a file and a name in it, my_task.py:task, or a module that "
            "Python can import from here."
        )
    return _guarded(lambda: importlib.import_module(place), place)


def _guarded(action: Any, place: str) -> Any:
    """Run the user's own code; say where it fails, in one line."""
    try:
        return action()
    except (Mistake, KeyboardInterrupt):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise Mistake(
            f"{place} raised {type(error).__name__}: {error} ({frame.filename}, line "
            f"{frame.lineno}). Run it by itself with `python` to see the whole traceback."
        ) from error


def from_names(
    data: str, model: str, *, batch_size: int, device: str, train_examples: int | None
) -> Target:
    """One of our data sets, or a folder or file of data, and one of our models."""
    ng.models.build(model, (3, 32, 32), 10)  # a misspelt name shows before large data are read
    splits = ng.data.load(data, train_examples=train_examples)
    inputs, _ = splits.train
    channels, height, width = inputs.shape[1:]
    task = ng.Task(
        model=ng.models.build(model, (channels, height, width), len(splits.classes)),
        loss=torch.nn.functional.cross_entropy,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        batch_size=min(batch_size, len(inputs)),
        device=device,
    )
    return Target(f"{splits.name}, {model}", task)
