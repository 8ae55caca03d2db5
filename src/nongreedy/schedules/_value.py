"""Values: objects that are what they hold. They compare, hash and say who they are by it."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cached_property, partial
from types import FunctionType, MethodType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

_BRIEF = 8  # entries that a line has room for
_LISTED = 32  # entries of a tensor; of more, a digest says which they are


class Value:
    """What is equal where its contents are equal, hashes likewise, and says them in plain JSON.

    Bases, curves, schedules, optimizers are values. Subclasses are frozen dataclasses; of a plain
    subclass the public attributes count, too. Fields with ``compare=False`` never do.

    Tensors are compared by shape, dtype and bits, wherever they lie: NaN equals a NaN of the same
    bits, and -0.0 differs from 0.0. Numbers are compared as Python does, except that NaN equals NaN.
    A list equals a tuple, and a mapping another one in any order.

    Raises:
        TypeError: By `to_json` and `hash`, of something that has no JSON or no hash.

    Cannot: compare with another class, not even with a subclass.

    Example:
        >>> import torch, nongreedy as ng
        >>> one, other = (ng.SGD(ng.Windows(2, initial=torch.ones(2))) for _ in range(2))
        >>> one == other, len({one, other}), one.to_json()["momentum"]
        (True, 1, 0.0)
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        # A dataclass writes methods of its own, which cannot compare tensors, unless it has them.
        for name in ("__eq__", "__hash__", "__repr__"):
            if name not in cls.__dict__:
                setattr(cls, name, getattr(cls, name))

    def content(self) -> Mapping[str, Any]:
        """Name -> what makes this value the one it is."""
        return _settings(self)

    def to_json(self) -> dict[str, Any]:
        """The class by its name, and the content: equal in every process, without addresses."""
        return _named(self, self.content(), type(self).__name__)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Value) or type(self) is not type(other):
            return NotImplemented
        return _comparable(self.content()) == _comparable(other.content())

    def __hash__(self) -> int:
        return hash((type(self), _comparable(self.content())))

    def __repr__(self) -> str:
        """As it is written: settings that have their usual values are left out."""
        return f"{type(self).__name__}({', '.join(_changed(self))})"


