"""Gradients of a run's training losses, recorded or not, and what is raised where they are none."""

import math
from collections.abc import Callable, Collection
from typing import NoReturn

import torch
from torch import Tensor

from ..errors import DataError, DivergedError, ReplayError
from ..schedules import Schedule
from ..task._double_backward import recording
from ..task._finite import not_finite
from ..task._stop_gradient import Gate
from ._accumulated import accumulated
from ._graph import coarsest
from ._linearized import Linearized
from ._replay import CAUSES
from ._training_loss import Parts, T, TrainingLoss, Values, at

_HOOKS = "parts of the forward pass are computed again"
_ROUNDING = 1000  # units in the last place that two kernels of one function may be apart
_COARSE = 2  # of the coarsest numbers within, such as those of autocast, which a mean smooths

_LOST = (
    "The weights were not finite any more, though the loss before was: its gradient is NaN or infinite, as "
    "at a root or a norm of 0, or behind torch.where, where the branch that is not taken is NaN; or the "
    "learning rate is far too high. Add a small number under the root, or clamp what the branch is given."
)
# No learning rate has acted yet.
_AT_ONCE = "Look for NaN or infinity in the training data or in the model's initial weights."


class TrainingGradient(TrainingLoss):
    """The gradient of the training loss of every step, as it is and as something to differentiate."""

    def _flat_gradient(self, loss: Tensor, parts: Parts, step: int, graph: bool = False) -> Tensor:
        """The gradient, shape (P,). Raises ValueError where a parameter has one at some steps only."""
        idle, found = self.module.idle, self._gradients(loss, parts, graph)
        for name, gradient in zip([*parts, *idle], found, strict=True):
            if (gradient is None) != (name in idle):
                has = "has no gradient" if gradient is None else "has a gradient"
                raise ValueError(
                    f"The parameter {name!r} {has} at step {step}, unlike at the first. torch.optim "
                    "skips it then, its momentum, decay and step count included, which no state of "
                    "equal slots can follow. Multiply what it computes by 0 or 1 instead of leaving "
                    "it out."
                )
        return self.task.shards.total(
            self.module.flat_gradient([g for g in found if g is not None])
        )

    def unread_gradient(
        self, parameters: Tensor, step: int, values: Values | None = None, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Training loss, shape (), and its gradient, shape (P,), neither of which is looked at. The one
        function that a replay repeats.

        Args:
            first: Of the micro-batches that take part.
        """

        def differentiated(loss: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
            return loss.detach(), self._flat_gradient(loss, parts, step)

        def of(part: int) -> tuple[Tensor, Tensor]:
            return self.with_loss(parameters, step, values, differentiated, part=part, behind=False)

        loss, gradient = of(first)
        for part in range(first + 1, self.task.accumulate):
            more, slope = of(part)
            loss, gradient = loss + more, gradient + slope
        return loss, gradient

    def gradient(
        self, parameters: Tensor, step: int, values: Values | None = None
    ) -> tuple[float, Tensor]:
        """The same, the loss looked at: DivergedError, or by data DataError, where it is not finite."""
        unread, gradient = self.unread_gradient(parameters, step, values)
        loss = unread.item()
        if not math.isfinite(loss):
            self.name_divergence(step, values, bool(parameters.isfinite().all()))
        return loss, gradient

    def name_divergence(self, step: int, values: Values | None, finite: bool) -> NoReturn:
        """DivergedError, or by data DataError: the loss of a step is not finite, at parameters that are or
        are not."""
        plan = self.task.plan
        batch = plan.batch(self.seed, step, self.task.device, self.dtype)
        found = not_finite(self.task.train, batch, plan.index(self.seed, step))
        self._blame(found, lambda start: self.gradient(start, step, values))
        lost = "" if finite else _LOST
        raise DivergedError("training loss", step, self.steps, lost if step else _AT_ONCE)

    def _blame(self, found: str | None, again: Callable[[Tensor], object]) -> None:
        """Raise DataError where data are found to be why a loss is not finite: it is not where training
        begins, either. `again` computes it there, and raises DivergedError."""
        if found is None or self._blaming:
            return
        self._blaming = True
        try:
            own = Schedule.initial(self.task.hyperparameters(self.steps))
            again(self.initial_parameters(at(self.values(own), 0)).detach())
        except DivergedError:
            raise DataError(found) from None
        finally:
            self._blaming = False

    def linearize(
        self,
        parameters: Tensor,
        step: int,
        values: Values | None = None,
        learn: Collection[str] = (),
    ) -> Linearized:
        """The gradient with its graph, also of the task's hyperparameters among `learn`."""
        values = dict(values or {})

        def recorded(part: int) -> Linearized:
            return self._recorded(parameters, step, values, learn, part)

        if self.task.accumulate == 1:
            return recorded(0)
        others = self.unread_gradient(parameters, step, values, first=1)
        return accumulated(recorded, others, self.task.accumulate)

    def _recorded(
        self, parameters: Tensor, step: int, values: Values, learn: Collection[str], part: int
    ) -> Linearized:
        parameters = parameters.detach().requires_grad_()
        leaves, gate = self._leaves(values, learn), Gate()
        everything = {**values, **leaves}

        def differentiated(loss: Tensor, parts: Parts) -> tuple[Tensor, Tensor, Parts]:
            return loss, self._flat_gradient(loss, parts, step, graph=True), parts

        def recorded() -> tuple[Tensor, Tensor, Parts]:
            mode = recording(gate)
            return self.with_loss(parameters, step, everything, differentiated, mode, part)

        loss, gradient, parts = self._with_hooks(recorded)
        gate.open = True

        def held(differentiate: Callable[[], T]) -> T:
            """While parts of the forward pass may be computed again."""

            def body(_: object) -> T:
                with recording(gate) as mode:
                    mode.backwards = True
                    return differentiate()

            return self.module.hold(parts, True, body) if self._recomputes else differentiate()

        return Linearized(loss, parameters, leaves, gradient, gate, held)

    def _with_hooks(self, record: Callable[[], T]) -> T:
        """What it records; once more where parts of the forward pass turn out to be computed again, whose
        backward passes then run with the module's parameters and modes."""
        if not self._recomputes:
            try:
                with torch.autograd.graph.disable_saved_tensors_hooks(_HOOKS):
                    return record()
            except RuntimeError as error:
                if _HOOKS not in str(error):
                    raise
            if self.task.shards.many:
                raise ValueError(
                    "Activation checkpointing cannot be spread over ranks: parts of its forward pass are "
                    "computed again at moments of each rank's own. Leave it out, or use one rank a run."
                ) from None
            self._recomputes = True
        return record()

    def first_loss(self, values: Values) -> tuple[float, float]:
        """The training loss that a run begins with, and epsilon of its coarsest numbers. Where it is another
        one after the run, that has moved more than its state."""
        now = at(values, 0)
        start = self.initial_parameters(now).detach().requires_grad_()

        def told(loss: Tensor, _: Parts) -> tuple[float, float]:
            return loss.item(), coarsest(loss)

        parts = range(self.task.accumulate)
        losses, coarse = zip(
            *(self.with_loss(start, 0, now, told, part=part) for part in parts), strict=True
        )
        return sum(losses), max(coarse)

    def check_replay(self, now: float, expected: float, step: int, coarse: float = 0.0) -> None:
        """Raise ReplayError unless this is the loss that the run had at this step, to rounding.

        Args:
            coarse: Epsilon of the least precise numbers that it is computed with.
        """
        slack = max(_ROUNDING * torch.finfo(self.dtype).eps, _COARSE * coarse)
        apart = abs(now - expected) / (1 + abs(expected))
        if not apart <= slack:
            raise ReplayError(
                f"The training loss at step {step} was {expected!r} in the run and is {now!r} when it is "
                f"computed again from the same state. {CAUSES}"
            )
