"""BibTeX in docstrings: an entry under its heading, or the key of an entry that stands elsewhere."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from ..engines import Engine, LinearSolver, Noise, Store
from ..optimizers import Average, Optimizer, PlainOptimizer
from ..search.rules import OuterRule
from ..trust import Trust

# What is looked up by a name or by a key is one of these or extends one.
CONTRACTS = (
    Average, Engine, LinearSolver, Noise, Store, Optimizer, PlainOptimizer, OuterRule, Trust,
)  # fmt: skip
_CITED = re.compile(
    r"^\.\. code-block:: bibtex\n( +:caption: if (?P<condition>.+)\n)?"
    r"(?P<entry>(( +.*)?\n)+)|:cite:`(?P<key>[^`]+)`",
    re.MULTILINE,
)


def written(kind: type, settings: Mapping[str, Any]) -> Iterator[str]:
    """Entries in the docstrings of a class and of its bases, where their conditions hold."""
    for base in kind.__mro__:
        for match in _cited(base):
            if match["key"]:
                yield _entry(match["key"], base)
            # A condition is Python, as an example is in a doctest, of a class that was imported.
            elif eval(match["condition"] or "True", {"__builtins__": {}}, dict(settings)):
                yield inspect.cleandoc(match["entry"])


def _cited(kind: type) -> Iterator[re.Match[str]]:
    return _CITED.finditer(inspect.cleandoc(kind.__doc__ or "") + "\n")


def _entry(key: str, by: type) -> str:
    """The entry of a key, from whichever class has it."""
    for kind in known():
        for match in _cited(kind):
            if f"{{{key}," in (match["entry"] or ""):
                return inspect.cleandoc(match["entry"])
    raise ValueError(
        f"{by.__qualname__} cites {key!r}, and no docstring has that entry. Write it into that of "
        f"{by.__qualname__}, under `.. code-block:: bibtex`."
    )


def known() -> list[type]:
    """Every class that can be looked up, this library's before a stranger's."""
    kinds = dict.fromkeys(_below(*CONTRACTS))
    return sorted(kinds, key=lambda kind: kind.__module__.split(".")[0] != "nongreedy")


def _below(*kinds: type) -> Iterator[type]:
    for kind in kinds:
        yield kind
        yield from _below(*kind.__subclasses__())


def named(name: str) -> type | None:
    """The class of a name, with or without its module's."""
    names = {k: (k.__name__, f"{k.__module__}.{k.__qualname__}") for k in known()}
    return next((kind for kind in names if name in names[kind]), None)


def public() -> list[str]:
    """Names of the classes whose objects can be cited."""
    mine = (kind for kind in known() if kind.__module__.startswith("nongreedy"))
    return [k.__name__ for k in mine if "._" not in k.__module__ and not inspect.isabstract(k)]


def defaults(kind: type) -> dict[str, Any]:
    """The settings of a class of which nothing else is known."""
    settings = {}
    for field in fields(kind) if is_dataclass(kind) else ():
        if field.default is not MISSING:
            settings[field.name] = field.default
        elif field.default_factory is not MISSING:
            settings[field.name] = field.default_factory()
    return settings
