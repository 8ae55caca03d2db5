"""Settings of engines: leaves, or their short names; counts, or None."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from ..errors import check_name, check_whole

L = TypeVar("L")


class Leaf(Generic[L]):
    """A field of a dataclass that holds a leaf, and takes the short name of one with its defaults, too.

    Args:
        default: The class of the leaf where nothing is given.
        kind: The contract that every leaf fulfils.
        names: Short name -> class.

    Raises:
        ValueError: Where the field is given neither a leaf nor a name.
    """

    def __init__(self, default: type[L], kind: type[L], names: Mapping[str, type[L]]):
        self._default, self._kind, self._names = default, kind, names

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, engine: object | None, owner: type | None = None) -> L:
        return self._default() if engine is None else engine.__dict__[self._name]

    def __set__(self, engine: object, value: L | str) -> None:
        if not isinstance(value, self._kind):
            check_name(self._name, value, self._names)
            value = self._names[str(value)]()
        engine.__dict__[self._name] = value


def check_counts(settings: object, *names: str) -> None:
    """Raise ValueError unless each of these settings is a whole number of at least 1, or None."""
    for name in names:
        if (value := getattr(settings, name)) is not None:
            check_whole(name, value, also=" or None")
