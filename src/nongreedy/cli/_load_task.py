"""From what was typed to a task: ``my_task.py:task``, or a data set and a model by name."""

from __future__ import annotations

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

from ._problem import Problem


@dataclass(frozen=True)
class Target:
    """A task and, where its author chose one, the optimizer to learn."""

    name: str
    task: ng.Task
    optimizer: Any = None


def from_module(target: str) -> Target:
    """Load ``FILE.py:NAME`` or ``package.module:NAME``; without a name, ``task``."""
    place, name = _split(target)
    module = imported(place)
    task = member(module, name, place)
    if callable(task) and not isinstance(task, ng.Task):
        task = guarded(task, target)
    if not isinstance(task, ng.Task):
        raise Problem(
            f"{target!r} is {type(task).__name__!r}, not a nongreedy.Task. Write "
            f"`{name} = ng.Task(...)`, or a function without arguments that returns one."
        )
    return Target(target, task, getattr(module, "optimizer", None))


def imported(place: str) -> ModuleType:
    """The module of a file that ends in ``.py``, or of a name that Python can import from here."""
    return _import_file(place) if place.endswith(".py") else _import_module(place)


def member(module: ModuleType, name: str, place: str) -> Any:
    """What a module has by this name."""
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise Problem(f"{place!r} has no {name!r}.{nearest_name(name, public)}")
    return getattr(module, name)


def _split(target: str) -> tuple[str, str]:
    if target.endswith(".py") or ":" not in target:
        return target, "task"
    place, _, name = target.rpartition(":")
    return place, name or "task"


def _import_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        found = [str(file.relative_to(path.parent)) for file in path.parent.glob("*.py")]
        hint = nearest_name(path.name, found) if found else " Give the path of a Python file."
        raise Problem(f"No file {place!r}.{hint}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # a path that ends in .py has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # As `python my_task.py` does: the file finds its neighbours, and its classes can be pickled.
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules.setdefault(path.stem, module)
    guarded(lambda: spec.loader.exec_module(module), place)  # pyright: ignore
    return module


def _import_module(place: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        found = importlib.util.find_spec(place) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise Problem(
            f"No module {place!r}. Give a file and a name in it, my_task.py:task, or a module that "
            "Python can import from here."
        )
    return guarded(lambda: importlib.import_module(place), place)


def guarded(action: Any, place: str) -> Any:
    """Run the user's own code; say where it fails, in one line."""
    try:
        return action()
    except (Problem, KeyboardInterrupt):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise Problem(
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
