"""What a recipe must know of a task: looked up once, on its first batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..engines import Run
from ..optimizers import Layout, Optimizer
from ..schedules import Schedule
from ..task import Hypers, Task
from ..task._hypers import accepting
from ..task._loss_calls import Call, watched
from ._noise import Layers


@dataclass
class Facts:
    """A task and its optimizer, and what was seen at the first batch.

    Attributes:
        inputs, targets: As the network and the loss get them, after the task's own functions.
        count: How many examples those are.
        calls: Those of PyTorch's losses that the loss called.
        layers: Weights of the layers that the forward pass calls, in its order, by name.
        layout: Names and shapes of the parameters that are trained.
    """

    task: Task
    optimizer: Optimizer
    steps: int
    inputs: Any = None
    targets: Any = None
    count: int = 0
    calls: list[Call] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    layout: Layout = ()


def facts_of(task: Task, optimizer: Optimizer, steps: int) -> Facts:
    """Look at the first batch of a run, at the price of two gradients."""
    facts = Facts(task, optimizer, steps)
    run = Run(_watched(facts), optimizer, steps)
    values = run.values(Schedule.initial(run.task.hyperparameters(steps)))
    with run.isolated():
        run.gradient(run.initial(_first(values))[0], 0, _first(values))
    names, shapes = run.module.names, run.module.shapes
    facts.layout = tuple((n, tuple(s)) for n, s in zip(names, shapes, strict=True))
    return facts


def _first(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value[0] for name, value in values.items()}


def _watched(facts: Facts) -> Task:
    """The same task, of which each step notes what it does."""
    task = facts.task.at_precision(torch.float32)
    forward = accepting(task.forward or (lambda network, inputs: network(inputs)))

    def note(name: str, inputs: Tensor, own: Any) -> Tensor:
        if name not in facts.layers:
            facts.layers.append(name)
        return inputs

    def seen(network: Any, inputs: Any, hypers: Hypers) -> Any:
        facts.inputs, facts.layers = inputs, []
        with Layers(hypers.parameters, note):
            return forward(network, inputs, hypers=hypers)

    def judged(output: Any, targets: Any, hypers: Hypers) -> Tensor:
        facts.targets, facts.count = targets, len(hypers.index)
        value, facts.calls = watched(lambda: accepting(task.loss)(output, targets, hypers=hypers))
        return value

    return task.training_by(
        task.learnable, judged, prepare=task.prepare, forward=seen, initialize=task.initialize
    )


def classes_of(facts: Facts) -> int:
    """How many there are, where the loss is a cross-entropy."""
    return facts.calls[0].input.shape[1]


def modules_of(layout: Layout) -> dict[str, list[str]]:
    """Path of a module -> the parameters that are its own."""
    found = dict[str, list[str]]()
    for name, _ in layout:
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def is_image_batch(inputs: Any) -> bool:
    """Whether this is one tensor of images."""
    return isinstance(inputs, Tensor) and inputs.dim() == 4 and inputs.is_floating_point()
