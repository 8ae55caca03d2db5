"""Training once, under hyperparameters that change as it goes: the short-sighted rival of `tune`."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..engines import Engine, OnlineEngine, Problem, Run, Sensitivity, engine_from
from ..engines._losses import Losses
from ..engines._run import at
from ..errors import DivergedError
from ..optimizers import Optimizer
from ..schedules import Constant, Curve, Hyperparameter, PerStep, Schedule, TimeBasis, identity
from ..search import Callback, Callbacks, OuterStep, Result, Status
from ..search._settings import versions
from ..search.rules._rule import sign_text
from ..task import Task
from ._online_values import MakeOptimizer, OnlineValues

_LISTED = 50  # entries of a variable that a row of the history has room for


def train_online(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    engine: str | OnlineEngine = "greedy",
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
            from `initial` and within `bounds`) and which are fixed (numbers). Likewise those of the
            task, where a :class:`Variable` of any size moves as a whole: by EvoGrad, or Greedy with
            mu = 0.
        epochs: Length of the run, or
        steps: its length in steps.
        engine: :class:`Greedy`, as in the formula, or :class:`EvoGrad`, which estimates the
            derivative for the hyperparameters of the training loss and data; their `every` and
            `batch` say when and on what to probe the validation loss.
        outer_learning_rate: beta, in units of the coordinate; one for all or name -> one.
        outer_optimizer: Moves the coordinates, given ``torch.optim`` parameter groups that have their
            ``lr``: ``torch.optim.SGD`` is the formula above.
        seed: Decides initialization, order, augmentation, dropout and the probes.
        dtype: Of the run.
        callbacks: Who watches; each probe is an outer step.

    Returns:
        A result whose `schedule` holds the values that were followed, step by step, and whose
        `history` has one row per probe. Its `validation_loss` is that of the network trained here; on
        the same seed a plain run of the schedule ends there, too, to the last bit for mu = 0 and
        EvoGrad and to rounding otherwise. Of a variable the schedule has the last values alone, which
        no earlier step had; rows leave out variables of more than 50 entries. `parameters` is the
        network itself, for ``module.load_state_dict(result.parameters, strict=False)``.

    Raises:
        ValueError: Bad settings; the message says which.
        DivergedError: A non-finite loss, tangent or derivative; the message names the step and the
            values that led there. Nothing of such a run is kept.

    Source: arXiv:1703.04782 (one step), arXiv:1703.01785 section 3.3 (real-time), arXiv:2106.10575
    (EvoGrad).

    Cannot: see beyond the probes: learning rates end too small (arXiv:1803.02021). The schedule suits
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
    online = _online(engine)
    problem = Problem.of(task, optimizer, epochs=epochs, steps=steps, dtype=dtype, engine=online)
    if task.initialize is not None and task.learnable:
        raise ValueError(
            "An online run cannot change its own initialization. Fix the hyperparameters of "
            "`initialize` there, or use `tune`."
        )
    present = OnlineValues(problem.learned, outer_learning_rate, outer_optimizer)
    run, watch = problem.run(seed), Callbacks(callbacks)
    curves = {n: _start(hyper) for n, hyper in problem.hyperparameters.items()}
    start, sensitivity = Schedule(curves), online.sensitivity(run, problem.learned)
    cost = online.sweep_cost(run, start, problem.learned)
    watch.on_run_start("online run", problem.steps)
    try:
        with run.isolated():
            theta, followed, history = _follow(
                run, online, sensitivity, present, start, cost, watch
            )
            ended = run.outer_loss(theta)
    except DivergedError as error:
        advice = (
            f"The online run was at {present}: lower `outer_learning_rate` ({outer_learning_rate}) "
            "or the upper bounds, or start lower."
        )
        raise DivergedError(error.quantity, error.step, problem.steps, advice) from error
    finally:
        watch.on_end()
    for name, last in present.now.items():
        curves[name] = (
            replace(curves[name], basis=PerStep(), coefficients=followed[name])
            if name in followed
            else replace(curves[name], coefficients=last.reshape(-1))
        )
    rate = outer_learning_rate
    settings = {
        **versions(),
        **problem.fingerprint(),
        "engine": identity(online),
        "verification": problem.verification.summary,
        "outer": f"online, {getattr(outer_optimizer, '__name__', repr(outer_optimizer))}",
        "outer_learning_rate": dict(rate) if isinstance(rate, Mapping) else rate,
        "seed": seed,
        "cost": round(cost, 3),
    }
    return Result(
        Schedule(curves, settings), ended.loss, ended.accuracy,
        history, Status.completed, cost, settings, runs=1,
        parameters=run.module.unflatten(theta.clone()), validation_metrics=ended.metrics,
    )  # fmt: skip


def _start(hyper: Hyperparameter) -> Curve:
    """One number, or a variable's."""
    if isinstance(hyper.basis, TimeBasis):
        return Curve(Constant(), hyper.initial[:1], hyper.owner)
    return Curve(hyper.basis, hyper.initial, hyper.owner)


def _online(engine: str | Engine) -> OnlineEngine:
    online = engine_from(engine)
    if not isinstance(online, OnlineEngine):
        raise ValueError(
            f"An online run follows an engine that probes on the way, but got {online!r}. Use "
            "engine=ng.Greedy(mu=...) or ng.EvoGrad(), or `tune` for hypergradients of whole runs."
        )
    return online


def _follow(
    run: Run,
    engine: OnlineEngine,
    sensitivity: Sensitivity,
    present: OnlineValues,
    start: Schedule,
    cost: float,
    watch: Callback,
) -> tuple[Tensor, dict[str, Tensor], list[OuterStep]]:
    """Train once; theta_T, shape (P,), what was followed over time (name -> shape (T,), float64), and
    one row of history for each probe."""
    over_time = [n for n in present.now if isinstance(start.curves[n].basis, TimeBasis)]
    followed = {name: torch.zeros(run.steps).double() for name in over_time}
    listed = [name for name, value in present.now.items() if value.numel() <= _LISTED]
    probes, fixed, losses = engine.probes(run), run.values(start), Losses(run)
    probes.readings = losses.readings
    when = "before" if engine.probes_before else "after"
    history, clock = list[OuterStep](), time.perf_counter()

    def hypers(t: int) -> dict[str, Tensor]:
        moving = {n: v.to(run.task.device, run.dtype) for n, v in present.now.items()}
        return {**at(fixed, t), **moving}

    def probe(state: Tensor, t: int) -> None:
        nonlocal clock
        if not probes.after(t):
            return
        outcome, gradients = sensitivity.probe(probes, state, hypers(t), t)
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        row = OuterStep(
            len(history), outcome.loss, outcome.accuracy,
            {name: present.now[name].reshape(-1).tolist() for name in listed},
            {name: sign_text(gradients[name].reshape(-1)) for name in listed},
            seconds, cost * ((t + 1) / run.steps), True, f"{when} step {t} of {run.steps}",
        )  # fmt: skip
        history.append(row)
        watch.on_outer_step(row)
        if engine.probes_before or t + 1 < run.steps:
            present.move(gradients)

    state = run.initial(hypers(0))
    with losses.first():
        for t in range(run.steps):
            if engine.probes_before:
                probe(state, t)
            for name in followed:
                followed[name][t] = present.now[name]
            before, now = state, hypers(t)
            state = sensitivity.advance(before, now, t)
            if sensitivity.loss is not None:
                losses.add(t, before, now, sensitivity.loss)
            if not engine.probes_before:
                probe(state, t)
            watch.on_inner_step(t, run.steps)
        losses.read()
    return run.optimizer.answer(state), followed, history
