"""Training losses of a run's steps, as functions of the flat parameters."""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..schedules import Schedule
from ..task import FlatModule, Hypers, Task
from ..task._choices import refuse_others
from ..task._data_plan import INITIAL, ReplayGuard, mix
from ..task._default_generator import seed_default, seed_everything
from ..task._double_backward import Recording, grad, valued
from ..task._micro_batches import Evenness, averages, dropout_seed, micro_batch
from ..task._refusals import check_differentiable
from ..task._repeatable import repeatable
from ._accumulated import WHOLE, refuse_batch_norm, refuse_indivisible
from ._graph import coarsest
from ._linearized import leaves_of

T = TypeVar("T")
Values = Mapping[str, Tensor]  # of the hyperparameters, by name
Parts = Mapping[str, Tensor]  # the parameters by name, with the graph of the flat vector


class TrainingLoss:
    """The training loss of every step of a run, and where it begins.

    Args:
        task, steps, seed, dtype: As in :class:`Run`.
    """

    def __init__(self, task: Task, steps: int, seed: int, dtype: torch.dtype):
        self.task, self.steps, self.seed, self.dtype = task.at_precision(dtype), steps, seed, dtype
        self._guard, self._recomputes, self._blaming = ReplayGuard(task.train), False, False
        self._read: tuple[int, Any] | None = None  # the last step, and its batch
        self._even = Evenness()
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
        behind: bool = True,
    ) -> T:
        """What `then` makes of the loss of the batch at `step`, while the module has the parameters.

        Args:
            part: Number of the micro-batch whose share of the loss it is.
            behind: Whether the parameters by name have the graph of the flat vector.
        """
        batch, shards, count = self._batch(step), self.task.shards, self.task.accumulate
        batch, index, share = shards.part(batch, lambda: self.task.plan.index(self.seed, step))
        if count > 1:
            which = (part, count) if part > WHOLE else (0, 1)
            batch, index, share = micro_batch(batch, index, *which)
        parts = (self.module.unflatten if behind else self.module.leaves)(shards.spread(parameters))
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
                made = functools.partial(self.task.training_loss, network, batch, hypers)
                loss = (
                    self._of_part(step, batch, share, made) if shards.many or count > 1 else made()
                )
                loss = shards.total(loss * share) if shards.many or share != 1.0 else loss
                if mode is None or not self._recomputes:
                    stack.close()
                else:
                    mode.backwards = True
                return then(loss, parts)

        return self.module.hold(parts, training, body)

    def _of_part(self, step: int, batch: Any, share: float, made: Callable[[], Tensor]) -> Tensor:
        """The loss of a part of a batch, which is refused where all parts' are not that of the batch."""
        loss, averaged = averages(batch, share, made)
        if self.task.shards.many:
            self.task.shards.check_even(step, averaged, loss.device)
        else:
            self._even.check(step, averaged, share, self.task.accumulate)
        return loss

    def _gradients(
        self, loss: Tensor, parts: Parts, graph: bool = False
    ) -> tuple[Tensor | None, ...]:
        """Of the loss by each of the parameters, and by those that get none."""
        check_differentiable(loss)
        sources = [*parts.values(), *self.module.idle.values()]
        return grad(loss, sources, create_graph=graph, allow_unused=True)

    @contextlib.contextmanager
    def isolated(self) -> Iterator[None]:
        """The caller's random state is left alone, attention has second derivatives, and kernels repeat
        themselves bit for bit (:func:`repeatable`)."""
        with repeatable(self.task.device), sdpa_kernel(SDPBackend.MATH):
            yield


def at(values: Values, step: int) -> dict[str, Tensor]:
    """This step's value of each hyperparameter, shape () but for variables."""
    return {name: value[step] for name, value in values.items()}
