"""Policies: how to choose actions, from rewards alone."""

from ...schedules._export import export
from ._doubling import Doubling, Found
from ._elimination import PhasedElimination
from ._identify import PolynomialIdentification
from ._moments import Moments
from ._optimism import EluderUCB, LinearUCB
from ._policy import Policy
from ._power import NoisyPower
from ._printed import Known, PowerThenCommit
from ._rivals import BoTorch, Nevergrad
from ._slots import AlternatingSlots
from ._subspace import LowRankPower, SubspaceIteration
from ._thompson import LowRankThompson
from ._uniform import Uniform

__all__ = [
    "AlternatingSlots", "BoTorch", "Doubling", "EluderUCB", "Found", "Known", "LinearUCB", "LowRankPower",
    "LowRankThompson", "Moments", "Nevergrad", "NoisyPower", "PhasedElimination", "Policy",
    "PolynomialIdentification", "PowerThenCommit", "SubspaceIteration", "Uniform",
]  # fmt: skip

export(globals())
