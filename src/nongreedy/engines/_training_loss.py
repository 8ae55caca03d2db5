"""Training losses of a run's steps, and their first and second derivatives."""

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import DataError, DivergedError, ReplayError
from ..schedules import Schedule
from ..task import FlatModule, Hypers, Task
from ..task._choices import refuse_others
from ..task._data_plan import INITIAL, ReplayGuard, mix
from ..task._default_generator import seed_default, seed_everything
from ..task._double_backward import Recording, grad, recording, valued
from ..task._finite import not_finite
from ..task._micro_batches import dropout_seed, micro_batch
from ..task._refusals import check_differentiable
from ..task._repeatable import repeatable
from ..task._stop_gradient import Gate
from ._accumulated import WHOLE, accumulated, refuse_batch_norm, refuse_indivisible
from ._graph import coarsest
from ._linearized import Linearized, leaves_of
from ._replay import CAUSES

T = TypeVar("T")
Values = Mapping[str, Tensor]  # of the hyperparameters, by name
Parts = Mapping[str, Tensor]  # the parameters by name, with the graph of the flat vector

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


class TrainingLoss:
    """The training loss of every step of a run, as a function of the flat parameters.

    Args:
        task, steps, seed, dtype: As in :class:`Run`.
    """

    def __init__(self, task: Task, steps: int, seed: int, dtype: torch.dtype):
        self.task, self.steps, self.seed, self.dtype = task.at_precision(dtype), steps, seed, dtype
        self._guard, self._recomputes, self._blaming = ReplayGuard(task.train), False, False
        self._read: tuple[int, Any] | None = None  # the last step, and its batch
        if task.idle is None:
            task.idle = self._without_gradient()
            if task.accumulate > 1:
                self._refuse_indivisible()
        self.module = self._network(task.idle)

    def _network(self, idle: Collection[str] = ()) -> FlatModule:
        module = self.task.network(self.seed, self.dtype)
        flat = FlatModule(module, self.task.constant_buffers, idle)
        if self.task.accumulate > 1:
            refuse_batch_norm(flat, self.task.accumulate)
        return flat

    def _without_gradient(self) -> tuple[str, ...]:
        """Parameters that the first training loss does not reach, by a network of its own."""
        self.module = self._network()
        own = Schedule.initial(self.task.hyperparameters(self.steps))
        values, start = at(self.values(own), 0), self.module.start().requires_grad_()

        def unreached(loss: Tensor, parts: Parts) -> tuple[str, ...]:
            found = zip(parts, self._gradients(loss, parts), strict=True)
            return tuple(name for name, gradient in found if gradient is None)

        with self.isolated():
            return self.with_loss(start, 0, values, unreached)

    def _refuse_indivisible(self) -> None:
        own = self.values(Schedule.initial(self.task.hyperparameters(self.steps)))
        start = self.initial_parameters(at(own, 0)).detach()

        def share(step: int, part: int, training: bool, theta: Tensor = start) -> Tensor:
            values, itself = at(own, step), lambda loss, _: loss
            return self.with_loss(theta, step, values, itself, part=part, training=training)

        with self.isolated():
            coarse = coarsest(share(0, 0, True, start.clone().requires_grad_()))
            refuse_indivisible(share, self.steps, self.task.accumulate, coarse)

    def initial_parameters(self, values: Values) -> Tensor:
        """theta_0, shape (P,), with the graph of the hyperparameters that it depends on."""
        start = self.module.start()
        if self.task.initialize is None:
            return start
        drawn = {name: part.clone() for name, part in self.module.unflatten(start).items()}
        hypers = Hypers(self._own(values), 0, lambda: drawn)
        with self.isolated(), valued():
            seed_default(mix(self.seed, INITIAL, 1), self.task.device)
            return self.module.flatten(self.task.initialized(drawn, hypers))

    @functools.cached_property
    def learned(self) -> tuple[str, ...]:
        """The task's hyperparameters that are no fixed numbers."""
        rows = self.task.hyperparameters(self.steps).items()
        return tuple(name for name, hyper in rows if hyper.learned)

    def _leaves(self, values: Values, learn: Collection[str]) -> dict[str, Tensor]:
        return leaves_of(values, [name for name in learn if name in self.task.learnable])

    def values(self, schedule: Schedule) -> dict[str, Tensor]:
        """Every hyperparameter at every step: name -> shape (T, ...), the run's dtype and device.

        And ``"step"``, the number of each step, from 1, on which bias corrections depend, and how many
        there are, ``"steps"``, on which averages of a last part do.
        """
        step = torch.arange(1, self.steps + 1).to(self.task.device, self.dtype)
        counted = {"step": step, "steps": step[-1:].expand(self.steps)}
        refuse_others(self.task.choices, schedule)
        return {**schedule.tensors(self.steps, self.task.device, self.dtype), **counted}

    def _own(self, values: Values) -> Values:
        """The task's hyperparameters among the values of a step."""
        return {name: values[name] for name in self.task.learnable}

    def training_loss(self, parameters: Tensor, step: int, values: Values | None = None) -> Tensor:
        """Loss of the batch at `step`, shape (), as a value of all that it depends on.

        The same bits at every call. Only what lies behind the hyperparameters may be differentiated.
        """
        mode = valued() if torch.is_grad_enabled() else None
        parts = range(self.task.accumulate)
        losses = (
            self.with_loss(parameters, step, values, lambda loss, _: loss, mode, part)
            for part in parts
        )
        return functools.reduce(torch.add, losses)

    @property
    def recorded_at(self) -> float:
        """What a gradient costs that will be differentiated, in plain gradients, where two more are for its
        derivative: micro-batches are computed once more, because that needs the gradient of all."""
        return 1.0 if self.task.accumulate == 1 else 2.0

    def _batch(self, step: int) -> Any:
        """Read once for all of its micro-batches."""
        if self._read is not None and self._read[0] == step:
            return self._read[1]
        batch = self.task.plan.batch(self.seed, step, self.task.device, self.dtype)
        self._guard.check(step, batch)
        self._read = (step, batch) if self.task.accumulate > 1 else None
        return batch

    def with_loss(
        self,
        parameters: Tensor,
        step: int,
        values: Values | None,
        then: Callable[[Tensor, Parts], T],
        mode: Recording | None = None,
        part: int = 0,
        training: bool = True,
    ) -> T:
        """What `then` makes of the loss of the batch at `step`, while the module has the parameters.

        Args:
            part: Number of the micro-batch whose share of the loss it is.
        """
        batch, shards, count = self._batch(step), self.task.shards, self.task.accumulate
        batch, index, share = shards.part(batch, lambda: self.task.plan.index(self.seed, step))
        if count > 1:
            which = (part, count) if part > WHOLE else (0, 1)
            batch, index, share = micro_batch(batch, index, *which)
        parts = self.module.unflatten(shards.spread(parameters))
        own = {name: shards.spread(value) for name, value in self._own(values or {}).items()}
        hypers = Hypers(own, step, lambda: parts, lambda: index().to(self.task.device))
        seed_everything(
            dropout_seed(self.seed, step, part if part >= 0 else part + 1), self.task.device
        )

        def body(network: Callable[[object], object]) -> T:
            # Not around the batch: a mode costs 3 us per operation. Around backward passes only
            # where they compute parts of the forward pass again.
            with contextlib.ExitStack() as stack:
                if mode is not None:
                    stack.enter_context(mode)
                stack.enter_context(shards.mode())
                loss = self.task.training_loss(network, batch, hypers)
                loss = shards.total(loss * share) if shards.many or share != 1.0 else loss
                if mode is None or not self._recomputes:
                    stack.close()
                else:
                    mode.backwards = True
                return then(loss, parts)

        return self.module.hold(parts, training, body)

    def _gradients(
        self, loss: Tensor, parts: Parts, graph: bool = False
    ) -> tuple[Tensor | None, ...]:
        """Of the loss by each of the parameters, and by those that get none."""
        check_differentiable(loss)
        sources = [*parts.values(), *self.module.idle.values()]
        return grad(loss, sources, create_graph=graph, allow_unused=True)

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

        leaf = parameters.detach().requires_grad_()
        loss, gradient = self.with_loss(leaf, step, values, differentiated, part=first)
        for part in range(first + 1, self.task.accumulate):
            more, slope = self.with_loss(leaf, step, values, differentiated, part=part)
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

    @contextlib.contextmanager
    def isolated(self) -> Iterator[None]:
        """The caller's random state is left alone, attention has second derivatives, and kernels repeat
        themselves bit for bit (:func:`repeatable`)."""
        with repeatable(self.task.device), sdpa_kernel(SDPBackend.MATH):
            yield


def at(values: Values, step: int) -> dict[str, Tensor]:
    """This step's value of each hyperparameter, shape () but for variables."""
    return {name: value[step] for name, value in values.items()}
