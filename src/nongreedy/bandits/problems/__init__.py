"""Bandit problems whose best action is known, and the sets that actions come from."""

from ...schedules._export import export
from ._bandit import Bandit
from ._matrix import LowRankBandit, QuadraticBandit
from ._polynomial import PolynomialBandit
from ._sets import Ball, Box
from ._tensor import SymmetricTensorBandit, TensorBandit

__all__ = [
    "Ball", "Bandit", "Box", "LowRankBandit", "PolynomialBandit", "QuadraticBandit",
    "SymmetricTensorBandit", "TensorBandit",
]  # fmt: skip

export(globals())
