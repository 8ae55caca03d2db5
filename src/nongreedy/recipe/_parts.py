"""What a recipe may add to a task and its optimizer, each by one word."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from ..optimizers import Optimizer, Scaled, ScheduleFreeAdamW, ScheduleFreeSGD, TailAverage
from ..schedules import Basis, Constant, Variable, Windows
from ..task import Hypers
from ..task._loss_calls import EVEN
from ._augmentation import STRENGTHS
from ._facts import Facts, classes_of, is_image_batch, modules_of
from ._losses import AdjustedLoss

_TENSORS = 64  # parameters that have a factor each; of more, modules have
_WEIGHTS = 1_000_000  # of examples: each step adds as many numbers to a sum
_REDUCTIONS = ("mean", "sum", "none")


class Unfit(ValueError):
    """A part that does not apply to the task at hand; says why."""


@dataclass(frozen=True)
class Addition:
    """What a part adds.

    Attributes:
        hyperparameters: Of the task, by name.
        optimizer: In place of the one that there was.
        initialize: ``(parameters, hypers) -> parameters``, after the task's own.
        layers: Weights of the layers before which there is noise, in the order of its strengths.
    """

    hyperparameters: Mapping[str, Basis] = field(default_factory=dict)
    optimizer: Optimizer | None = None
    initialize: Callable[..., Mapping[str, Tensor]] | None = None
    layers: tuple[str, ...] = ()


Part = Callable[[Facts], Addition]


def _refuse(why: str) -> NoReturn:
    raise Unfit(why)


def _check_loss(facts: Facts, entropy: bool) -> None:
    """Raise Unfit unless the loss calls one of PyTorch's that can be taken apart."""
    calls = facts.calls
    if isinstance(facts.task.loss, AdjustedLoss):
        _refuse("its loss is a recipe's already; extend the first task, by all words at once")
    names = ", ".join(call.function.__name__ for call in calls) or "none of them"
    if len(calls) != 1:
        _refuse(f"the loss must call one of PyTorch's losses, but calls {names}")
    call, of = calls[0], calls[0].arguments
    if call.function is not functional.cross_entropy and (entropy or call.function not in EVEN):
        _refuse(f"the loss must call functional.cross_entropy, but calls {names}")
    if of.get("size_average") is not None or of.get("reduce") is not None:
        _refuse("the loss uses size_average= or reduce=; use reduction=")
    if of["reduction"] not in _REDUCTIONS:
        _refuse(f"the loss has reduction={of['reduction']!r}; use 'mean'")
    if call.input.dim() < 2:
        _refuse("the loss must be of a batch")


def label_smoothing(facts: Facts) -> Addition:
    """The share of each label that is spread over all classes; the training loss' alone."""
    _check_loss(facts, entropy=True)
    own = float(facts.calls[0].arguments["label_smoothing"])
    basis = Constant(
        initial=min(own or 0.05, 0.5), bounds=(0.0, 0.5), transform=None, outer_step=0.05
    )
    return Addition({"label_smoothing": basis})


def class_weights(facts: Facts) -> Addition:
    """Factors on the weights of classes, as of ``CrossEntropyLoss(weight=)``: only ratios matter."""
    _check_loss(facts, entropy=True)
    if facts.calls[0].target.is_floating_point():
        _refuse("targets are probabilities, of which PyTorch's mean is not over weights")
    if facts.task.accumulate > 1:
        _refuse("a mean over weights of classes is none over micro-batches (accumulate=)")
    first = torch.ones(classes_of(facts))
    basis = Variable(initial=first, bounds=(0.05, 20.0), transform="log", outer_step=0.1)
    return Addition({"class_weights": basis})


def example_weights(facts: Facts) -> Addition:
    """A weight of at least 0 for each training example, divided by the mean of all."""
    _check_loss(facts, entropy=False)
    count, target = facts.task.train.count, facts.calls[0].target
    if count > _WEIGHTS:
        _refuse(f"there are {count:,} training examples, above {_WEIGHTS:,}")
    if target.dim() == 0 or len(target) != facts.count:
        _refuse(
            f"the loss must be given one target for each of the {facts.count} examples, but "
            f"its target has shape {tuple(target.shape)}"
        )
    basis = Variable(initial=torch.ones(count), bounds=(0.0, 5.0), transform=None, outer_step=0.3)
    return Addition({"example_weights": basis})


def augmentation(facts: Facts) -> Addition:
    """Strengths of augmentations of images; ``mixup`` where the loss can be mixed."""
    if not is_image_batch(facts.inputs):
        got = facts.inputs
        what = f"{got.dtype} of shape {tuple(got.shape)}" if isinstance(got, Tensor) else type(got)
        _refuse(f"inputs must be floating-point images of shape (N, C, H, W), but are {what}")
    targets = facts.targets
    if not isinstance(targets, Tensor) or targets.dim() > 2:
        _refuse("targets must be one row for each image: others would have to move with it")
    names = [name for name in STRENGTHS if name != "mixup" or _mixes(facts)]
    return Addition({name: STRENGTHS[name].basis for name in names})


