"""Plain training under a schedule, and training whose hyperparameters follow as it goes."""

from ..schedules._export import export
from ._online import train_online
from ._retrain import Retrained, retrain

__all__ = ["Retrained", "retrain", "train_online"]

export(globals())
