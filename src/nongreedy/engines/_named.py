"""Engines by name."""

from collections.abc import Mapping
from typing import Any

from ..errors import nearest_name
from ._copies import EXECUTIONS
from ._engine import Engine
from ._evograd import EvoGrad
from ._finite_difference import FiniteDifference
from ._forward import Forward
from ._greedy import Greedy
from ._implicit import Implicit
from ._linear_solver import SOLVERS
from ._perturbation import NOISES
from ._random_directions import RandomDirections
from ._reverse import Reverse
from ._reversible import Reversible
from ._store import STORES

_NAMED = {
    "forward": Forward,
    "reverse": Reverse,
    "reversible": Reversible,
    "finite_difference": FiniteDifference,
    "random_directions": RandomDirections,
    "greedy": Greedy,
    "evograd": EvoGrad,
    "implicit": Implicit,
}

# Those whose first setting is a leaf with a short name.
_BRANCHING = {"reverse": Reverse, "evograd": EvoGrad, "implicit": Implicit}
_TABLES: tuple[Mapping[str, type], ...] = (_NAMED, STORES, SOLVERS, NOISES, EXECUTIONS)
_KINDS = {kind.__name__: kind for table in _TABLES for kind in table.values()}


def engine_from(engine: str | Engine) -> Engine:
    """An engine, or the engine of a name such as ``"auto"``, ``"reverse:disk"``, ``"implicit:cg"``.

    ``"auto"`` is `Reverse`, which keeps its states where they fit: for callers that ask no planner.
    """
    if isinstance(engine, Engine):
        return engine
    if isinstance(engine, type) and issubclass(engine, Engine):
        raise TypeError(
            f"`engine` is the class {engine.__name__}; pass an instance: {engine.__name__}()."
        )
    name, _, leaf = str(engine).partition(":")
    if name == "auto" and not leaf:
        return Reverse()
    if leaf and name in _BRANCHING:
        return _BRANCHING[name](leaf)
    if name not in _NAMED or leaf:
        raise ValueError(f"Unknown engine {engine!r}." + nearest_name(name, [*_NAMED, "auto"]))
    return _NAMED[name]()


def engine_from_json(said: Mapping[str, Any]) -> Engine:
    """The engine of this library whose `to_json` said this.

    Raises:
        ValueError: A class that is not this library's: who made that engine has to give it.

    Example:
        >>> engine_from_json(Greedy(mu=0.5).to_json())
        Greedy(mu=0.5)
    """
    return _built(said)


def _built(value: Any) -> Any:
    if isinstance(value, Mapping):
        name = value["class"]
        if name not in _KINDS:
            raise ValueError(f"Unknown class {name!r} of an engine." + nearest_name(name, _KINDS))
        return _KINDS[name](**{key: _built(item) for key, item in value.items() if key != "class"})
    if isinstance(value, list):
        return tuple(map(_built, value))
    return float(value) if value in ("inf", "-inf", "nan") else value
