"""Citations: BibTeX for exactly the methods that were used, from the docstrings of their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from ..errors import nearest_name
from ..search import Result
from ..search.rules import SignDescent
from ._bibtex import defaults, named, public, written


def cite(*things: Any) -> str:
    r"""BibTeX for exactly the methods used, each publication once.

    An entry stands in the docstring of the class that it is due to, under
    ``.. code-block:: bibtex``; with ``:caption: if momentum != 0`` it is cited where the settings
    say so. ``:cite:`key``` cites an entry of another class of this library. Objects among the
    settings, such as the optimizer that groups divide, are cited with what holds them.

    Args:
        things: Engines, outer rules, optimizers and whatever else has such a docstring, yours too:
            objects, classes (which have their default settings), their ``to_json()``, or the
            :class:`Result` of a search. Without any: the library's core method.

    Returns:
        Entries separated by blank lines, to be written to a ``.bib`` file.

    Raises:
        ValueError: Something that has no entry; the message says what can be cited.

    Source: the publications themselves; a field that is not certain is left out.

    Cannot: cite your model or your data.

    Example:
        >>> from nongreedy import Adam
        >>> print(cite(Adam()).splitlines()[0])
        @inproceedings{kingma2015adam,
    """
    found = [entry for thing in things or (SignDescent,) for entry in _entries(thing)]
    return "\n\n".join(dict.fromkeys(found)) + "\n"


# Classes with their settings.
_Used = Iterator[tuple[type, Mapping[str, Any]]]


def _entries(thing: Any) -> list[str]:
    if isinstance(thing, Result):
        return [entry for part in _parts(thing) for entry in _entries(part)]
    found = [entry for kind, settings in _used(thing) for entry in written(kind, settings)]
    if not found:
        raise _unknown(thing)
    return found


def _parts(result: Result) -> Iterator[Any]:
    """The engine, the outer rule and the optimizer of a search, as they were written down."""
    for name in ("engine", "outer", "optimizer"):
        described = result.settings.get(name)
        if isinstance(described, Mapping):  # an online run has the name of a torch optimizer
            yield described


def _used(value: Any) -> _Used:
    """Of an object, of a class, or of an object's JSON; then of what is among its settings."""
    if isinstance(value, type):
        yield value, defaults(value)
        yield from _used(defaults(value))
    elif isinstance(value, Mapping):
        kind = named(str(value.get("class")))
        if kind is not None:
            value = {**defaults(kind), **value}
            yield kind, value
        yield from _used(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _used(item)
    else:
        yield type(value), getattr(value, "__dict__", {})
        if is_dataclass(value):
            yield from _used(vars(value))


def _unknown(thing: Any) -> ValueError:
    shown = _name(thing)
    return ValueError(
        f"Nothing is known to cite for {shown!r}: no docstring of it has BibTeX. A Result can be cited, "
        f"and objects of these.{nearest_name(shown.rpartition('.')[2], public())}"
    )


def _name(thing: Any) -> str:
    if isinstance(thing, list) and thing:
        return _name(thing[0])
    if isinstance(thing, Mapping):
        return str(thing.get("class"))
    kind = thing if isinstance(thing, type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
