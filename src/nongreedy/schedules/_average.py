"""Running averages of weights: how much of what was, and of what is, enters at a step.

With N the weight of all that an average holds, a step keeps :math:`k_t` of it and adds the present with
weight :math:`w_t`; what is kept of the average itself is :math:`k_t N / (k_t N + w_t)`. An average that
holds nothing yet is the present.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ._settings import base

# (value, number of the step from 1, number of steps) -> (k, w), for one step or for all.
Weights = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def tail(share: Tensor, step: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Everything kept; the last ``share * steps`` steps weigh one, the first of them what is over.

    At a whole number of steps the slope is the mean of those on both sides, as that of a central
    difference is.
    """
    reach = share * steps - (steps - step)
    zero, one = torch.zeros_like(reach), torch.ones_like(reach)
    closed = torch.where(reach < 0, zero, torch.where(reach > 1, one, reach))
    opened = torch.where(reach <= 0, zero, torch.where(reach >= 1, one, reach))
    return one, (closed + opened) / 2


def exponential(decay: Tensor, step: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """A share of what was; the present weighs one."""
    return decay, torch.ones_like(decay)


INTERPOLATED = "average_interpolation"  # the average whose weights are squared learning rates

# Name of the setting -> its rule.
AVERAGES: dict[str, Weights] = {"average_share": tail, "average_decay": exponential}


def retained(held: Tensor, keep: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What is kept of an average after a step, in [0, 1], and N after it."""
    old = keep * held
    total = old + weight
    some = total > 0
    return torch.where(some, old / torch.where(some, total, 1.0), 0.0), total


def is_average(name: str) -> bool:
    """Whether an entry of a schedule averages weights, in all groups or in one."""
    return base(name)[0] in (*AVERAGES, INTERPOLATED)


def weights(name: str, values: list[float], first: int, steps: int) -> list[tuple[float, float]]:
    """(k, w) at steps `first`, `first` + 1, .. of a run, which have these values."""
    row = torch.tensor(values, dtype=torch.float64)
    step = torch.arange(first, first + len(values)).double()
    keep, weight = AVERAGES[base(name)[0]](row, step, torch.full_like(row, steps))
    return list(zip(keep.tolist(), weight.tolist(), strict=True))


def one_average(names: Iterable[str]) -> None:
    """Raise ValueError where a schedule holds averages of two kinds."""
    kinds = sorted({base(name)[0] for name in names if is_average(name)})
    if len(kinds) > 1:
        raise ValueError(
            f"The schedule has {' and '.join(kinds)}, but weights are averaged in one way. Leave one out."
        )
