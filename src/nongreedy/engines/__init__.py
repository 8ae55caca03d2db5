"""Engines: a run, and how its derivatives are chained."""

from ..schedules._export import export
from ._engine import Engine, Hypergradient
from ._evograd import EvoGrad
from ._finite_difference import FiniteDifference
from ._forward import Forward
from ._greedy import Greedy
from ._implicit import Implicit
from ._linearized import Linearized
from ._named import engine_from, engine_from_json
from ._online import OnlineEngine
from ._problem import Problem
from ._random_directions import RandomDirections
from ._reverse import Reverse
from ._reversible import Reversible
from ._run import Outcome, Run
from ._runner import Rollout, Runner
from ._sensitivity import Sensitivity
from ._trajectory import Trajectory

__all__ = [
    "Engine",
    "EvoGrad",
    "FiniteDifference",
    "Forward",
    "Greedy",
    "Hypergradient",
    "Implicit",
    "Linearized",
    "OnlineEngine",
    "Outcome",
    "Problem",
    "RandomDirections",
    "Reverse",
    "Reversible",
    "Rollout",
    "Run",
    "Runner",
    "Sensitivity",
    "Trajectory",
    "engine_from",
    "engine_from_json",
]

export(globals())
