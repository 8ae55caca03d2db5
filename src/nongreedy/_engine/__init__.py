"""Engines: how derivatives of whole runs are computed."""

from __future__ import annotations

from .._errors import nearest_name
from .base import Engine as Engine
from .base import Hypergradient as Hypergradient
from .base import Rollout as Rollout
from .evograd import EvoGrad as EvoGrad
from .finite_difference import FiniteDifference as FiniteDifference
from .forward import Forward as Forward
from .greedy import Greedy as Greedy
from .implicit import Implicit as Implicit
from .online import OnlineEngine as OnlineEngine
from .random_directions import RandomDirections as RandomDirections
from .reverse import Reverse as Reverse
from .reversible import Reversible as Reversible
from .sensitivity import Sensitivity as Sensitivity

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
