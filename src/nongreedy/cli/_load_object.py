"""From ``my_file.py:MyEngine()`` to the engine or optimizer that it means."""

from __future__ import annotations

import ast
from typing import Any

import nongreedy as ng

from ._load_task import guarded, imported, member
from ._problem import Problem


def from_file(target: str) -> tuple[str, ng.Engine | ng.Optimizer]:
    """Its name, and the object: given by name, by a call, or as a class or function without arguments.

    Raises:
        Problem: No such file or name, code that fails, or something of another kind.
    """
    place, expression = _split(target)
    module = imported(place)
    name = _first_name(expression, target)
    found: Any = member(module, name, place)
    if name != expression:
        found = guarded(lambda: eval(expression, vars(module)), target)
    elif callable(found) and not isinstance(found, (ng.Engine, ng.Optimizer)):
        found = guarded(found, target)
    if not isinstance(found, (ng.Engine, ng.Optimizer)):
        raise Problem(
            f"{target!r} is {type(found).__name__!r}, neither a nongreedy.Engine nor a "
            "nongreedy.Optimizer. Name an object, such as my_file.py:MyEngine()."
        )
    return name, found


def _split(target: str) -> tuple[str, str]:
    # At the first colon after the file's name: the call may have colons of its own.
    start = target.find(".py:") + 3 if ".py:" in target else 0
    place, _, expression = target[start:].partition(":")
    if not expression:
        raise Problem(
            f"{target!r} names no object. Write my_file.py:MyEngine() or module:my_optimizer."
        )
    return target[:start] + place, expression


def _first_name(expression: str, target: str) -> str:
    """``MyEngine`` of ``MyEngine(order=2)``."""
    try:
        body = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise Problem(f"{target!r} is not Python after the colon: {error.msg}.") from error
    inner = body.func if isinstance(body, ast.Call) else body
    if not isinstance(inner, ast.Name):
        raise Problem(f"{target!r}: give a name or a call after the colon, such as MyEngine().")
    return inner.id
