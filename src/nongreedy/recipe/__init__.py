"""Many hyperparameters at once: what a task and an optimizer may learn beside the schedule."""

from ..schedules._export import export
from ._augmentation import STRENGTHS, Augmentation
from ._extend import Extended, extend
from ._losses import cross_entropies
from ._parts import PARTS
from ._training import Training

__all__ = [
    "PARTS",
    "STRENGTHS",
    "Augmentation",
    "Extended",
    "Training",
    "cross_entropies",
    "extend",
]

export(globals())
