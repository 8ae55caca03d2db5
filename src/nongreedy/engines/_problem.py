"""A problem: what is trained, by what, for how long and in which precision."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import torch

from ..errors import nearest_name
from ..optimizers import Optimizer
from ..optimizers._mistakes import checked_optimizer
from ..schedules import (
    Curve,
    Default,
    GradientFree,
    Hyperparameter,
    Schedule,
    TimeBasis,
    identity,
)
from ..schedules._average import is_average
from ..schedules._hyperparameter import free, learned
from ..task import Task
from ..task._choices import BATCH_SIZE, EPOCHS
from ..task._data_plan import checksum
from ..task._looks import evaluation_parts
from ..task._task import checked_task
from ._engine import Engine
from ._examination import STEPS, Examinee
from ._named import engine_from
from ._run import Run, refuse_clash
from ._verification import Verification, verify

# Of float16 sums overflow and small gradients vanish; engines say where bfloat16 does not suffice.
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@final
@dataclass(frozen=True, eq=False)
class Problem:
    r"""A task, an optimizer, a horizon and a precision: a training run but for its seed and schedule.

    .. math:: c \mapsto J(c, k), \qquad k \text{ the seed}

    Every public verb (:func:`tune`, :func:`hypergradient`, :func:`trust`, :func:`plan`,
    :func:`compare`, :func:`train_online`) begins by making one, and everything below speaks of it.

    Args:
        task: Model, losses and data.
        optimizer: Which hyperparameters are learned (bases) and which are fixed (numbers).
        steps: T, the length of a run.
        dtype: Of the runs: ``torch.float32`` to train, ``torch.float64`` to check.
        defaults: Where a search begins and in which coordinate it moves, by hyperparameter name: an
            outer rule's, which go before the optimizer's own.
        start: A schedule to begin at instead, as far as it has what is learned.
        epochs: The length in epochs, where it shall stay so while the batch size is searched.

    Raises:
        TypeError: Something else than a task and an optimizer of this library.
        ValueError: A length below one step; another dtype; a hyperparameter's name that both the task and the
            optimizer have; settings that do not fit the length.

    Cannot: be another length for one of its runs; make another problem of the same task.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, x[:, :1]), 0.25, batch_size=16)
        >>> problem = ng.Problem(task, ng.SGD(weight_decay=0.0), steps=10)
        >>> list(problem.learned)
        ['learning_rate']
    """

    task: Task
    optimizer: Optimizer
    steps: int
    dtype: torch.dtype = torch.float32
    defaults: Mapping[str, Default] = field(default_factory=dict, repr=False)
    start: Schedule | None = field(default=None, repr=False)
    epochs: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked_task(self.task)
        checked_optimizer(self.optimizer, Optimizer)
        if self.dtype not in _DTYPES:
            raise ValueError(
                f"`dtype` must be torch.float32, to train, or torch.float64, to check, but got "
                f"{self.dtype}. For mixed precision enter torch.autocast in the model's forward pass."
            )
        self.task.steps_for(None, self.steps)  # checks them
        refuse_clash(self.task, self.optimizer)
        for name, setting in self.optimizer.given().items():
            if isinstance(setting, GradientFree):
                raise ValueError(
                    f"{name} of {type(self.optimizer).__name__} has a derivative: give it a basis, such as "
                    f"Constant(), in place of {setting!r}."
                )

    @classmethod
    def of(
        cls,
        task: Task,
        optimizer: Optimizer,
        *,
        epochs: float | GradientFree | None = None,
        steps: int | None = None,
        dtype: torch.dtype = torch.float32,
        defaults: Mapping[str, Default] | None = None,
        engine: str | Engine | None = None,
    ) -> Problem:
        """The problem of a question about what is learned; `epochs` or `steps` gives its length.

        Args:
            engine: Who will be asked for derivatives, which are then verified, too; None is nobody.

        Raises:
            ValueError: Also where nothing is learned.
            VerificationError: The task does not train as in plain PyTorch, or its derivatives are wrong.
        """
        if isinstance(epochs, GradientFree):
            task = checked_task(task).searching(**{EPOCHS: epochs})
            epochs = epochs.value
        length = checked_task(task).steps_for(epochs, steps)
        problem = cls(task, optimizer, length, dtype, defaults or {}, epochs=epochs)
        if not problem.learned:
            raise ValueError(
                f"Nothing to learn: every setting of {optimizer} is a fixed number. Give one of them a "
                "basis, such as learning_rate=ng.Constant()."
            )
        asked = None if engine is None or engine == "auto" else engine_from(engine)
        problem.verified(engine is not None and (asked is None or asked.differentiates))
        problem._check_lengths()
        return problem

    def _check_lengths(self) -> None:
        """Every length that a search may come to must fit what is learned.

        Raises:
            ValueError: One does not; the message names the values that lead to it.
        """
        ends = {n: c.bounds for n, c in self.task.choices.items() if n in (BATCH_SIZE, EPOCHS)}
        for corner in itertools.product(*ends.values()) if ends else ():
            values = dict(zip(ends, corner, strict=True))
            steps = self._chosen(values).steps
            words = ", ".join(f"{name}={value:g}" for name, value in values.items())
            for name, hyper in self.learned.items():
                try:
                    hyper.basis.check(steps, name)
                except ValueError as error:
                    raise ValueError(f"With {words}, within their bounds: {error}") from error
                if hyper.basis.size(steps) != len(hyper.initial):
                    raise ValueError(
                        f"{name} has {len(hyper.initial)} values, one per step, but runs with {words} "
                        f"take {steps} steps: give it another basis, such as Windows(7)."
                    )

    def verified(self, derivatives: bool = True) -> Verification:
        """What verification found, once per task, optimizer and device.

        Raises:
            VerificationError: It failed.
        """
        key = (
            f"{identity(self.optimizer)} {self.task.device} {min(self.steps, STEPS)} {derivatives}"
        )
        if key not in self.task.verified:
            row = Examinee(self.task, self.optimizer, self.steps, self.initial, self.learned)
            self.task.verified[key] = verify(row, self.dtype, derivatives)
        return self.task.verified[key]

    @property
    def verification(self) -> Verification:
        """The most that was found so far; see :meth:`verified`."""
        found = self.task.verified.values()
        return max(
            found, key=lambda one: len(one.checks), default=Verification(note="not asked for")
        )

    @cached_property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Those of the optimizer and of the task, every field settled and checked."""
        own = self.optimizer.hyperparameters(self.steps, self.defaults)
        settled = {**own, **self.task.hyperparameters(self.steps)}
        begun = self.start.curves if self.start is not None else {}
        return {n: _begun(h, begun.get(n), self.steps) for n, h in settled.items()}

    @cached_property
    def learned(self) -> dict[str, Hyperparameter]:
        """Those that move."""
        return learned(self.hyperparameters)

    @cached_property
    def moving(self) -> dict[str, Hyperparameter]:
        """Those that move, with derivatives or without."""
        return {**self.learned, **free(self.hyperparameters)}

    def chosen(self, schedule: Schedule) -> Problem:
        """The same at a schedule's values of what no gradient reaches, with the length that these give."""
        values = {n: float(schedule[n]) for n in free(self.hyperparameters) if n in schedule.curves}
        same = all(values[name] == self.task.choices[name].value for name in values)
        return self if same else self._chosen(values)

    def _chosen(self, values: Mapping[str, float]) -> Problem:
        task, epochs = self.task.with_values(**values), values.get(EPOCHS, self.epochs)
        steps = self.steps if epochs is None else task.steps_for(epochs, None)
        return replace(self, task=task, steps=steps, epochs=epochs)

    @property
    def examples(self) -> int:
        """That a run computes gradients of, those of one that comes again counted again."""
        return self.steps * self.task.batch_size

    @property
    def initial(self) -> Schedule:
        """Where a search begins."""
        return Schedule.initial(self.hyperparameters)

    def at(self, schedule: Schedule | None) -> Schedule:
        """The given curves over the initial ones; per-step values of another budget become windows.

        Raises:
            ValueError: The schedule sets what neither the optimizer nor the task has.
        """
        curves = dict(self.initial.curves)
        for name, curve in schedule.curves.items() if schedule is not None else ():
            if name not in curves:
                averaged = (
                    " It averages weights: give the optimizer of the result, which has the average."
                )
                raise ValueError(
                    f"The schedule sets {name!r}, which the optimizer does not have."
                    + (averaged if is_average(name) else nearest_name(name, curves))
                )
            fits = curve.basis.size(self.steps) == len(curve.coefficients)
            curves[name] = curve if fits else curve.stretchable()
        return Schedule(curves)

    def run(self, seed: int = 0) -> Run:
        """The run of a seed, which decides initialization, order, augmentation and dropout."""
        return Run(self.task, self.optimizer, self.steps, seed, self.dtype)

    def shortened(self, steps: int) -> Problem:
        """The same over another number of steps."""
        return replace(self, steps=steps)

    def without_test(self) -> Problem:
        """The same without test data: a search cannot look at what it does not have."""
        task = copy.copy(self.task)
        task.test = None
        return replace(self, task=task)

    def fingerprint(self) -> dict[str, Any]:
        """What a repetition needs, as JSON: settings by identity, data and model by a checksum."""
        task = self.task
        batch = task.plan.batch(0, 0, torch.device("cpu"), torch.float32)
        parts = evaluation_parts(task.validation.count, task.evaluation_batch_size)
        judged = task.validation.fetch(parts[0])
        return {
            "optimizer": identity(self.optimizer),
            "steps": self.steps,
            "dtype": str(self.dtype),
            **machine(task.device),
            "batch_size": task.batch_size,
            **({"accumulate": task.accumulate} if task.accumulate > 1 else {}),
            "training_examples": task.train.count,
            "validation_examples": task.validation.count,
            "data": f"{checksum(batch):x} {checksum(judged):x}",
            "model": f"{checksum([p.detach() for p in task.network(0).parameters()]):x}",
            "learned": {name: len(hyper.initial) for name, hyper in self.learned.items()},
        }


def machine(device: torch.device) -> dict[str, Any]:
    """Where a run has its bits: not on which of several equal GPUs, but on which kind, by which kernels."""
    if device.type != "cuda":
        return {"device": str(device)}
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device),
        "cudnn": torch.backends.cudnn.version(),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def _begun(hyper: Hyperparameter, curve: Curve | None, steps: int) -> Hyperparameter:
    """Beginning at a curve, on the hyperparameter's own basis and within its bounds."""
    if curve is None or not hyper.learned:  # what no gradient reaches stands where the task is
        return hyper
    basis, values = hyper.basis, curve.coefficients
    if isinstance(basis, TimeBasis) and isinstance(curve.basis, TimeBasis):
        size = basis.size(steps)
        values = Curve(curve.stretchable().basis, values).values(steps)[basis.positions(steps)]
        values = values[:size]
    if len(values) != len(hyper.initial):
        raise ValueError(
            f"`start` has {len(values)} values for {hyper.name}, which has {len(hyper.initial)}. Start "
            "from a schedule of this task."
        )
    return replace(hyper, initial=hyper.clip(values.double()))
