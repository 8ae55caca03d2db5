"""Schedules: bases times coefficients, what is learned of them, their file and their torch scheduler."""

from ._basis import Basis, Constant, Linear, TimeBasis
from ._cosine import cosine_schedule
from ._curve import Curve
from ._export import export
from ._gradient_free import GradientFree
from ._hyperparameter import Default, Hyperparameter
from ._schedule import Schedule
from ._scheduler import ScheduleLR
from ._settings import Setting
from ._value import Value, identity, spelled
from ._variable import Variable
from ._windows import PerStep, Windows

__all__ = [
    "Basis", "Constant", "Curve", "Default", "GradientFree", "Hyperparameter", "Linear", "PerStep",
    "Schedule", "ScheduleLR", "Setting", "TimeBasis", "Value", "Variable", "Windows", "cosine_schedule",
    "identity", "spelled",
]  # fmt: skip

export(globals())
