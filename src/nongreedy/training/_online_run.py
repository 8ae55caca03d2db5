"""The run that `train_online` follows: its steps, its probes, and one row of history for each."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from ..engines import OnlineEngine, Outcome, Run, Sensitivity
from ..engines._run import at
from ..schedules import Schedule, TimeBasis
from ..search import Callback, OuterStep
from ..search.rules._rule import sign_text
from ._online_values import OnlineValues

_LISTED = 50  # entries of a variable that a row of the history has room for


class Log:
    """One row of the history per probe."""

    def __init__(self, watch: Callback, cost: float, steps: int):
        self.watch, self._cost, self._steps = watch, cost, steps
        self.rows: list[OuterStep] = []
        self._clock = time.perf_counter()

    def add(
        self,
        note: str,
        part: float,
        outcome: Outcome,
        now: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
    ) -> None:
        """What was seen when this part of the run was done, and the values that led there."""
        seconds, self._clock = time.perf_counter() - self._clock, time.perf_counter()
        shown = [name for name, value in now.items() if value.numel() <= _LISTED]
        row = OuterStep(
            len(self.rows), outcome.loss, outcome.accuracy,
            {name: now[name].reshape(-1).tolist() for name in shown},
            {name: sign_text(gradients[name].reshape(-1)) for name in shown},
            seconds, self._cost * part, True, note,
        )  # fmt: skip
        self.rows.append(row)
        self.watch.on_outer_step(row)


def follow(
    run: Run,
    engine: OnlineEngine,
    sensitivity: Sensitivity,
    present: OnlineValues,
    start: Schedule,
    log: Log,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Train once; theta_T, shape (P,), and what was followed over time: name -> shape (T,), float64."""
    over_time = [n for n in present.now if isinstance(start.curves[n].basis, TimeBasis)]
    followed = {name: torch.zeros(run.steps).double() for name in over_time}
    probes, fixed = engine.probes(run), run.values(start)
    when = "before" if engine.probes_before else "after"

    def now(t: int) -> dict[str, Tensor]:
        moving = {n: v.to(run.task.device, run.dtype) for n, v in present.now.items()}
        return {**at(fixed, t), **moving}

    def probe(state: Tensor, t: int) -> None:
        if not probes.after(t):
            return
        outcome, gradients = sensitivity.probe(probes, state, now(t), t)
        part = (t + 1) / run.steps
        log.add(f"{when} step {t} of {run.steps}", part, outcome, present.now, gradients)
        if engine.probes_before or t + 1 < run.steps:
            present.move(gradients)

    state = run.initial(now(0))
    for t in range(run.steps):
        if engine.probes_before:
            probe(state, t)
        for name in followed:
            followed[name][t] = present.now[name]
        state = sensitivity.advance(state, now(t), t)
        if not engine.probes_before:
            probe(state, t)
        log.watch.on_inner_step(t, run.steps)
    return state[0], followed