def _mixes(facts: Facts) -> bool:
    """Whether the one loss that is called has the targets' rows."""
    try:
        _check_loss(facts, entropy=False)
    except Unfit:
        return False
    return len(facts.calls[0].target) == len(facts.inputs)


def noise(facts: Facts) -> Addition:
    """Multiplicative normal noise before every linear layer and convolution, in place of dropout."""
    if not facts.layers:
        _refuse("the model calls no nn.Linear or convolution whose weight is a parameter")
    first = torch.full((len(facts.layers),), 0.1)
    basis = Variable(initial=first, bounds=(0.0, 1.5), transform=None, outer_step=0.08)
    return Addition({"noise": basis}, layers=tuple(facts.layers))


def initial_scales(facts: Facts) -> Addition:
    """A factor on the first values of every weight of two or more dimensions."""
    names = [name for name, shape in facts.layout if len(shape) > 1]
    if not names:
        _refuse("the model has no weights of two or more dimensions")
    first = torch.ones(len(names))
    basis = Variable(initial=first, bounds=(0.05, 20.0), transform="log", outer_step=0.1)

    def scaled(parameters: Mapping[str, Tensor], hypers: Hypers) -> dict[str, Tensor]:
        rows = zip(names, hypers["initial_scales"], strict=True)
        return {**parameters, **{name: scale * parameters[name] for name, scale in rows}}

    return Addition({"initial_scales": basis}, initialize=scaled)


def groups(facts: Facts) -> Addition:
    """Factors on learning rate and weight decay: of every parameter, or of modules where there are many."""
    optimizer = facts.optimizer
    settings = [n for n in ("learning_rate", "weight_decay") if _acts(optimizer, n)]
    if not settings:
        _refuse(f"{type(optimizer).__name__} has neither learning rate nor weight decay")
    patterns = [name for name, _ in facts.layout]
    if len(patterns) > _TENSORS:
        # The deeper first: the first pattern that fits a parameter has it.
        paths = sorted(modules_of(facts.layout), key=lambda path: -path.count(".") - bool(path))
        patterns = [f"{path}.*" if path else "*" for path in paths]
    rows = {_literal(pattern): {name: Constant() for name in settings} for pattern in patterns}
    try:
        return Addition(optimizer=Scaled(optimizer, rows))
    except ValueError as error:
        raise Unfit(str(error)) from error


def _literal(pattern: str) -> str:
    """A name as a pattern of the shell's: brackets mean themselves."""
    return pattern.replace("[", "[[]")


def _acts(optimizer: Optimizer, name: str) -> bool:
    value = optimizer.given().get(name)
    return isinstance(value, Basis) or bool(value)


def _setting(facts: Facts, name: str, basis: Callable[..., Basis]) -> Addition:
    """A setting of the optimizer, learned where it is a number, from that number on."""
    optimizer = facts.optimizer
    if name not in optimizer.given():
        _refuse(f"{type(optimizer).__name__} has no {name}")
    value = optimizer.given()[name]
    if isinstance(value, Basis):
        return Addition()
    fields = {row for row in getattr(optimizer, "__dataclass_fields__", {})}
    if name not in fields:
        _refuse(f"{name} is a setting of what {type(optimizer).__name__} goes around")
    row = optimizer.learnable[name]
    inside = row.bounds[0] <= value <= row.bounds[1]
    changed: dict[str, Any] = {name: basis(initial=value if inside else row.initial)}
    return Addition(optimizer=replace(optimizer, **changed))


def averaging(facts: Facts) -> Addition:
    """The share of the run over whose end weights are averaged."""
    own = facts.optimizer.average
    if own is not None or isinstance(facts.optimizer, (ScheduleFreeSGD, ScheduleFreeAdamW)):
        _refuse(f"{facts.optimizer} averages already")
    try:
        return Addition(optimizer=replace(facts.optimizer, average=TailAverage(Constant())))
    except ValueError as error:
        raise Unfit(str(error)) from error


# Word -> what it adds. Those of the optimizer first: factors go around it.
PARTS: dict[str, Part] = {
    "schedule": lambda facts: _setting(facts, "learning_rate", functools.partial(Windows, 7)),
    "momentum": lambda facts: _setting(facts, "momentum", Constant),
    "weight_decay": lambda facts: _setting(facts, "weight_decay", Constant),
    "averaging": averaging,
    "groups": groups,
    "label_smoothing": label_smoothing,
    "class_weights": class_weights,
    "augmentation": augmentation,
    "noise": noise,
    "initial_scales": initial_scales,
    "example_weights": example_weights,
}
# Weights of examples and classes follow labels that are wrong or rare, and else noise; averages are tried by
# the default rule itself.
BY_NAME_ONLY = ("example_weights", "class_weights", "averaging")
