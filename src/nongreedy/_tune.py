"""The outer loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from .engines import Engine, Run
from .errors import DivergedError, check_whole
from .optimizers import Optimizer
from .planning import Choice, settle
from .planning._choice import recognized
from .schedules import Hyperparameter, Schedule
from .search import (
    BudgetSpentError,
    Callback,
    Callbacks,
    Memory,
    Objective,
    OuterStep,
    Result,
    Status,
)
from .search._finalists import select
from .search._settings import settings_of
from .search.rules import OuterRule, Report, outer_from
from .studies import Study
from .task import Task


def tune(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    outer_steps: int = 10,
    engine: str | Engine = "auto",
    outer: str | OuterRule = "auto",
    seeds: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    study: str | os.PathLike[str] | Study | Memory | None = None,
    dtype: torch.dtype = torch.float32,
    callbacks: Iterable[Callback] = (),
) -> Result:
    r"""Find the schedule of a whole training run that minimizes the final validation loss.

    .. math:: \min_c \; L_\mathrm{val}(\theta_T(c)), \qquad h_t = (B c)_t

    Args:
        task: Model, loss and data.
        optimizer: Which hyperparameters are learned (bases) and which are fixed (numbers).
        epochs: Length of one training run, or
        steps: its length in steps.
        outer_steps: Most improvements to make.
        engine: How hypergradients are computed: an engine or its name. ``"auto"`` is the planner's
            choice (:class:`Plan`), by the memory that is free now: mostly `Reverse`, whose result does
            not depend on where it keeps its states. Callbacks and `settings` of the result name it.
        outer: How they are used: ``"auto"`` (:class:`AgreementSearch`), ``"paper"``
            (:class:`SignDescent`) or a rule.
        seeds: Runs per hypergradient; None is the rule's own number.
        seed: Decides everything: the same seed on the same machine gives the same result.
        budget: Most plain training runs' worth of gradients to spend, the final comparison
            included; None is no limit.
        study: Where the search is kept: a :class:`Study`, the path of an SQLite file or the URL of a
            database. A search of the same settings that was begun there goes on, to the same bits;
            a finished one is told again. None keeps nothing. (A comparison
            gives a memory of its own, ``nongreedy.search.Memory``.)
        dtype: Of the training runs.
        callbacks: Who watches.

    Returns:
        The best evaluated schedule, judged on validation data only, with the history. An
        interruption by the keyboard returns what was found so far.

    Raises:
        ValueError: Bad settings; the message says which.
        DivergedError: The very first run diverges and no smaller learning rate rescues it.
        StudyError: The study cannot be read or written, is held by another process, or was made with
            other settings.
        KeyboardInterrupt: Interrupted before any run was finished.

    Source: arXiv:2007.07869.

    Cannot: choose discrete settings; promise a global optimum.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> result = ng.tune(task, ng.SGD(), steps=8, outer_steps=2)
        >>> result.schedule["learning_rate"].item() > 1e-3
        True
    """
    total, rule = task.steps_for(epochs, steps), outer_from(outer).with_seeds(seeds)
    _check_counts(outer_steps, budget)
    hyperparameters = {
        **optimizer.hyperparameters(total, rule.defaults), **task.hyperparameters(total)
    }  # fmt: skip
    learn = [name for name, hyper in hyperparameters.items() if hyper.learned]
    if not learn:
        raise ValueError(f"Nothing to learn: every setting of {optimizer} is a fixed number.")
    asked = settings_of(task, optimizer, total, engine, rule, outer_steps, seed, budget, dtype)
    with _remembering(study, asked, hyperparameters, learn, total) as memory:
        watch = Callbacks(callbacks)
        try:
            chosen = _chosen(
                memory,
                engine,
                lambda: Run(task, optimizer, total, seed, dtype),
                hyperparameters,
                learn,
            )
            watch.on_engine(chosen.engine, chosen.reason)
            objective = Objective(
                task, optimizer, total, chosen.engine, learn,
                seed=seed, dtype=dtype, budget=budget, callback=watch, memory=memory,
            )  # fmt: skip
            # At most a quarter of the budget is kept for the final comparison, which halves each round.
            rounds = 2 * rule.finalists * rule.finalist_seeds
            objective.reserve = min(rounds, ((budget or 1) - 1) / 4)
            history, status = _improve(
                rule, rule.init(hyperparameters, total), objective, outer_steps, watch
            )
            best, status = select(rule, objective, status)
        finally:
            watch.on_end()
        memory.finish(best.schedule, best.loss, status, objective.cost)
    settings = {
        **asked,
        "engine": repr(chosen.engine),
        "cost": round(objective.cost, 3),
        "status": status.name,
    }
    return Result(
        best.schedule.with_settings(settings), best.loss, best.accuracy,
        history, status, objective.cost, settings,
    )  # fmt: skip


def _remembering(
    study: str | os.PathLike[str] | Study | Memory | None,
    asked: Mapping[str, Any],
    hyperparameters: Mapping[str, Hyperparameter],
    learn: list[str],
    steps: int,
) -> AbstractContextManager[Memory]:
    if study is None or isinstance(study, Memory):
        return nullcontext(study or Memory())
    return Study.of(study).session(asked, {n: hyperparameters[n] for n in learn}, steps)


def _chosen(
    memory: Memory,
    engine: str | Engine,
    make_run: Callable[[], Run],
    hyperparameters: Mapping[str, Hyperparameter],
    learn: list[str],
) -> Choice:
    """The engine, which a search that goes on keeps: other free memory may suggest another now."""
    noted = memory.noted("engine")
    if noted is not None and engine == "auto":
        return Choice(recognized(noted["engine"]), noted["reason"])
    chosen = settle(engine, make_run, Schedule.initial(hyperparameters), learn)
    memory.note("engine", {"engine": repr(chosen.engine), "reason": chosen.reason})
    return chosen


def _improve(
    rule: OuterRule, state: Any, objective: Objective, outer_steps: int, watch: Callback
) -> tuple[list[OuterStep], Status]:
    """The outer loop itself. An end by budget or keyboard keeps what was done."""
    history: list[OuterStep] = []
    try:
        while rule.done(state) is None and len(history) < outer_steps:
            start = time.perf_counter()
            state, report = rule.step(state, objective)
            row = _row(len(history), report, time.perf_counter() - start, objective)
            history.append(objective.memory.settle(row, report.schedule))
            watch.on_outer_step(history[-1])
        rule.close(state, objective)
        return history, rule.done(state) or Status.completed
    except BudgetSpentError:
        if not objective.evaluated:
            raise
        return history, Status.budget_spent
    except DivergedError:
        if not history:
            raise
        return history, Status.rejected
    except KeyboardInterrupt:
        if not objective.evaluated:
            raise
        return history, Status.interrupted


def _row(index: int, report: Report, seconds: float, objective: Objective) -> OuterStep:
    curves = {name: report.schedule.curves[name] for name in objective.learn}
    values = {name: curve.coefficients.tolist() for name, curve in curves.items()}
    edges = {name: list(curve.edges) for name, curve in curves.items() if curve.edges}
    return OuterStep(
        index, report.loss, report.accuracy, values, report.signs,
        seconds, objective.cost, report.accepted, report.note, edges,
    )  # fmt: skip


def _check_counts(outer_steps: int, budget: float | None) -> None:
    check_whole("outer_steps", outer_steps)
    if budget is not None and not budget >= 1:
        raise ValueError(f"`budget` must allow at least one plain run, but got {budget!r}.")
