"""One step of the adjoint recursion, and the sums of what it says of hyperparameters."""

import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import DivergedError
from ..schedules import Schedule, TimeBasis
from ._explosion import swept_backwards
from ._linearized import Linearized
from ._readings import Readings, in_double
from ._run import Run


class AdjointSums:
    """Adjoints of hyperparameters, summed in float64: step by step, or in all for variables."""

    def __init__(self, schedule: Schedule, learn: Iterable[str], steps: int):
        self.steps, self.bases = steps, {name: schedule.curves[name].basis for name in learn}
        self.per_step, self.total = dict[str, Tensor](), dict[str, Tensor]()
        for name, basis in self.bases.items():
            over_time = isinstance(basis, TimeBasis)
            table, size = (self.per_step, steps) if over_time else (self.total, basis.size(steps))
            table[name] = torch.zeros(size, dtype=torch.float64)

    @property
    def tables(self) -> dict[str, Tensor]:
        """What was summed so far, as one flat table by name."""
        return {f"sum of {name}": table for name, table in (self.per_step | self.total).items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from such a table."""
        for name, table in (self.per_step | self.total).items():
            table.copy_(saved[f"sum of {name}"])

    def add(
        self, pulled: Mapping[str, Tensor], step: int, readings: Readings | None = None
    ) -> None:
        """Add the adjoints of a step's values; DivergedError where one is not finite, once it is read."""
        if pulled:
            judge = functools.partial(self._judge, list(pulled))
            (readings or Readings(at_once=True)).add(step, self.numbers(pulled), judge)

    def _judge(self, names: Sequence[str], step: int, numbers: Sequence[float]) -> None:
        self.note(names, numbers, step)

    def numbers(self, pulled: Mapping[str, Tensor]) -> list[Tensor]:
        """What `note` wants to know of each, shape (), where it is: nothing is read."""
        return [
            self._summed(name, value) if name in self.total else value.reshape(())
            for name, value in pulled.items()
        ]

    def _summed(self, name: str, value: Tensor) -> Tensor:
        """Add a variable's; zero, or NaN where one of them is not finite."""
        summand = in_double(value.detach().reshape(-1))
        self.total[name] = total = self.total[name].to(summand.device)
        total += summand
        return (value.detach() * 0).sum()

    def note(self, names: Sequence[str], numbers: Sequence[float], step: int) -> None:
        """The numbers of a step, read."""
        for name, number in zip(names, numbers, strict=True):
            if name in self.per_step:
                self.per_step[name][step] += number
            if not math.isfinite(number):
                swept = swept_backwards(step, self.steps)
                raise DivergedError(f"adjoint (of {name})", step, self.steps, swept=swept)

    def gradients(self) -> dict[str, Tensor]:
        """Of the coefficients."""
        projected = {n: self.bases[n].project(row, self.steps) for n, row in self.per_step.items()}
        summed = {name: table.cpu() for name, table in self.total.items()}
        return {name: (projected | summed)[name] for name in self.bases}


def pull_back(
    run: Run,
    state: Tensor,
    values: Mapping[str, Tensor],
    step: int,
    adjoint: Tensor,
    learn: Collection[str],
    loss: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of the adjoint recursion: (adjoint of s_t, adjoint of each learned value).

    Args:
        loss: The training loss that the run had there, where it is known.

    Raises:
        ReplayError: It is another one now.
    """
    point = run.linearize(state[0], step, values, learn)
    if loss is not None:
        run.check_replay(float(point.loss), loss, step, point.coarse)
    return pull_back_at(run, point, state, values, adjoint, learn)


def pull_back_at(
    run: Run,
    point: Linearized,
    state: Tensor,
    values: Mapping[str, Tensor],
    adjoint: Tensor,
    learn: Collection[str],
) -> tuple[Tensor, dict[str, Tensor]]:
    """The same where the gradient is at hand with its graph, which is used up."""
    settings = [name for name in learn if name not in run.task.learnable]
    on_state, on_gradient, on_values = run.optimizer.pull_back(
        state, point.gradient.detach(), values, adjoint, settings
    )
    curved, on_hypers = point.pull_back(on_gradient)
    on_state[0] += curved
    return on_state, {**on_values, **on_hypers}
