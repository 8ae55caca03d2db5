"""Small tasks, and every kind of hyperparameter that a task can have."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import nearest_name
from ..schedules import Basis, Linear, Variable, Windows
from ..task import Hypers, Task
from ._models import built, classes

STEPS = 5  # prime: no number of windows but 1 and 5 divides it
COUNT = 14  # training examples
# Of the first parameters and weights: a tangent each, which forward engines pay for.
GROUPS, WEIGHTS = 4, 6


def drawn(*shape: int, scale: float = 1.0, seed: int = 3) -> Tensor:
    """Normal numbers, the same at every call."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


# Name -> (name of a model -> what is learned). The rows of the table that belong to the task.
HYPERPARAMETERS: dict[str, Callable[[str], Basis]] = {
    "label_smoothing": lambda model: Windows(2, initial=(0.1, 0.3)),
    "example_weights": lambda model: Variable(initial=drawn(COUNT)),
    "group_penalties": lambda model: Variable(initial=drawn(GROUPS) - 3),
    "weight_penalties": lambda model: Variable(initial=drawn(WEIGHTS) - 3),
    "loss_network": lambda model: Variable(initial=drawn(2, 2)),
    "training_images": lambda model: Variable(initial=drawn(2, *built(model)[1])),
    "augmentation_strength": lambda model: Linear(2, initial=(0.1, 0.4)),
    "initial_scales": lambda model: Variable(initial=drawn(GROUPS, scale=0.3)),
}
_OF_DATA = {"training_images", "augmentation_strength"}
_OF_START = {"initial_scales"}


def training_loss(output: Tensor, target: Tensor, hypers: Hypers) -> Tensor:
    """Cross-entropy, changed by those of the table's hyperparameters that the task has."""
    losses = _cross_entropies(output, target, hypers)
    if "loss_network" in hypers:
        first, second = hypers["loss_network"]
        losses = losses + torch.tanh(losses[:, None] * first) @ second
    if "example_weights" in hypers:
        losses = losses * hypers["example_weights"][hypers.index].sigmoid()
    return losses.mean() + sum(_penalties(hypers))


def _cross_entropies(output: Tensor, target: Tensor, hypers: Hypers) -> Tensor:
    if "label_smoothing" not in hypers:
        return functional.cross_entropy(output, target, reduction="none")
    smoothing, count = hypers["label_smoothing"], output.shape[1]
    chances = functional.one_hot(target, count).to(output.dtype)
    return -(((1 - smoothing) * chances + smoothing / count) * output.log_softmax(1)).sum(1)


def _penalties(hypers: Hypers) -> list[Tensor]:
    penalties, weights = [], list(hypers.parameters.values())
    if "group_penalties" in hypers:
        logs = hypers["group_penalties"]
        penalties += [(log.exp() * w.square()).sum() for log, w in zip(logs, weights, strict=False)]
    if "weight_penalties" in hypers:
        logs = hypers["weight_penalties"]
        flat = torch.cat([weight.reshape(-1) for weight in weights])[: len(logs)]
        penalties.append((logs.exp() * flat.square()).sum())
    return penalties


def prepare(inputs: Tensor, targets: Tensor, hypers: Hypers) -> tuple[Tensor, Tensor]:
    """Learned images added to those of a batch, and noise of a learned strength."""
    if "training_images" in hypers:
        images = hypers["training_images"]
        inputs = inputs + images[targets % len(images)]
    if "augmentation_strength" in hypers:
        inputs = inputs + hypers["augmentation_strength"] * torch.randn_like(inputs)
    return inputs, targets


def initialize(parameters: Mapping[str, Tensor], hypers: Hypers) -> dict[str, Tensor]:
    """The first parameters, each times a learned scale of its own."""
    scaled = zip(parameters.items(), hypers["initial_scales"], strict=False)
    return {**parameters, **{name: log.exp() * weight for (name, weight), log in scaled}}


def tiny_task(name: str = "mlp", learn: Iterable[str] = (), **changed: Any) -> Task:
    """14 training examples in batches of 6 (two steps an epoch, two left out), 9 for validation.

    Args:
        name: A model's, in `MODELS` or `EDGE_MODELS`.
        learn: Names in `HYPERPARAMETERS`, which the task then has.
        changed: Arguments of the task that replace these.

    Raises:
        ValueError: No model or hyperparameter of this name.
    """
    make, shape = built(name)
    learned = dict[str, Basis]()
    for row in learn:
        if row not in HYPERPARAMETERS:
            names = nearest_name(row, HYPERPARAMETERS)
            raise ValueError(f"No hyperparameter is called {row!r}.{names}")
        learned[row] = HYPERPARAMETERS[row](name)
    settings: dict[str, Any] = {
        "model": make,
        "loss": functional.cross_entropy,
        "train": classes(COUNT, shape, seed=1),
        "validation": classes(9, shape, seed=2),
        "batch_size": 6,
    }
    if learned:
        settings |= {"hyperparameters": learned, "validation_loss": functional.cross_entropy}
        settings |= {"loss": training_loss} if learned.keys() - _OF_DATA - _OF_START else {}
        settings |= {"prepare": prepare} if learned.keys() & _OF_DATA else {}
        settings |= {"initialize": initialize} if learned.keys() & _OF_START else {}
    return Task(**{**settings, **changed})
