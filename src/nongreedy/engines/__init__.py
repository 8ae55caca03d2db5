"""Engines: a run, and how its derivatives are chained."""

from ..schedules._export import export
from ._adjoint import AdjointSums, pull_back
from ._copies import Execution, Streaming, Together, Vectorized
from ._engine import Engine, Hypergradient
from ._evograd import EvoGrad
from ._examination import Check
from ._finite_difference import FiniteDifference
from ._forward import Forward
from ._greedy import Greedy
from ._implicit import Implicit
from ._linear_solver import ConjugateGradients, LinearSolver, Neumann, Nystrom
from ._linearized import Linearized
from ._named import engine_from, engine_from_json
from ._online import OnlineEngine
from ._perturbation import Drawn, Gaussian, Noise, Opposite, Perturbations, Rademacher
from ._probes import Probes
from ._problem import Problem
from ._progress import Progress, progress_of
from ._random_directions import RandomDirections
from ._reverse import Reverse
from ._reversible import Reversible
from ._run import Outcome, Run
from ._runner import Rollout, Runner
from ._sensitivity import Sensitivity
from ._store import Auto, Checkpoints, Device, Disk, Graphs, Host, Store
from ._trajectory import Trajectory
from ._verification import Verification

__all__ = [
    "AdjointSums", "Auto", "Check", "Checkpoints", "ConjugateGradients", "Device", "Disk", "Drawn", "Engine",
    "EvoGrad", "Execution", "FiniteDifference", "Forward", "Gaussian", "Graphs", "Greedy", "Host",
    "Hypergradient", "Implicit", "LinearSolver", "Linearized", "Neumann", "Noise", "Nystrom",
    "OnlineEngine", "Opposite", "Outcome", "Perturbations", "Probes", "Problem", "Progress",
    "Rademacher", "RandomDirections", "Reverse", "Reversible", "Rollout", "Run", "Runner",
    "Sensitivity", "Store", "Streaming", "Together", "Trajectory", "Vectorized", "Verification",
    "engine_from", "engine_from_json", "progress_of", "pull_back",
]  # fmt: skip

export(globals())
