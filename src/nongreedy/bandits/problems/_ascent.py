"""The largest value of a smooth function on a ball, by ascents from many points."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...protocols import generator
from ...task._streams import PLANTED
from ._sets import Ball

Function = Callable[[Tensor], Tensor]


def ascend(
    mean: Function, gradient: Function, ball: Ball, starts: int = 64, steps: int = 2000
) -> tuple[float, Tensor]:
    """The best of projected ascents, each with a step that grows while it helps and halves where not.

    Args:
        mean: (n, d) -> (n,).
        gradient: (n, d) -> (n, d).
    """
    points = ball.sphere(starts, generator(0, PLANTED, 1))
    points[0] = 0
    values, sizes = mean(points), torch.ones(starts, 1, dtype=torch.float64)
    for _ in range(steps):
        moved = ball.project(points + sizes * gradient(points))
        reached = mean(moved)
        better = reached > values
        points = torch.where(better[:, None], moved, points)
        gained = torch.where(better, reached - values, 0).max()
        values = torch.where(better, reached, values)
        sizes = torch.where(better[:, None], sizes * 1.5, sizes / 2)
        if float(sizes.max()) < 1e-12 or (gained == 0 and float(sizes.max()) < 1e-9):
            break
    place = int(values.argmax())
    return float(values[place]), points[place]