def identity(value: Any, place: str = "") -> Any:
    """What a value is, in plain JSON: equal in every process for equal values.

    Numbers, words, lists, mappings, tensors, :class:`Value`; of any other object what its own
    `to_json` says, else the name of its class and its public attributes, which are taken for its
    settings: keep under a name with an underscore what is computed. Infinity and NaN become words.

    Args:
        place: What it is called in an error.

    Raises:
        TypeError: Something that JSON cannot say, by the name of its attribute.

    Example:
        >>> import torch
        >>> class Damped:
        ...     def __init__(self): self.strength, self.rows = 0.5, torch.arange(2)
        >>> identity(Damped())["rows"]
        {'dtype': 'int64', 'values': [0, 1]}
    """
    if isinstance(value, numpy.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, (Tensor, numpy.ndarray)):
        return _array(torch.as_tensor(value))
    if isinstance(value, Mapping):
        return {str(key): identity(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, (torch.dtype, torch.device, Enum)):
        return str(value)
    if isinstance(value, (type, FunctionType)):
        return _global_name(value, place)
    place = place or type(value).__name__
    if hasattr(value, "to_json"):
        return identity(value.to_json(), place)
    # What these hold is in no public attribute.
    if not hasattr(value, "__dict__") or isinstance(value, (partial, MethodType, nn.Module)):
        raise _speechless(value, place)
    return _named(value, _settings(value), place)


def spelled(said: Any) -> str:
    """What :func:`identity` said, as a line for people.

    Example:
        >>> spelled({"class": "Greedy", "mu": 0.5, "every": None})
        'Greedy(mu=0.5, every=None)'
    """
    return said if isinstance(said, str) else _spelled(said)


def _spelled(said: Any) -> str:
    if isinstance(said, Mapping) and "class" in said:
        rest = (f"{name}={_spelled(x)}" for name, x in said.items() if name != "class")
        return f"{said['class'].rpartition('.')[2]}({', '.join(rest)})"
    if isinstance(said, Mapping):
        return f"{{{', '.join(f'{name!r}: {_spelled(x)}' for name, x in said.items())}}}"
    return f"[{', '.join(map(_spelled, said))}]" if isinstance(said, list) else repr(said)


def _settings(value: object) -> dict[str, Any]:
    """The compared fields of a dataclass; of a class that is none itself, all public attributes."""
    kind, attributes = type(value), dict[str, Any]()
    rows = {row.name: row for row in fields(value)} if is_dataclass(value) else {}
    if "__dataclass_fields__" not in kind.__dict__:
        attributes = {
            name: item
            for name, item in vars(value).items()
            if not (name.startswith("_") or name in rows)
            and not isinstance(getattr(kind, name, None), cached_property)
        }
    return {name: getattr(value, name) for name, row in rows.items() if row.compare} | attributes


def _changed(value: object) -> Iterator[str]:
    """Settings that differ from the usual; a number that is the first of them needs no name."""
    rows = sorted(fields(value) if is_dataclass(value) else (), key=lambda row: bool(row.kw_only))
    first = rows[0].name if rows and not rows[0].kw_only else None
    for row in rows:
        if not (row.repr and row.init):
            continue
        usual = row.default if row.default_factory is MISSING else row.default_factory()
        given = getattr(value, row.name)
        bare = row.name == first and isinstance(given, (int, str))
        if bare or usual is MISSING or _comparable(given) != _comparable(usual):
            yield brief(given) if bare else f"{row.name}={brief(given)}"


def brief(value: object) -> str:
    """What a setting is, in a few words where it has many numbers."""
    many = isinstance(value, (Tensor, numpy.ndarray, list, tuple))
    if isinstance(value, (Tensor, numpy.ndarray)):
        flat = torch.as_tensor(value)
        if flat.numel() > _BRIEF:
            return f"<values of shape {tuple(flat.shape)}>"
        value = flat.tolist()
    if many and isinstance(value, (list, tuple)) and len(value) > _BRIEF:
        return f"<{len(value)} values>"
    return repr(value)


def _named(value: object, content: Mapping[str, Any], place: str) -> dict[str, Any]:
    # No field is called "class". A class of this library may move from leaf to leaf.
    kind = type(value)
    ours = kind.__module__.split(".")[0] == __name__.split(".")[0]
    name = kind.__qualname__ if ours else f"{kind.__module__}.{kind.__qualname__}"
    said = {name: identity(item, f"{place}.{name}") for name, item in content.items()}
    return {"class": name, **said}


def _array(tensor: Tensor) -> dict[str, Any]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.numel() <= _LISTED and not tensor.is_complex():
        return {"dtype": dtype, "values": identity(tensor.tolist())}
    digest = hashlib.sha256(_bits(tensor)).hexdigest()
    return {"dtype": dtype, "shape": list(tensor.shape), "sha256": digest}


def _global_name(value: Any, place: str) -> str:
    if "<" in value.__qualname__:  # of a lambda, or from inside a function: one name for many
        raise _speechless(value, place)
    return f"{value.__module__}.{value.__qualname__}"


def _speechless(value: Any, place: str) -> TypeError:
    return TypeError(
        f"{place or 'It'} is {value!r}, which JSON cannot say, so that no study could tell it from "
        "another one. Define `to_json(self)` on the class that has it, returning what it is in "
        "numbers and words; or keep it under a name that begins with an underscore."
    )


def _comparable(value: Any) -> Any:
    """What `==` and `hash` of Python treat as :class:`Value` says."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype, _bits(value)
    if isinstance(value, numpy.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, Mapping):
        return tuple((key, _comparable(value[key])) for key in sorted(value, key=repr))
    if isinstance(value, (list, tuple)):
        return tuple(_comparable(item) for item in value)
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _bits(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
