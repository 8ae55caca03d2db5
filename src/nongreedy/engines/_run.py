"""One training run as a dynamical system: initial state, step, outer loss, and derivatives."""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import DivergedError
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..task import FlatModule, Hypers, Task
from ..task._data_plan import DROPOUT, INITIAL, ReplayGuard, mix
from ..task._default_generator import default_generator, seed_default
from ..task._double_backward import cheap_double_backward
from ..task._judgement import Judged
from ..task._looks import Look
from ..task._module import build
from ._linearized import Linearized, derivatives, leaves_of

Values = Mapping[str, Tensor]  # of the hyperparameters, by name

# No learning rate has acted yet.
_AT_ONCE = "Look for NaN or infinity in the training data or in the model's initial weights."


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


class Run:
    r"""A task trained by an optimizer for some steps from some seed.

    .. math:: s_0 = \mathrm{init}(\text{seed}), \qquad
              s_{t+1} = U(s_t, \nabla L_t(\theta_t, h_t), h_t), \qquad J = L_\mathrm{val}(\theta_T)

    Args:
        task: Model, loss, data.
        optimizer: The pure update U.
        steps: T, at least 1.
        seed: Decides initialization, order, augmentation and dropout.
        dtype: ``torch.float32`` to train, ``torch.float64`` to check.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        steps: int,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ):
        self.task, self.steps, self.seed, self.dtype = task, steps, seed, dtype
        module = build(task.model, seed).to(task.device, dtype)
        self.module = FlatModule(module, task.constant_buffers)
        shapes = (tuple(shape) for shape in self.module.shapes)
        layout = tuple(zip(self.module.names, shapes, strict=True))
        self.optimizer = optimizer.bound_to(layout, task.device)
        self._guard = ReplayGuard(task.train)
        refuse_clash(task, optimizer)

    @property
    def state_bytes(self) -> int:
        """Size of one state."""
        return self.optimizer.init(self.module.start()).nbytes

    def initial(self, values: Values | None = None) -> Tensor:
        """s_0, shape (slots, P); `values` as in `step`, at step 0."""
        return self.optimizer.init(self.initial_parameters(values or {}).detach())

    def initial_parameters(self, values: Values) -> Tensor:
        """theta_0, shape (P,), with the graph of the hyperparameters that it depends on."""
        start = self.module.start()
        if self.task.initialize is None:
            return start
        drawn = self.module.unflatten(start)
        hypers = Hypers(self._own(values), 0, lambda: drawn)
        with self.isolated():
            seed_default(mix(self.seed, INITIAL, 1), self.task.device)
            return self.module.flatten(self.task.initialized(drawn, hypers))

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

    def _leaves(self, values: Values, learn: Collection[str]) -> dict[str, Tensor]:
        return leaves_of(values, [name for name in learn if name in self.task.learnable])

    def values(self, schedule: Schedule) -> dict[str, Tensor]:
        """Every hyperparameter at every step: name -> shape (T, ...), the run's dtype and device.

        And ``"step"``, the number of each step, from 1: bias corrections depend on it.
        """
        steps = torch.arange(1, self.steps + 1).to(self.task.device, self.dtype)
        return {**schedule.tensors(self.steps, self.task.device, self.dtype), "step": steps}

    def _own(self, values: Values) -> Values:
        """The task's hyperparameters among the values of a step."""
        return {name: values[name] for name in self.task.learnable}

    def training_loss(
        self,
        parameters: Tensor,
        step: int,
        values: Values | None = None,
        mode: AbstractContextManager[object] = contextlib.nullcontext(),  # noqa: B008 - has no state
    ) -> Tensor:
        """Loss of the batch at `step`, shape (), in a mode; the same bits at every call."""
        batch = self.task.plan.batch(self.seed, step, self.task.device, self.dtype)
        self._guard.check(step, batch)
        hypers = Hypers(
            self._own(values or {}),
            step,
            lambda: self.module.unflatten(parameters),
            lambda: self.task.plan.index(self.seed, step).to(self.task.device),
        )
        seed_default(mix(self.seed, DROPOUT, step), self.task.device)
        with mode:  # not around the batch: a mode costs 3 us per operation
            return self.task.training_loss(
                lambda x: self.module(parameters, x, True), batch, hypers
            )

    def gradient(
        self, parameters: Tensor, step: int, values: Values | None = None
    ) -> tuple[float, Tensor]:
        """Training loss and its gradient, shape (P,). The one function that a replay repeats."""
        parameters = parameters.detach().requires_grad_()
        loss = self.training_loss(parameters, step, values)
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError("training loss", step, self.steps, "" if step else _AT_ONCE)
        (gradient,) = torch.autograd.grad(loss, parameters)
        return value, gradient

    def linearize(
        self,
        parameters: Tensor,
        step: int,
        values: Values | None = None,
        learn: Collection[str] = (),
    ) -> Linearized:
        """The gradient with its graph, also of the task's hyperparameters among `learn`."""
        parameters, values = parameters.detach().requires_grad_(), dict(values or {})
        leaves = self._leaves(values, learn)
        loss = self.training_loss(parameters, step, {**values, **leaves}, cheap_double_backward())
        (gradient,) = torch.autograd.grad(loss, parameters, create_graph=True)
        return Linearized(loss, parameters, leaves, gradient)

    def step(self, state: Tensor, values: Values, step: int) -> tuple[Tensor, float]:
        """The next state and the training loss at this one."""
        loss, gradient = self.gradient(state[0], step, values)
        return self.optimizer.advance(state, gradient, values), loss

    def outer_loss(self, parameters: Tensor) -> Outcome:
        """What validation says of these parameters. Dropout off, BatchNorm on batch statistics."""
        return self._outcome(self.task.outer_loss(self._look(parameters)))

    def outer_gradient(
        self, parameters: Tensor, chosen: Tensor | None = None
    ) -> tuple[Outcome, Tensor]:
        """Loss and accuracy, and the gradient of the loss, shape (P,); on all examples or the chosen."""
        look = self._look(parameters, chosen)
        judged = self.task.outer_loss(look, gradient=True, metrics=False)
        outcome = self._outcome(judged)
        assert judged.gradient is not None
        return outcome, judged.gradient

    def _look(self, parameters: Tensor, chosen: Tensor | None = None) -> Look:
        task = self.task
        return Look(
            lambda flat, x: self.module(flat, x, False), task.validation,
            task.evaluation_batch_size, task.device, self.dtype, parameters, chosen,
        )  # fmt: skip

    def _outcome(self, judged: Judged) -> Outcome:
        if not math.isfinite(judged.loss):
            raise DivergedError("validation loss", self.steps, self.steps)
        return Outcome(judged.loss, judged.accuracy, judged.metrics)

    @contextlib.contextmanager
    def isolated(self) -> Iterator[None]:
        """Leave the caller's random state alone; select attention with second derivatives, and kernels
        that repeat themselves bit for bit.

        All are the whole process's, so that threads take turns (:func:`default_generator`).
        """
        device = self.task.device
        with default_generator(device), sdpa_kernel(SDPBackend.MATH), _repeatable(device):
            yield


