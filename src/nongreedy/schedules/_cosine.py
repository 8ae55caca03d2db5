"""The schedule that a learned one is compared with."""

import math

import torch

from ._basis import Constant
from ._curve import Curve
from ._schedule import Schedule
from ._windows import Windows


def cosine_schedule(
    peak: float, momentum: float = 0.9, weight_decay: float = 5e-4, points: int = 1000
) -> Schedule:
    """The hand-tuned baseline: learning rate ``peak * (1 + cos(pi t / T)) / 2``, the rest constant.

    Its settings say that it is for SGD. For another optimizer give a peak of its own, and pass
    ``strict=False`` to :meth:`Schedule.attach`.

    Raises:
        ValueError: A negative peak or weight decay, a momentum outside [0, 1), or what is not finite.

    Example:
        >>> cosine_schedule(0.1).values(2)["learning_rate"][0].item() > 0.09
        True
    """
    given = Schedule.of(learning_rate=peak, momentum=momentum, weight_decay=weight_decay)
    time = torch.arange(points, dtype=torch.float64) / points
    rate = peak * (1 + torch.cos(math.pi * time)) / 2
    curves = {"learning_rate": Curve(Windows(points), rate)}
    for name in ("momentum", "weight_decay"):
        curves[name] = Curve(Constant(), given[name])
    return Schedule(curves, {"optimizer": "SGD"})
