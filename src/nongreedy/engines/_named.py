"""Engines by name."""

from __future__ import annotations

from ..errors import nearest_name
from ._engine import Engine
from ._evograd import EvoGrad
from ._finite_difference import FiniteDifference
from ._forward import Forward
from ._greedy import Greedy
from ._implicit import Implicit
from ._random_directions import RandomDirections
from ._reverse import Reverse
from ._reversible import Reversible

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


def engine_from(engine: str | Engine) -> Engine:
    """An engine, or the engine of a name such as ``"auto"``, ``"forward"``, ``"reverse:disk"``.

    ``"auto"`` is `Reverse`, which keeps its states where they fit: for callers that ask no planner.
    """
    if isinstance(engine, Engine):
        return engine
    name, _, store = str(engine).partition(":")
    if name == "auto" and not store:
        return Reverse()
    if name == "reverse" and store:
        return Reverse(store)
    if name not in _NAMED or store:
        raise ValueError(f"Unknown engine {engine!r}." + nearest_name(name, [*_NAMED, "auto"]))
    return _NAMED[name]()
