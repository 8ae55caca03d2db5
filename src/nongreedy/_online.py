"""Training once, under hyperparameters that change as it goes: the greedy rival of `tune`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ._basis import Constant, PerStep
from ._callback import Callback, Callbacks
from ._curve import Curve
from ._engine import Engine, Greedy, engine_from
from ._errors import DivergedError
from ._online_values import MakeOptimizer, OnlineValues
from ._optimizer import Optimizer
from ._outer import learned, sign_text
from ._result import OuterStep, Result, Status
from ._run import Outcome, Run, at
from ._schedule import Schedule
from ._task import Task


def train_online(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    engine: str | Greedy = "greedy",
    outer_learning_rate: float | Mapping[str, float] = 0.01,
    outer_optimizer: MakeOptimizer = torch.optim.SGD,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    callbacks: Iterable[Callback] = (),
) -> Result:
    r"""Train one network and change its hyperparameters on the way, by greedy hypergradients.

    .. math:: \phi(h_{t+1}) = \phi(h_t)
              - \beta\, \nabla L_\mathrm{val}(\theta_{t+1})\, Z_{t+1}\, \frac{dh}{d\phi}(h_t),
              \qquad Z_{t+1} = \mu A_t Z_t + B_t

    with :math:`\phi` each hyperparameter's own coordinate: decades for a learning rate, so that its
    steps are multiplicative, or the value itself with ``transform=None``. Hypergradient descent is
    mu = 0, real-time hyperparameter optimization mu = 1. Z is the derivative by one number that holds
    at all steps; the engine's `mu` forgets the steps at which it was another one.

    Args:
        task: Model, loss and data.
        optimizer: Which hyperparameters are learned (bases: one number each, whatever the basis,
            from `initial` and within `bounds`) and which are fixed (numbers).
        epochs: Length of the run, or
        steps: its length in steps.
        engine: :class:`Greedy`, whose `every` and `batch` say when and on what to look.
        outer_learning_rate: beta, in units of the coordinate; one for all or name -> one.
        outer_optimizer: Moves the coordinates, given ``torch.optim`` parameter groups that have their
            ``lr``: ``torch.optim.SGD`` is the formula above.
        seed: Decides initialization, order, augmentation, dropout and the looks.
        dtype: Of the run.
        callbacks: Who watches; each look is an outer step.

    Returns:
        A result whose `schedule` holds the values that were followed, step by step, and whose
        `history` has one row per look. Its `validation_loss` is that of the network trained here; on
        the same seed a plain run of the schedule ends there, too, to the last bit for mu = 0 and to
        rounding otherwise.

    Raises:
        ValueError: Bad settings; the message says which.
        DivergedError: A non-finite loss, tangent or derivative; the message names the step and the
            values that led there. Nothing of such a run is kept.

    Source: arXiv:1703.04782 (one step), arXiv:1703.01785 section 3.3 (real-time).

    Cannot: see beyond the looks: learning rates end too small (arXiv:1803.02021). The schedule suits
    this seed's run; `retrain` says what it is worth on others.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> result = ng.train_online(task, ng.SGD(), steps=20, outer_learning_rate=10.0)
        >>> result.schedule["learning_rate"].shape
        torch.Size([20])
    """
    total, greedy = task.steps_for(epochs, steps), _greedy(engine)
    hyperparameters = {**optimizer.hyperparameters(total), **task.hyperparameters(total)}
    moving = learned(hyperparameters)
    if not moving:
        raise ValueError(
            f"Nothing to learn: every setting of {optimizer} is a fixed number. Give one of them a "
            "basis, such as learning_rate=ng.Constant()."
        )
    if task.initialize is not None and task.learnable:
        raise ValueError(
            "An online run cannot change its own initialization. Fix the hyperparameters of "
            "`initialize` there, or use `tune`."
        )
    present = OnlineValues(moving, outer_learning_rate, outer_optimizer)
    run, watch = Run(task, optimizer, total, seed, dtype), Callbacks(callbacks)
    curves = {n: Curve(Constant(), h.initial[:1], h.owner) for n, h in hyperparameters.items()}
    cost = greedy.sweep_cost(run, Schedule(curves), moving)
    log = _Log(watch, cost, total)
    watch.on_run_start("online run", total)
    try:
        with run.isolated():
            ended, followed = _follow(run, greedy, present, Schedule(curves), log)
    except DivergedError as error:
        advice = (
            f"The online run was at {present}: lower `outer_learning_rate` ({outer_learning_rate}) "
            "or the upper bounds, or start lower."
        )
        raise DivergedError(error.quantity, error.step, total, advice) from error
    for name, values in followed.items():
        curves[name] = replace(curves[name], basis=PerStep(), coefficients=values)
    settings = _settings(run, greedy, outer_learning_rate, outer_optimizer, cost)
    return Result(
        Schedule(curves, settings), ended.loss, ended.accuracy,
        log.rows, Status.completed, cost, settings,
    )  # fmt: skip


class _Log:
    """One row of the history per look."""

    def __init__(self, watch: Callback, cost: float, steps: int):
        self.watch, self._cost, self._steps = watch, cost, steps
        self.rows: list[OuterStep] = []
        self._clock = time.perf_counter()

    def add(
        self, t: int, outcome: Outcome, now: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> None:
        """What was seen after step t, and the values that led there."""
        seconds, self._clock = time.perf_counter() - self._clock, time.perf_counter()
        row = OuterStep(
            len(self.rows), outcome.loss, outcome.accuracy,
            {name: [value.item()] for name, value in now.items()},
            {name: sign_text(gradient.reshape(1)) for name, gradient in gradients.items()},
            seconds, self._cost * (t + 1) / self._steps, True, f"after step {t} of {self._steps}",
        )  # fmt: skip
        self.rows.append(row)
        self.watch.on_outer_step(row)


def _follow(
    run: Run, greedy: Greedy, present: OnlineValues, start: Schedule, log: _Log
) -> tuple[Outcome, dict[str, Tensor]]:
    """Train once; the outcome, and the values that were followed: name -> shape (T,), float64."""
    followed = {name: torch.zeros(run.steps).double() for name in present.now}
    looks, sensitivity = greedy.looks(run), greedy.sensitivity(run, present.now)
    values = run.values(start)
    state = run.initial(at(values, 0))
    for t in range(run.steps):
        for name, value in present.now.items():
            followed[name][t] = values[name][t] = value
        state = sensitivity.advance(state, at(values, t), t)
        if looks.after(t):
            outcome, gradient = looks.gradient(state[0], t)
            found = sensitivity.read(gradient)
            log.add(t, outcome, present.now, found)
            if t + 1 < run.steps:
                present.move(found)
        log.watch.on_inner_step(t, run.steps)
    return run.outer_loss(state[0]), followed


def _greedy(engine: str | Engine) -> Greedy:
    found = engine_from(engine)
    if not isinstance(found, Greedy):
        raise ValueError(
            f"An online run follows a Greedy engine, but got {found!r}. Use engine=ng.Greedy(mu=...), "
            "or `tune` for hypergradients of whole runs."
        )
    return found


def _settings(
    run: Run, greedy: Greedy, rate: float | Mapping[str, float], make: MakeOptimizer, cost: float
) -> dict[str, Any]:
    """What a repetition needs, in plain JSON values."""
    from . import __version__

    return {
        "nongreedy": __version__,
        "torch": str(torch.__version__),
        "optimizer": repr(run.optimizer),
        "engine": repr(greedy),
        "outer": f"online, {getattr(make, '__name__', repr(make))}",
        "outer_learning_rate": dict(rate) if isinstance(rate, Mapping) else rate,
        "steps": run.steps,
        "batch_size": run.task.batch_size,
        "training_examples": run.task.train.count,
        "validation_examples": run.task.validation.count,
        "seed": run.seed,
        "dtype": str(run.dtype),
        "device": str(run.task.device),
        "cost": round(cost, 3),
    }
