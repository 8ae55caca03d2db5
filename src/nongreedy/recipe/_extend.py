"""A task and its optimizer, with many hyperparameters more."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..errors import nearest_name
from ..optimizers import Optimizer
from ..optimizers._mistakes import checked_optimizer
from ..schedules import Basis
from ..task import Hypers, Task
from ..task._hypers import accepting
from ..task._task import checked_task
from ._augmentation import STRENGTHS, Augmentation
from ._facts import Facts, facts_of
from ._losses import AdjustedLoss, Mixed
from ._noise import noisy
from ._parts import BY_NAME_ONLY, PARTS, Addition, Unfit

RECIPE = "recipe"
_OF_LOSS = ("label_smoothing", "class_weights", "example_weights")


@dataclass(frozen=True)
class Extended:
    """A task and an optimizer with more hyperparameters; unpacks as these two.

    Attributes:
        parts: Words of what was added.
        left_out: Word -> why it does not apply here.
    """

    task: Task
    optimizer: Optimizer
    parts: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.task, self.optimizer))

    def __str__(self) -> str:
        lines = [f"learned: {', '.join(self.parts)}"]
        lines += [f"left out: {word}, because {why}" for word, why in self.left_out.items()]
        return "\n".join(lines)


def extend(
    task: Task,
    optimizer: Optimizer,
    learn: str | Iterable[str] = RECIPE,
    *,
    steps: int = 1000,
) -> Extended:
    """Add hyperparameters, all of them differentiable, to what is trained and how.

    ``"recipe"`` is all that applies but weights of examples and classes; words in :data:`PARTS` add one part
    each. All begin where they change little. The task's own functions stay: its `augment` and `prepare`
    come before the recipe's augmentation, its `initialize` before the recipe's scales, and the
    validation loss remains as it is. The model is not touched.

    Args:
        task: Looked at on its first batch, at the price of two gradients.
        optimizer: Its numbers become schedules where ``schedule``, ``momentum`` or ``weight_decay`` are
            asked for.
        learn: ``"recipe"``, a word, or several.
        steps: Length of the runs.

    Returns:
        The two, to be unpacked, with what was added and what was left out, and why.

    Raises:
        ValueError: An unknown word, or one whose part does not apply, with the reason.
        TypeError: What are no words.

    Cannot: see what a loss or a model computes without calling PyTorch's losses and layers.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 1, 8, 8); y = (x.mean((1, 2, 3)) > 0).long()
        >>> model = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> task = ng.Task(model, torch.nn.functional.cross_entropy, (x, y), 0.25, batch_size=16)
        >>> task, optimizer = extend(task, ng.SGD(0.1), ["label_smoothing", "noise"], steps=20)
        >>> list(ng.Problem(task, optimizer, 20).learned)
        ['label_smoothing', 'noise']
    """
    checked_task(task)
    checked_optimizer(optimizer, Optimizer)
    if not isinstance(learn, Iterable) or not all(isinstance(word, str) for word in learn):
        raise TypeError(f"`learn` must be {RECIPE!r}, a word or several words, but got {learn!r}.")
    words = [learn] if isinstance(learn, str) else list(learn)
    asked = [word for word in PARTS if word in words]
    for word in words:
        if word != RECIPE and word not in PARTS:
            raise ValueError(
                f"learn={word!r} is no part of a recipe." + nearest_name(word, [RECIPE, *PARTS])
            )
    chosen = [w for w in PARTS if w in asked or (RECIPE in words and w not in BY_NAME_ONLY)]
    facts = facts_of(task, optimizer, steps)
    added, left_out = dict[str, Addition](), dict[str, str]()
    for word in chosen:
        try:
            added[word] = _checked(PARTS[word](facts), facts, added)
        except Unfit as error:
            if word in asked:
                raise ValueError(f"learn={word!r} does not apply here: {error}.") from error
            left_out[word] = str(error)
        else:
            facts.optimizer = added[word].optimizer or facts.optimizer
    extended = _composed(task, list(added.values()))
    return Extended(extended, facts.optimizer, tuple(added), left_out)


def _checked(addition: Addition, facts: Facts, added: Mapping[str, Addition]) -> Addition:
    for name in addition.hyperparameters:
        if name in facts.task.learnable or name in facts.optimizer.learnable:
            raise Unfit(f"there is a hyperparameter called {name!r} already")
    return addition


def _composed(task: Task, additions: Iterable[Addition]) -> Task:
    """The task with its own functions, then those of the additions."""
    additions, own = list(additions), dict[str, Basis]()
    for addition in additions:
        own |= addition.hyperparameters
    if not own:
        return task
    strengths = [name for name in own if name in STRENGTHS]
    layers = next((addition.layers for addition in additions if addition.layers), ())
    scales = [a.initialize for a in additions if a.initialize is not None]
    of_loss = [name for name in _OF_LOSS if name in own]
    before = accepting(task.prepare or (lambda x, y: (x, y)))
    through = accepting(task.forward or (lambda network, inputs: network(inputs)))

    def prepare(inputs: Any, targets: Any, hypers: Hypers) -> tuple[Any, Any]:
        inputs, targets = before(inputs, targets, hypers=hypers)
        augment = Augmentation({name: hypers[name] for name in strengths})
        images = augment(inputs)
        if "mixup" not in strengths:
            return images, targets
        images, partner, share = augment.mix(images)
        return images, Mixed(targets, partner, share)

    def forward(network: Any, inputs: Any, hypers: Hypers) -> Any:
        each = dict(zip(layers, hypers["noise"], strict=True))

        def noised(x: Any) -> Any:
            return noisy(network, x, hypers.parameters, each)

        return through(noised, inputs, hypers=hypers)

    def initialize(parameters: Mapping[str, Tensor], hypers: Hypers) -> Mapping[str, Tensor]:
        parameters = task.initialized(parameters, hypers)
        for scale in scales:
            parameters = scale(parameters, hypers)
        return parameters

    adjusted = of_loss or "mixup" in strengths
    return task.training_by(
        {**task.learnable, **own},
        AdjustedLoss(task.loss, of_loss) if adjusted else task.loss,
        prepare=prepare if strengths else task.prepare,
        forward=forward if layers else task.forward,
        initialize=initialize if scales else task.initialize,
    )
