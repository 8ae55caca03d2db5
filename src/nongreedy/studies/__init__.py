"""What survives a kill: answers and trials in Optuna's storage, states in files."""

from ..schedules._export import export
from ._study import Study, remembering

__all__ = ["Study", "remembering"]

export(globals())
