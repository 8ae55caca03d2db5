"""Discrete choices by an Optuna sampler outside, schedules by hypergradients inside each trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch

from .._tune import tune
from ..engines import Engine
from ..errors import DivergedError
from ..optimizers import Optimizer
from ..schedules._files import plain
from ..search import Callback, OuterStep, Status
from ..search.rules import OuterRule
from ..task import Task

if TYPE_CHECKING:
    from optuna.trial import Trial


def optuna_objective(
    make: Callable[[Trial], tuple[Task, Optimizer]],
    *,
    epochs: float | None = None,
    steps: int | None = None,
    outer_steps: int | None = None,
    engine: str | Engine = "auto",
    outer: str | OuterRule = "auto",
    seeds: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    dtype: torch.dtype = torch.float32,
    callbacks: Iterable[Callback] = (),
) -> Callable[[Trial], float]:
    r"""An objective for ``optuna.Study.optimize`` that learns the schedules of each trial.

    .. math:: \min_z \; \min_c \; L_\mathrm{val}(\theta_T(z, c))

    with z what has no derivative (batch size, width, kind of optimizer), chosen by Optuna's sampler,
    and c the coefficients of the schedules, by :func:`tune` inside the trial.

    Each trial keeps as user attributes ``schedule`` (what :meth:`Schedule.from_json` reads), ``steps``,
    ``cost`` (plain runs' worth of gradients, at this trial's batch size), ``seconds``, ``status`` and
    ``validation_accuracy`` and ``validation_metrics``; ``cost`` and ``seconds`` also where it was
    pruned. After each outer step the best validation loss so far is reported, so that Optuna's pruners
    can end the trial.

    Args:
        make: ``make(trial)`` suggests the discrete choices and returns the task and the optimizer.
        epochs: Length of a training run, or
        steps: its length in steps.
        outer_steps, engine, outer, seeds, seed, budget, dtype: As in :func:`tune`. All trials have the
            same seed, so that they are compared on common random numbers.
        callbacks: Who else watches.

    Returns:
        A function of a trial. It returns the validation loss, and raises ``optuna.TrialPruned`` where a
        pruner says so, or where runs diverge, with the reason under the user attribute ``diverged``.

    Raises:
        TypeError: `make` returned something else.
        ValueError: Bad settings, when a trial begins.
        KeyboardInterrupt: In a trial that was interrupted, which ends the study.

    Source: the combination is this library's; :func:`tune` as in arXiv:2007.07869.

    Cannot: gain time from several threads (``n_jobs``), whose runs take turns: use several processes
    with one storage; keep its bits beside threads that draw from PyTorch's default generator. Compare
    trials at equal cost, unless `budget` is given.

    Example:
        >>> import optuna, torch, nongreedy as ng
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> def make(trial):
        ...     size = trial.suggest_categorical("batch_size", [8, 16])
        ...     task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                    (x, y), (x, y), batch_size=size)
        ...     return task, ng.SGD()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(ng.optuna_objective(make, epochs=2, outer_steps=2), n_trials=2)
        >>> ng.Schedule.from_json(study.best_trial.user_attrs["schedule"])["learning_rate"].shape
        torch.Size([1])
    """
    watchers = list(callbacks)

    def objective(trial: Trial) -> float:
        from optuna import TrialPruned

        task, optimizer = _made(make, trial)
        total, begin = task.steps_for(epochs, steps), time.perf_counter()
        trial.set_user_attr("steps", total)
        try:
            result = tune(
                task, optimizer, steps=total, outer_steps=outer_steps, engine=engine, outer=outer,
                seeds=seeds, seed=seed, budget=budget, dtype=dtype,
                callbacks=[*watchers, _Reporter(trial)], progress=False,
            )  # fmt: skip
        except DivergedError as error:
            trial.set_user_attr("diverged", str(error))
            raise TrialPruned(str(error)) from error
        finally:
            trial.set_user_attr("seconds", round(time.perf_counter() - begin, 3))
        if result.status is Status.interrupted:
            raise KeyboardInterrupt
        trial.set_user_attr("schedule", result.schedule.to_json())
        trial.set_user_attr("cost", round(result.cost, 3))
        trial.set_user_attr("status", result.status.name)
        trial.set_user_attr("validation_accuracy", result.validation_accuracy)
        trial.set_user_attr("validation_metrics", plain(dict(result.validation_metrics)))
        return result.validation_loss

    return objective


def _made(make: Callable[[Trial], tuple[Task, Optimizer]], trial: Trial) -> tuple[Task, Optimizer]:
    made = make(trial)
    pair = isinstance(made, tuple) and len(made) == 2
    if not (pair and isinstance(made[0], Task) and isinstance(made[1], Optimizer)):
        raise TypeError(
            f"`make` must return a pair (Task, optimizer), but returned {made!r}. Write "
            "`return task, ng.SGD(...)`."
        )
    return made


class _Reporter(Callback):
    """Tells Optuna the best loss so far after each outer step, and asks whether to go on."""

    def __init__(self, trial: Trial):
        self._trial, self._best = trial, math.inf

    def on_outer_step(self, row: OuterStep) -> None:
        from optuna import TrialPruned

        self._trial.set_user_attr("cost", round(row.cost, 3))
        self._best = min(self._best, row.validation_loss)
        if not math.isfinite(self._best):
            return  # nothing has ended yet
        self._trial.report(self._best, row.index)
        if self._trial.should_prune():
            raise TrialPruned(f"{self._best:.4g} after outer step {row.index}.")
