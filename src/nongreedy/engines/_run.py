"""One training run as a dynamical system: initial state, step, outer loss, and derivatives."""

import contextlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import DivergedError
from ..optimizers import Optimizer
from ..optimizers._averaged import bound
from ..task import Task
from ..task._double_backward import valued
from ..task._finite import first_not_finite
from ..task._looks import Look
from ..task._module import constant
from ..task._total import Total
from ._linearized import derivatives
from ._training_gradient import TrainingGradient
from ._training_loss import T
from ._training_loss import Values as Values
from ._training_loss import at as at


@dataclass(frozen=True)
class Outcome:
    """What a finished run is judged by.

    Attributes:
        loss: Of the whole validation data.
        accuracy: Share of right answers, or None where it is not known what those are.
        metrics: The task's own, by name; empty where something was differentiated.
    """

    loss: float
    accuracy: float | None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)


class Run(TrainingGradient):
    r"""A task trained by an optimizer for some steps from some seed.

    .. math:: s_0 = \mathrm{init}(\text{seed}), \qquad
              s_{t+1} = U(s_t, \nabla L_t(\theta_t, h_t), h_t), \qquad J = L_\mathrm{val}(a(s_T))

    with a the optimizer's answer, which is :math:`\theta_T` but for averages of weights.

    Args:
        task: Model, loss, data.
        optimizer: The pure update U.
        steps: T, at least 1.
        seed: Decides initialization, order, augmentation and dropout.
        dtype: ``torch.float32`` to train, ``torch.float64`` to check.

    Raises:
        DataError: By what computes a loss: an example that is not finite, or does not fit the model.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        steps: int,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(task, steps, seed, dtype)
        shapes = (tuple(shape) for shape in self.module.shapes)
        layout = tuple(zip(self.module.names, shapes, strict=True))
        self.optimizer = bound(optimizer, layout, task.device)
        refuse_clash(task, optimizer)

    @property
    def state_bytes(self) -> int:
        """Size of one state."""
        return self.optimizer.init(self.module.start()).nbytes

    def initial(self, values: Values | None = None) -> Tensor:
        """s_0, shape (slots, P); `values` as in `step`, at step 0."""
        return self.optimizer.init(self.initial_parameters(values or {}).detach())

    def pull_back_initial(
        self, adjoint: Tensor, values: Values, learn: Collection[str]
    ) -> dict[str, Tensor]:
        """Adjoints of those of the task's hyperparameters in `learn`, from that of theta_0."""
        own = self._leaves(values, learn)
        if self.task.initialize is None or not own:
            return {}
        start = self.initial_parameters({**values, **own})
        return dict(zip(own, derivatives(start, own.values(), adjoint), strict=True))

    def push_initial(self, values: Values, moved: Values) -> Tensor:
        """Tangents of theta_0, shape (K, P), where the task's hyperparameters have tangents `moved`.

        Args:
            moved: Name -> shape (K, ...).
        """
        own = {name: values[name] for name in moved}

        def start(inputs: Values) -> Tensor:
            return self.initial_parameters({**values, **inputs})

        rows = [dict(zip(moved, row, strict=True)) for row in zip(*moved.values(), strict=True)]
        return torch.stack([torch.func.jvp(start, (own,), (row,))[1] for row in rows])

    def step(self, state: Tensor, values: Values, step: int) -> tuple[Tensor, Tensor]:
        """The next state and the training loss at this one, shape (), which nobody has looked at."""
        loss, gradient = self.unread_gradient(state[0], step, values)
        return self.optimizer.advance(state, gradient, values), loss

    def ended(self, state: Tensor) -> Outcome:
        """What the last state is judged by: the outer loss of its answer."""
        return self.outer_loss(self.optimizer.answer(state))

    def outer_loss(self, parameters: Tensor, chosen: Tensor | None = None) -> Outcome:
        """What all validation examples, or the chosen, say of these parameters.

        Dropout off, BatchNorm on batch statistics. Metrics are of all examples only.
        """
        look = self._look(parameters.detach(), chosen)
        with constant(self.module.module):  # no graph behind parameters that are idle
            judged = self.task.outer_loss(look, metrics=chosen is None)
            return self.outcome(judged.loss, judged.accuracy, judged.metrics)

    def outer_gradient(
        self, parameters: Tensor, chosen: Tensor | None = None
    ) -> tuple[Outcome, Tensor]:
        """The same without metrics, and the gradient of the loss, shape (P,)."""
        total, gradient = self.unread_outer_gradient(parameters, chosen)
        return self.outcome(*total.read()), gradient

    def unread_outer_gradient(
        self, parameters: Tensor, chosen: Tensor | None = None
    ) -> tuple[Total, Tensor]:
        """What `outcome` is of, once it is read, and the gradient."""
        leaf = parameters.detach().requires_grad_()
        total = self.task.outer_loss.unread(self._look(leaf, chosen))
        gradient = total.gradient
        assert gradient is not None
        return total, gradient

    def _look(self, parameters: Tensor, chosen: Tensor | None) -> Look:
        """At validation examples, by these parameters: to be differentiated where they are a leaf."""

        def held(body: Callable[[Callable[[object], object]], T]) -> T:
            return self.module.hold(self.module.unflatten(parameters), False, body)

        task, slope = self.task, parameters.requires_grad
        return Look(
            task.validation, held, task.evaluation_batch_size, task.device, self.dtype,
            valued if slope else contextlib.nullcontext, parameters if slope else None, chosen,
        )  # fmt: skip

    def outcome(
        self, loss: float, accuracy: float | None, metrics: Mapping[str, float] | None = None
    ) -> Outcome:
        """What validation examples say; DivergedError, or by data DataError, where it is not finite."""
        if not math.isfinite(loss):
            self._blame(first_not_finite(self.task.validation), self.outer_loss)
            raise DivergedError("validation loss", self.steps, self.steps)
        return Outcome(loss, accuracy, metrics or {})


def refuse_clash(task: Task, optimizer: Optimizer) -> None:
    """Raise ValueError where both have a hyperparameter of one name."""
    clash = sorted({*optimizer.learnable, "step", "steps"} & set(task.learnable))
    if clash:
        raise ValueError(
            f"The task and {type(optimizer).__name__} both have a hyperparameter called "
            f"{clash[0]!r}. Rename the task's."
        )
