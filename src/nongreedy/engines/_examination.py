"""What a verification compares: plain training with runs, derivatives with differences."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..optimizers import Optimizer
from ..schedules import Schedule
from ..schedules._scheduler import ScheduleLR
from ..task import Task
from ..task._data_plan import checksum
from ..task._module import frozen_parts
from ..task._plain import Begun, PlainTraining
from ..task._raised import Raised
from ..task._repeatable import repeatable
from ._causes import named
from ._graph import leaves
from ._run import Run, at

STEPS = 3
_NOISE = 1e4  # units in the last place of a whole gradient that rounding may leave in a part


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        short: What is equal.
        difference: How far apart, relative.
        limit: How far they may be.
        failure: What it means where they are not.
        about: What it is about: a key of the table of causes.
    """

    short: str
    difference: float
    limit: float
    failure: str
    about: str = "derivative"

    @property
    def passed(self) -> bool:
        return self.difference <= self.limit  # NaN does not pass

    def __str__(self) -> str:
        return f"{self.short:<58} {self.difference:.1e} (at most {self.limit:.0e})"


class Examinee(NamedTuple):
    """A problem, as far as it matters here."""

    task: Task
    optimizer: Optimizer
    steps: int
    schedule: Schedule  # where a search begins
    learned: Collection[str]