@contextlib.contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """One path for what is judged, differentiated and computed again, in full precision.

    cuDNN's other kernels give other bits at every call, so that adjoints would be swept through
    gradients that the run never had; TF32 leaves three digits of a convolution's gradient; and the
    fast path of ``nn.TransformerEncoderLayer``, taken where nothing is differentiated, is another
    function than the layer (off by 4e-3 in a hypergradient on CUDA).
    """
    cudnn, attention = torch.backends.cudnn, torch.backends.mha
    wanted = {"deterministic": True, "benchmark": False, "allow_tf32": False}
    before = {name: getattr(cudnn, name) for name in wanted} if device.type == "cuda" else {}
    fast = attention.get_fastpath_enabled()
    try:
        attention.set_fastpath_enabled(False)
        for name in before:
            setattr(cudnn, name, wanted[name])
        yield
    finally:
        attention.set_fastpath_enabled(fast)
        for name, value in before.items():
            setattr(cudnn, name, value)


def refuse_clash(task: Task, optimizer: Optimizer) -> None:
    """Raise ValueError where both have a hyperparameter of one name."""
    clash = sorted({*optimizer.learnable, "step"} & set(task.learnable))
    if clash:
        raise ValueError(
            f"The task and {type(optimizer).__name__} both have a hyperparameter called "
            f"{clash[0]!r}. Rename the task's."
        )


def at(values: Values, step: int) -> dict[str, Tensor]:
    """This step's value of each hyperparameter, shape () but for variables."""
    return {name: value[step] for name, value in values.items()}
