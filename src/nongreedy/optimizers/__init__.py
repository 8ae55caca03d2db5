"""Inner optimizers as pure updates of the flat state, and their torch twins."""

from ..schedules._export import export
from ._adaptive import Adagrad, Adam, AdamW, RMSprop, safe_sqrt
from ._average import Average, ExponentialAverage, ScheduleFreeAverage, TailAverage
from ._factors import Scaled
from ._grouped import Grouped
from ._lion import Lion, TorchLion
from ._muon import Muon, TorchMuon
from ._nadam import NAdam
from ._optimizer import Layout, Optimizer
from ._optimizer_of import optimizer_of
from ._plain import PlainOptimizer
from ._schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from ._sgd import SGD
from ._torch_schedule_free import TorchScheduleFreeAdamW, TorchScheduleFreeSGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Average",
    "ExponentialAverage",
    "Grouped",
    "Layout",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "PlainOptimizer",
    "RMSprop",
    "Scaled",
    "ScheduleFreeAdamW",
    "ScheduleFreeAverage",
    "ScheduleFreeSGD",
    "TailAverage",
    "TorchLion",
    "TorchMuon",
    "TorchScheduleFreeAdamW",
    "TorchScheduleFreeSGD",
    "optimizer_of",
    "safe_sqrt",
]  # fmt: skip

export(globals())
