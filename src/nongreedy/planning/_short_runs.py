"""Short runs of an engine, timed and weighed: what its long ones are predicted from."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..engines import Outcome, Problem, Run, Runner
from ..schedules import Schedule, Windows
from ..task._total import Total
from ._peak import peak_memory

Body = Callable[[Run, Schedule, list[str]], object]  # what is measured, such as a hypergradient
_PATIENCE = 2.0  # seconds per engine, where a choice of lengths can keep to it
_TURNS = 9  # at most
_CHEAP = 8  # gradients per step: what costs no more is measured even where a step takes seconds


class TimedRun(Run):
    """A run that knows how often and for how long the validation loss was computed.

    It takes the same time in a run of any length, and often more than all steps of a short one.
    """

    def __init__(self, problem: Problem, steps: int, seed: int):
        super().__init__(problem.task, problem.optimizer, steps, seed, problem.dtype)
        self.validations, self.validation_seconds = 0, 0.0

    def outer_loss(self, parameters: Tensor, chosen: Tensor | None = None) -> Outcome:
        with self._timed():
            return super().outer_loss(parameters, chosen)

    def unread_outer_gradient(
        self, parameters: Tensor, chosen: Tensor | None = None
    ) -> tuple[Total, Tensor]:
        with self._timed():
            return super().unread_outer_gradient(parameters, chosen)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begin = _now(self.task.device)
        yield
        self.validations += 1
        self.validation_seconds += _now(self.task.device) - begin


@dataclass(frozen=True)
class Measured:
    """What a run of so many steps took."""

    steps: int
    seconds: float  # without validation
    validations: int
    validation_seconds: float
    bytes: int  # peak


Lengths = tuple[int, int]
Pair = tuple[Measured, Measured]  # a shorter run and a longer one


class ShortRuns:
    """Short runs of a problem along a schedule.

    Args:
        sample: Steps of the longer run of a pair; fewer where the whole run is shorter.

    Attributes:
        plain: Two plain runs.
        step: Seconds of a plain step.
    """

    def __init__(self, problem: Problem, schedule: Schedule, seed: int, sample: int):
        self.problem, self.schedule, self.seed = problem, schedule, seed
        self.learn = list(problem.learned)
        self.lengths = _lengths(min(max(sample, 2), problem.steps))
        self._runs: dict[int, TimedRun] = {}
        self._take(_plain, 1)  # loads and allocates
        self.step = self._take(_plain, 1).seconds
        self.plain = self._measure(_plain, self.lengths, sum(self.lengths))
        self.step = min(self.step, self.plain[1].seconds / self.lengths[1])

    def squeezed(self, steps: int) -> tuple[Run, Schedule, list[str]]:
        """A run of so many steps, the schedule squeezed into it, and what is learned."""
        if steps not in self._runs:
            self._runs[steps] = TimedRun(self.problem, steps, self.seed)
        curves = dict(self.schedule.curves)
        for name, curve in curves.items():
            if curve.basis.size(steps) != len(curve.coefficients):
                curves[name] = replace(curve, basis=Windows(len(curve.coefficients)))
        return self._runs[steps], Schedule(curves), self.learn

    def measured(self, body: Body, work: Callable[[int], float]) -> Pair | None:
        """Two runs, as short as patience asks for; None where even the shortest take too long.

        Args:
            work: Number of steps -> what a run of that length is worth, in plain steps.
        """
        allowed, lengths = _PATIENCE / max(self.step, 1e-9), self.lengths
        while lengths[1] > 2 and sum(map(work, lengths)) > allowed:
            lengths = _lengths(lengths[1] // 2)
        total = sum(map(work, lengths))
        too_long = total > max(allowed, _CHEAP * sum(lengths))
        return None if too_long else self._measure(body, lengths, total)

    def _measure(self, body: Body, lengths: Lengths, work: float) -> Pair:
        """Medians of a few turns, after one to warm up."""
        turns = min(max(int(_PATIENCE / (work * max(self.step, 1e-9))), 1), _TURNS)
        self._take(body, lengths[0])
        taken = [[self._take(body, steps) for steps in lengths] for _ in range(turns)]
        shorter, longer = zip(*taken, strict=True)
        return _middle(shorter), _middle(longer)

    def _take(self, body: Body, steps: int) -> Measured:
        arguments, device = self.squeezed(steps), self.problem.task.device
        run = self._runs[steps]
        run.validations, run.validation_seconds = 0, 0.0
        with run.isolated(), peak_memory(device) as peak:
            begin = _now(device)
            body(*arguments)
            spent = _now(device) - begin
        validating = run.validation_seconds
        return Measured(steps, spent - validating, run.validations, validating, peak.bytes)


def _now(device: torch.device) -> float:
    """Seconds of a clock, once all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _plain(run: Run, schedule: Schedule, learn: list[str]) -> None:
    del learn
    Runner().rollout(run, schedule)


def _lengths(longer: int) -> Lengths:
    return max(longer // 4, 1), longer


def _middle(taken: Sequence[Measured]) -> Measured:
    median = statistics.median
    return replace(
        taken[0],
        seconds=median(run.seconds for run in taken),
        validation_seconds=median(run.validation_seconds for run in taken),
        bytes=statistics.median_low(run.bytes for run in taken),
    )
