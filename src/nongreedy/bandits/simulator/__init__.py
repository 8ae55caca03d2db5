"""Reinforcement learning with a simulator: quadratic action values, step by step as bandits."""

from ...schedules._export import export
from ._iteration import Iterated, Lifted, LowRank, Regression, value_iteration
from ._process import QuadraticProcess

__all__ = ["Iterated", "Lifted", "LowRank", "QuadraticProcess", "Regression", "value_iteration"]

export(globals())
