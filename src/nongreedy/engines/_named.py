"""Engines: how derivatives of whole runs are computed."""

from __future__ import annotations

from ..errors import nearest_name
from ._engine import Engine as Engine
from ._engine import Hypergradient as Hypergradient
from ._engine import Rollout as Rollout
from ._evograd import EvoGrad as EvoGrad
from ._finite_difference import FiniteDifference as FiniteDifference
from ._forward import Forward as Forward
from ._greedy import Greedy as Greedy
from ._implicit import Implicit as Implicit
from ._online import OnlineEngine as OnlineEngine
from ._random_directions import RandomDirections as RandomDirections
from ._reverse import Reverse as Reverse
from ._reversible import Reversible as Reversible
from ._sensitivity import Sensitivity as Sensitivity

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