class Examination:
    """The first steps of a problem, trained plainly when it is made.

    Raises:
        Exception: Whatever the user's own code raises in plain training.
    """

    def __init__(self, examinee: Examinee, dtype: torch.dtype):
        self.task, self.optimizer, self.steps, self.schedule, self.learned = examinee
        self.dtype, self.fine = dtype, dtype == torch.float64
        self.count = min(STEPS, self.steps)
        self._train_plainly()

    @functools.cached_property
    def run(self) -> Run:
        return Run(self.task, self.optimizer, self.steps, 0, self.dtype)

    @functools.cached_property
    def values(self) -> Mapping[str, Tensor]:
        return self.run.values(self.schedule)

    def precise(self) -> contextlib.AbstractContextManager[object]:
        """In float64 nothing within a model is rounded to less."""
        return Raised() if self.fine else contextlib.nullcontext()

    def _train_plainly(self) -> None:
        """Losses, gradients and weights of ``torch.optim`` on a copy that knows nothing of us."""
        task, rule = self.task.at_precision(self.dtype), self.optimizer
        with self.precise(), repeatable(task.device):
            model = task.network(0, self.dtype)
            frozen_parts(model)
            table = self.schedule.tensors(self.steps, task.device, self.dtype)
            own = {name: table[name] for name in task.learnable}
            self.plain_gradients = list[dict[str, Tensor]]()

            def clip(parameters: list[torch.nn.Parameter]) -> None:
                self.plain_gradients.append(_gradients(plain))
                rule.clip_torch(parameters)

            plain = PlainTraining(task, model, own, 0, self.dtype, clip)
            plain.initialize()
            self.plain_losses, self.plain_weights = list[float](), [_weights(plain)]
            optimizer = rule.torch_optimizer(rule.torch_groups(plain.named))
            curves = {n: c for n, c in self.schedule.curves.items() if n not in task.learnable}
            scheduler = ScheduleLR(
                optimizer, Schedule(curves), self.steps, settings=rule.torch_settings, groups="same",
                judged=True,
            )  # fmt: skip
            for _, loss in plain.steps(Begun(optimizer, scheduler.step), self.count):
                self.plain_losses.append(loss.item())
                self.plain_weights.append(_weights(plain))
            with scheduler.averaged():
                self.plain_answer = _weights(plain)

    def training(self) -> Iterator[Check]:
        """The first steps: losses, gradients, and what these do to the weights.

        Each update is given the plain gradient: what is nothing but rounding in it, as of a bias before
        BatchNorm, becomes a step of full length in Adam or Lion, and another one in each run.
        """
        kept = _fixed(self.run)
        self.first, self.states = self._first_loss(), [self.run.initial(at(self.values, 0))]
        losses, gradients = [], []
        for t in range(self.count):
            state, values = self.states[-1], at(self.values, t)
            loss, gradient = self.run.gradient(state[0], t, values)
            losses.append(loss)
            gradients.append(gradient)
            self.states.append(self.run.optimizer.advance(state, self._plain_gradient(t), values))
        moved = [name for name, (before, now) in _both(kept, _fixed(self.run)).items()
                 if not torch.equal(before, now)]  # fmt: skip
        yield Check(
            "nothing moves but what is trained", float(len(moved)), 0.0,
            f"The forward pass changes {', '.join(map(repr, moved))}, which is not trained: state outside "
            "the parameters, which derivatives do not see. Compute it from the parameters at each "
            "step, or keep it fixed.",
            "",
        )  # fmt: skip
        limit = 1e-7 if self.fine else 1e-3
        pairs = zip(losses, self.plain_losses, strict=True)
        apart = [abs(a - b) / (1 + abs(b)) for a, b in pairs]
        worst = max(range(self.count), key=apart.__getitem__)
        yield Check(
            f"{self.count} training losses equal those of torch.optim", apart[worst], limit,
            f"Training is another one than with torch.optim: the loss at step {worst} is "
            f"{losses[worst]:.9g} here and {self.plain_losses[worst]:.9g} there.",
            "state",
        )  # fmt: skip
        yield self._gradients_check(gradients)
        yield self._weights_check()

    def _plain_gradient(self, t: int) -> Tensor:
        rows = self.plain_gradients[t]
        return self.run.module.flat_gradient(rows[name] for name in self.run.module.names)

    def _gradients_check(self, gradients: Iterable[Tensor]) -> Check:
        limit, eps = (1e-5 if self.fine else 1e-2), torch.finfo(self.dtype).eps
        module, apart, where = self.run.module, 0.0, (0, "")
        for t, gradient in enumerate(gradients):
            plain = self._plain_gradient(t)
            slack = _NOISE * eps * float(plain.norm())
            pairs = zip(*map(module.unflatten_real, (gradient, plain)), strict=True)
            for name, (found, expected) in zip(module.names, pairs, strict=True):
                differs = max(float((found - expected).norm()) - slack, 0.0)
                ratio = differs / (float(expected.norm()) or slack or 1.0) if differs else 0.0
                if not ratio <= apart:
                    apart, where = ratio, (t, name)
        return Check(
            f"{self.count} training gradients equal those of torch.optim", apart, limit,
            f"Training is another one than with torch.optim: at step {where[0]} the gradient of the "
            f"parameter {where[1]!r} is apart by {apart:.2g} of its size.",
            "state",
        )  # fmt: skip

    def _first_loss(self) -> float:
        """Also looks for leaves that nobody knows: those that two computations have in common."""
        (loss, first), (_, second) = self._loss_and_leaves(), self._loss_and_leaves()
        known = {id(p) for p in self.run.module.idle.values()}
        strange = [x for key, x in first.items() if key in second and key not in known]
        if strange:
            raise ValueError(named(strange, self.task))
        return loss

    def _loss_and_leaves(self) -> tuple[float, dict[int, Tensor]]:
        values = at(self.values, 0)
        start = self.run.initial(values)[0].detach().requires_grad_()
        return self.run.with_loss(start, 0, values, lambda loss, _: (loss.item(), leaves(loss)))

    def _weights_check(self) -> Check:
        limit, eps = (1e-5 if self.fine else 1e-2), torch.finfo(self.dtype).eps
        apart, where = 0.0, (0, "", "")
        for t, what, flat, now in self._compared_weights():
            ours, before = self.run.module.unflatten(flat), self.plain_weights[t - 1]
            whole = math.sqrt(sum(float((now[n] - before[n]).norm()) ** 2 for n in now))
            for name, weight in ours.items():
                change = float((now[name] - before[name]).norm()) + 1e-3 * whole
                slack = 64 * eps * float(weight.norm())
                differs = max(float((weight - now[name]).norm()) - slack, 0.0)
                ratio = differs / change if change > 0 else (math.inf if differs else 0.0)
                if not ratio <= apart:
                    apart, where = ratio, (t, what, name)
        return Check(
            f"weights after {self.count} steps equal those of torch.optim", apart, limit,
            f"Training is another one than with torch.optim: after {where[0]} steps {where[1]} "
            f"{where[2]!r} is apart by {apart:.2g} of what a step changes.",
            "state",
        )  # fmt: skip

    def _compared_weights(self) -> Iterator[tuple[int, str, Tensor, dict[str, Tensor]]]:
        """Steps taken, what of them, ours, and the twin's."""
        answer = self.run.optimizer.answer
        for t, now in enumerate(self.plain_weights[1:], 1):
            if t < self.steps:  # after the last step the twin has what is judged
                yield t, "the parameter", self.states[t][0], now
        yield self.count, "what is judged of", answer(self.states[self.count]), self.plain_answer

    def replay(self) -> Iterator[Check]:
        """The first loss once more, as a sweep will ask for it."""
        plan = self.task.plan
        sums = {checksum(plan.batch(0, 0, self.task.device, self.dtype)) for _ in range(2)}
        yield Check(
            "a batch is the same when it is read again", float(len(sums) - 1), 0.0,
            "The first batch differs when it is read again: data or `augment` draw from something that "
            "cannot be seeded, or change while they are read. Draw from the generator that `augment` is "
            "given, or from the default generators, which are seeded at each step.",
            "",
        )  # fmt: skip
        again, limit = self._loss_and_leaves()[0], 1e-9 if self.fine else 1e-4
        yield Check(
            "a step is the same when it is computed again",
            abs(again - self.first) / (1 + abs(self.first)), limit,
            f"The first training loss was {self.first:.9g} and is {again:.9g} when it is computed again "
            "from the same weights.",
            "state",
        )  # fmt: skip


def _weights(plain: PlainTraining) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in plain.named}


def _gradients(plain: PlainTraining) -> dict[str, Tensor]:
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in plain.named}


def _fixed(run: Run) -> dict[str, Tensor]:
    """What a run must leave as it is: frozen parameters, and those without gradient."""
    trained = set(run.module.names)
    rows = run.module.module.named_parameters()
    return {name: p.detach().clone() for name, p in rows if name not in trained}


def _both(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    return {name: (a[name], b[name]) for name in a}
