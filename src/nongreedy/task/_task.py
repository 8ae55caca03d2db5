"""A task: what is trained, on what, and what it is judged by."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, check_whole, is_whole, nearest_name
from ..schedules import Basis, Default, Hyperparameter
from ..schedules._hyperparameter import resolve_all
from ._data_plan import DataPlan, Examples, generator
from ._hypers import Hypers, accepting, takes_hypers
from ._judgement import OUTER_BATCH, OuterLoss
from ._loss_calls import checked_loss
from ._metrics import Metric, named_metrics
from ._module import build, gives_out_its_own, to_precision

_OWN = Default(0.0, (-math.inf, math.inf), None, 0.1)  # of a hyperparameter that the user made up


class Task:
    r"""A model, a loss, training and validation data: everything but the optimizer.

    .. math:: L_\mathrm{train}(\theta; \text{batch}_t), \qquad
              J(\theta) = \text{the loss of the whole validation data}

    Args:
        model: A zero-argument callable returning a fresh ``nn.Module`` (called under each run's
            seed), or an ``nn.Module`` (every run starts from its weights).
        loss: ``(output, target) -> scalar``, or ``(output, target, hypers) -> scalar``.
        train: ``(inputs, targets)`` tensors, or a map-style ``Dataset`` of such pairs.
        validation: The same; or a fraction of `train` to hold out, fixed by `split_seed`.
        test: The same, or None. Never used while tuning.
        batch_size: Training examples per step. Equal to the data: one full batch per step.
        augment: ``(inputs, generator) -> inputs`` on training batches, such as
            ``nongreedy.data.RandomCrop()``; a function of its arguments only.
        hyperparameters: Those of the task itself, by name: bases such as ``Windows(4, initial=0.1)``
            or ``Variable(initial=tensor)``, learned, or numbers, fixed. Functions with an argument
            ``hypers`` receive their values (:class:`Hypers`).
        prepare: ``(inputs, targets, hypers) -> (inputs, targets)`` on training batches, after
            `augment`: learned training data, learned strengths of augmentations. It may draw from
            the default generator, which is seeded at each step.
        initialize: ``(parameters, hypers) -> parameters``, dictionaries by name, once per run.
        validation_loss: ``(output, target) -> scalar``; needed where `loss` takes hyperparameters.
        metric: ``(output, target) -> number``, or a mapping from names to such functions: told and kept
            beside the loss, never tuned for. Called once with the outputs and targets of the whole
            set, on the CPU and in its order; scikit-learn's functions take the target first, and
            classes: ``lambda output, target: f1_score(target, output.argmax(1))``.
        evaluation_batch_size: Validation or test examples per forward pass, at most.
        device: Where to train, for example ``"cuda"``.
        constant_buffers: Buffers that the model's forward pass changes and that shall be restored.
        split_seed: Seed of the held-out fraction.
        verify: Whether the first steps are compared with plain ``torch.optim`` training, and
            derivatives with differences, before anything is spent (:class:`Verification`); where it is
            False, results say so.

    Raises:
        DataError: Empty or mismatched data, or a batch larger than the data.
        ReplayError: A data set that returns different items on a second read.
        ValueError: Hyperparameters that no function takes, or a loss with hyperparameters and no
            `validation_loss`.

    Cannot: differentiate what depends on anything but parameters, batch, seed and hyperparameters;
    have hyperparameters in the validation loss.

    The outer loss is what the validation loss says of the outputs for all validation data, whatever the
    batches of `evaluation_batch_size` in which they are computed: sums, class weights, ignored targets
    and ratios are those of the whole set. BatchNorm alone sees batches, with their statistics in
    training and in the outer loss, and these are nearly equal and drawn by a fixed shuffle; so is
    what a loss is averaged over that adds up in no known way and has outputs of more than 2**26
    numbers. Accuracy is told where the loss says what a right answer is, and None elsewhere.

    Source: arXiv:2007.07869, section 3.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> x = torch.randn(64, 4)
        >>> task = Task(lambda: nn.Linear(4, 1), nn.functional.mse_loss, (x, x[:, :1]), 0.25,
        ...             batch_size=16)
        >>> task.steps_per_epoch
        3
    """

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss: Callable[..., Tensor],
        train: Any,
        validation: Any,
        test: Any = None,
        *,
        batch_size: int = 128,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        hyperparameters: Mapping[str, Basis | float] | None = None,
        prepare: Callable[..., tuple[Any, Any]] | None = None,
        initialize: Callable[..., Mapping[str, Tensor]] | None = None,
        validation_loss: Callable[..., Tensor] | None = None,
        metric: Metric | Mapping[str, Metric] | None = None,
        evaluation_batch_size: int = OUTER_BATCH,
        device: str | torch.device = "cpu",
        constant_buffers: Iterable[str] = (),
        split_seed: int = 0,
        verify: bool = True,
    ):
        if not callable(model) or not callable(loss):
            raise TypeError("`model` and `loss` must be callable (an nn.Module is).")
        self.model, self.loss, self.augment = model, loss, augment
        self.device, self.constant_buffers = checked_device(device), tuple(constant_buffers)
        self.train = Examples(train, "train")
        if isinstance(validation, float):
            self.train, self.validation = _split(self.train, validation, split_seed)
        else:
            self.validation = Examples(validation, "validation")
        self.test = None if test is None else Examples(test, "test")
        self.plan = DataPlan(self.train, batch_size, augment)
        self.batch_size = batch_size
        self.learnable = dict(hyperparameters or {})
        self.prepare, self.initialize = prepare, initialize
        self._loss, self._prepare = accepting(loss), accepting(prepare or (lambda x, y: (x, y)))
        self.validation_loss = loss if validation_loss is None else validation_loss
        self.verify, self.verified = verify, dict[str, Any]()  # by what was verified
        self.idle: tuple[str, ...] | None = None  # parameters without gradient; by the first run
        check_whole("evaluation_batch_size", evaluation_batch_size)
        self.evaluation_batch_size, self.metrics = evaluation_batch_size, named_metrics(metric)
        self._outer_loss: OuterLoss | None = None
        self._check_functions()
        self.hyperparameters()

    def network(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A fresh network of a run, on the device; never one that the user holds."""
        module = build(self.model, seed, self._shared)
        return to_precision(module, self.device, dtype)

    @cached_property
    def _shared(self) -> bool:
        return not isinstance(self.model, nn.Module) and gives_out_its_own(self.model)

    def hyperparameters(self, steps: int | None = None) -> dict[str, Hyperparameter]:
        """The task's own hyperparameters with all their fields settled and checked."""
        table = resolve_all(self.learnable, {n: _OWN for n in self.learnable}, steps)
        return {name: replace(hyper, owner="task") for name, hyper in table.items()}

    def training_loss(
        self, network: Callable[[Any], Any], batch: tuple[Any, Any], hypers: Hypers
    ) -> Tensor:
        """Loss of a network on a training batch, shape ()."""
        inputs, targets = self._prepare(*batch, hypers=hypers)
        return checked_loss(self._loss(network(inputs), targets, hypers=hypers))

    def initialized(self, parameters: Mapping[str, Tensor], hypers: Hypers) -> Mapping[str, Tensor]:
        """The first parameters of a run, by name, from those that the model drew."""
        if self.initialize is None:
            return parameters
        return accepting(self.initialize)(parameters, hypers=hypers)

    @property
    def outer_loss(self) -> OuterLoss:
        """What validation and test data say of a network; it remembers what it finds out."""
        kept = self._outer_loss
        if kept is None or kept.loss is not self.validation_loss:
            kept = OuterLoss(self.validation_loss, self.evaluation_batch_size, self.metrics)
            self._outer_loss = kept
        return kept

    def _check_functions(self) -> None:
        functions = {"loss": self.loss, "prepare": self.prepare, "initialize": self.initialize}
        if self.learnable and not any(takes_hypers(f) for f in functions.values()):
            raise ValueError(
                f"The task has hyperparameters {sorted(self.learnable)}, but none of its functions "
                f"({', '.join(functions)}) has an argument `hypers` to receive them."
            )
        if takes_hypers(self.validation_loss):
            raise ValueError(
                "The validation loss takes `hypers`, but training is judged without them. Pass "
                "validation_loss=, a function of (output, target)."
            )
        for name, basis in self.learnable.items():
            if isinstance(basis, Basis) and basis.initial is None:
                raise ValueError(
                    f"{name} has no initial value, and none is known for a task's own "
                    f"hyperparameter: {basis!r}. Pass initial=."
                )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches per pass over the training data."""
        return self.plan.steps_per_epoch

    def steps_for(self, epochs: float | None, steps: int | None) -> int:
        """Settle the length of a run from either `epochs` or `steps`."""
        if (epochs is None) == (steps is None):
            raise ValueError(f"Give either `epochs` or `steps`, but got {epochs=}, {steps=}.")
        total = steps if steps is not None else round(float(epochs or 0) * self.steps_per_epoch)
        if not is_whole(total):
            raise ValueError(f"A run needs at least one whole step, but got {epochs=}, {steps=}.")
        return total


def checked_device(device: str | torch.device) -> torch.device:
    """A device that exists here, or an error that names those that do."""
    found = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    found += ["mps"] if torch.backends.mps.is_available() else []
    kind = str(device).split(":")[0]
    if kind not in found:
        raise ValueError(f"Device {str(device)!r} is not available." + nearest_name(kind, found))
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"Device {str(device)!r} is not available: there are {torch.cuda.device_count()}, from "
            "'cuda:0' on."
        )
    return chosen


def _split(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    held = round(examples.count * fraction)
    if not 0 < held < examples.count:
        raise DataError(
            f"validation={fraction} of {examples.count} examples leaves {held} for validation and "
            f"{examples.count - held} for training. Choose a fraction strictly between 0 and 1."
        )
    order = torch.randperm(examples.count, generator=generator(seed))

    def part(name: str, index: Tensor) -> Examples:
        if examples.is_tensors:
            return Examples(examples.fetch(index), name)
        return Examples(torch.utils.data.Subset(examples.source, index.tolist()), name)

    return part("train", order[held:]), part("validation", order[:held])
