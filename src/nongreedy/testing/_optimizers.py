"""Optimizers with everything learned that they can learn, at values where all of it matters."""

import inspect
from typing import Any

from .. import optimizers
from ..optimizers import (
    SGD,
    AdamW,
    ExponentialAverage,
    Grouped,
    Lion,
    Optimizer,
    Scaled,
    ScheduleFreeAdamW,
    ScheduleFreeAverage,
    ScheduleFreeSGD,
    TailAverage,
)
from ..schedules import Basis, Constant, Default, Linear, Windows

# Name of a hyperparameter -> the basis on which an optimizer of the table learns it.
_LEARNED: dict[str, Basis] = {
    "learning_rate": Windows(3, initial=(0.05, 0.1, 0.08)),
    "adam_learning_rate": Constant(initial=0.2),
    "momentum": Windows(2, initial=(0.5, 0.3)),
    "beta1": Windows(2, initial=(0.8, 0.6)),
    "beta2": Linear(2, initial=(0.95, 0.9)),
    "smoothing": Windows(2, initial=(0.9, 0.7)),
    "epsilon": Constant(initial=0.03),
    "weight_decay": Windows(4, initial=(0.01, 0.02, 0.005, 0.03)),
}


def learning(kind: type[Optimizer], **settings: Any) -> Optimizer:
    """An optimizer that learns all that it can: what the table does not know, as a constant."""
    rows = kind.learnable.items()
    return kind(
        **{**{name: _LEARNED.get(name) or _constant(row) for name, row in rows}, **settings}
    )


def _constant(row: Default) -> Constant:
    # Next to nothing, as some defaults are, differences would be judged by the last digits of the loss.
    return Constant(initial=min(max(row.initial, 0.1), row.bounds[1]))


# All that the room of optimizers has, each with one row here at least.
_KINDS: list[type[Optimizer]] = [
    kind
    for kind in (getattr(optimizers, name) for name in optimizers.__all__)
    if isinstance(kind, type) and issubclass(kind, Optimizer) and not inspect.isabstract(kind)
]

# Name -> optimizer. The rows of the table.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": learning(SGD, learning_rate=Windows(3, initial=(0.3, 0.4, 0.2))),
    "nesterov": learning(SGD, nesterov=True),
    # By norm: of the many kinks of clipped coordinates, differences would step across some.
    "dampened_clipped": learning(SGD, dampening=0.4, clip_norm=0.6),
    **{k.__name__.lower(): learning(k) for k in _KINDS if k not in (SGD, Grouped, Scaled)},
    "grouped": Grouped(
        learning(AdamW),
        {
            "vectors": {
                "learning_rate": Linear(2, initial=(0.02, 0.06)),
                "weight_decay": Constant(initial=0.003),
            }
        },
    ),
    "schedulefreesgd": learning(ScheduleFreeSGD, learning_rate=Windows(3, initial=(0.3, 1.0, 0.7))),
    # Its betas act through what rates and decays have done twice.
    "schedulefreeadamw": learning(
        ScheduleFreeAdamW,
        learning_rate=Windows(3, initial=(0.1, 0.2, 0.15)),
        weight_decay=Windows(4, initial=(0.1, 0.2, 0.05, 0.3)),
    ),
    # A share that ends between two of five steps: at a step it has a kink.
    "tail_average": learning(
        SGD,
        learning_rate=Windows(3, initial=(0.3, 0.4, 0.2)),
        average=TailAverage(Constant(initial=0.5)),
    ),
    "schedule_free_average": learning(
        SGD,
        learning_rate=Windows(3, initial=(0.3, 1.0, 0.7)),
        average=ScheduleFreeAverage(Windows(2, initial=(0.8, 0.6))),
    ),
    "exponential_average": learning(
        AdamW, average=ExponentialAverage(Windows(2, initial=(0.5, 0.7)))
    ),
    "scaled": Scaled(
        learning(SGD, learning_rate=Windows(3, initial=(0.3, 0.4, 0.2))),
        {
            "vectors": {
                "learning_rate": Constant(initial=0.7),
                "weight_decay": Linear(2, initial=(0.5, 2.0)),
            }
        },
    ),
    # Betas at which no coordinate of the table's runs is close to changing its sign.
    "lion": learning(Lion, beta1=Windows(2, initial=(0.7, 0.5))),
}
