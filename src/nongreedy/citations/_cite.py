"""Citations: BibTeX for exactly the methods that were used, from the docstrings of their classes."""

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
    entries = [entry for thing in things or (SignDescent,) for entry in _entries(thing)]
    return "\n\n".join(dict.fromkeys(entries)) + "\n"


def _entries(thing: Any) -> list[str]:
    if isinstance(thing, Result):
        parts = [thing.settings.get(name) for name in ("engine", "outer", "optimizer")]
        # An online run has the name of a torch optimizer.
        return [e for part in parts if isinstance(part, Mapping) for e in _entries(part)]
    entries = [entry for kind, settings in _used(thing) for entry in written(kind, settings)]
    if entries:
        return entries
    name = _name(thing)
    raise ValueError(
        f"Nothing is known to cite for {name!r}: no docstring of it has BibTeX. A Result can be cited, "
        f"and objects of these.{nearest_name(name.rpartition('.')[2], public())}"
    )


def _used(value: Any) -> Iterator[tuple[type, Mapping[str, Any]]]:
    """Class and settings of an object, a class, or an object's JSON; then of what is in these settings."""
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


def _name(thing: Any) -> str:
    if isinstance(thing, list) and thing:
        return _name(thing[0])
    if isinstance(thing, (str, Mapping)):
        return thing if isinstance(thing, str) else str(thing.get("class"))
    kind = thing if isinstance(thing, type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
