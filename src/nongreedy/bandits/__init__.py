"""Bandits whose reward is a low-rank quadratic or a polynomial of the action: problems, policies, play."""

from ..schedules._export import export
from . import zeroth as zeroth
from ._batch import Batch
from ._kept import PlayerError
from ._play import Played, play
from ._player import Player, UnknownActionError, WaitingError
from ._rates import Slope, slope
from ._study import Course, race
from .policies import AlternatingSlots as AlternatingSlots
from .policies import BoTorch as BoTorch
from .policies import Doubling as Doubling
from .policies import EluderUCB as EluderUCB
from .policies import Found as Found
from .policies import Known as Known
from .policies import LinearUCB as LinearUCB
from .policies import LowRankPower as LowRankPower
from .policies import LowRankThompson as LowRankThompson
from .policies import Moments as Moments
from .policies import Nevergrad as Nevergrad
from .policies import NoisyPower as NoisyPower
from .policies import PhasedElimination as PhasedElimination
from .policies import Policy as Policy
from .policies import PolynomialIdentification as PolynomialIdentification
from .policies import PowerThenCommit as PowerThenCommit
from .policies import SubspaceIteration as SubspaceIteration
from .policies import Uniform as Uniform
from .problems import Ball as Ball
from .problems import Bandit as Bandit
from .problems import Box as Box
from .problems import LowRankBandit as LowRankBandit
from .problems import PolynomialBandit as PolynomialBandit
from .problems import QuadraticBandit as QuadraticBandit
from .problems import SymmetricTensorBandit as SymmetricTensorBandit
from .problems import TensorBandit as TensorBandit

__all__ = [
    "Batch", "Course", "Played", "Player", "PlayerError", "Slope", "UnknownActionError", "WaitingError",
    "play", "race", "slope",
]  # fmt: skip

export(globals())
