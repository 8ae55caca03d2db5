"""What was learned of a task, in a training loop of the user's own."""

from typing import Any

import torch
from torch import Tensor, nn

from ..schedules import Schedule
from ..task import Hypers, Task
from ..task._module import call, trained_by
from ..task._refusals import unwrapped


class Training:
    """The training loss of a task under a schedule, for ordinary loops.

    Everything that the task has beside its data plan: `prepare`, `forward`, loss and initialization,
    with their hyperparameters. Draws come from the default generator, as dropout's do.

    Args:
        task: As :func:`extend` made it.
        schedule: What a search found; where it lacks a hyperparameter of the task, its initial value
            holds.
        total_steps: Length of the loop.

    Cannot: replay a run of the library: batches and draws are the loop's own.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy, (x, y), 0.25,
        ...                batch_size=16)
        >>> task, optimizer = ng.recipe.extend(task, ng.SGD(0.1), "label_smoothing", steps=20)
        >>> training = Training(task, ng.Schedule.of(learning_rate=0.1), total_steps=20)
        >>> model = torch.nn.Linear(4, 2)
        >>> training.loss(model, x[:8], y[:8], step=0).backward()
    """

    def __init__(self, task: Task, schedule: Schedule, total_steps: int):
        start = Schedule.initial(task.hyperparameters(total_steps)).curves
        own = Schedule({name: schedule.curves.get(name, curve) for name, curve in start.items()})
        self._values = own.tensors(total_steps, task.device, torch.float32)
        self._task = task.at_precision(torch.float32)

    def loss(
        self, model: nn.Module, inputs: Any, targets: Any, step: int, index: Tensor | None = None
    ) -> Tensor:
        """The training loss of a batch, shape ().

        Args:
            model: In training mode; also in ``DistributedDataParallel`` or ``torch.compile``.
            step: From 0; after the last one its values stay.
            index: Which training examples these are, shape (batch,), where those have weights.

        Raises:
            ValueError: Noise before layers that this model does not have, or that its call does not reach;
                weights of examples without `index`.
        """
        hypers = self._at(step, lambda: dict(unwrapped(model).named_parameters()), index)
        return self._task.training_loss(lambda x: call(model, x), (inputs, targets), hypers)

    @torch.no_grad()
    def initialize(self, model: nn.Module) -> None:
        """Change the first parameters of a fresh model in place as the task's `initialize` does."""
        named = trained_by(unwrapped(model))
        drawn = {name: parameter.detach().clone() for name, parameter in named}
        made = self._task.initialized(drawn, self._at(0, lambda: drawn, None))
        for name, parameter in named:
            parameter.copy_(made[name])

    def _at(self, step: int, parameters: Any, index: Tensor | None) -> Hypers:
        values = {name: row[min(step, len(row) - 1)] for name, row in self._values.items()}

        def numbers() -> Tensor:
            if index is None:
                raise ValueError(
                    "Training examples have weights of their own: pass index=, the numbers of those of "
                    "the batch, shape (batch,)."
                )
            return index

        return Hypers(values, step, parameters, numbers)
