"""nongreedy: gradient-based hyperparameter optimization over whole training runs."""

import ast
import importlib
import pkgutil
import sys
from types import ModuleType
from typing import Any


def _homes() -> dict[str, str]:
    """Public name -> the room that it comes from, or "" of a room itself: what the stub imports.

    The stub, `__init__.pyi`, is the one list of public names; type checkers and editors read it, too.
    """
    stub = ast.parse(pkgutil.get_data(__name__, "__init__.pyi") or b"")
    lines = [line for line in stub.body if isinstance(line, ast.ImportFrom)]
    return {name.name: line.module or "" for line in lines for name in line.names}


class _Face(ModuleType):
    """This module. A room is imported when one of its names is first asked for: importing torch takes
    seconds, and `nongreedy --help` needs none of it."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if not _HOMES[name]:
            return importlib.import_module(f"{__name__}.{name}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing the room `trust` would put it in the place of the function `trust`.
        if not (isinstance(value, ModuleType) and _HOMES.get(name)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


_HOMES = _homes()
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]
sys.modules[__name__].__class__ = _Face
