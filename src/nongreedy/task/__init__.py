"""A task: model, losses, data and augmentation, as pure functions of a flat vector."""

from ..schedules._export import export
from ._data_plan import DataPlan
from ._examples import Examples
from ._hypers import Hypers
from ._module import FlatModule
from ._task import Task

__all__ = ["DataPlan", "Examples", "FlatModule", "Hypers", "Task"]

export(globals())
