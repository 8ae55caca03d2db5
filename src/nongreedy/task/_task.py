"""A task: what is trained, on what, and what it is judged by."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import check_whole, is_whole
from ..schedules import Basis, Default, GradientFree, Hyperparameter
from ..schedules._hyperparameter import resolve_all
from ._advice import Case, advising
from ._choices import (
    BATCH_SIZE,
    checked_table,
    choices_of,
    default_of,
    moved,
    receiving,
    settled_batch_size,
)  # fmt: skip
from ._data_plan import DataPlan
from ._device import checked_device
from ._examples import Examples
from ._first_look import check_classes, refusing, warn_of
from ._functions import check_functions, check_judge, check_model, check_received
from ._hypers import Hypers, accepting
from ._judgement import OUTER_BATCH, OuterLoss
from ._loader import Loading, judged, taken_apart
from ._loss_calls import checked_loss
from ._metrics import Metric, named_metrics
from ._module import build, gives_out_its_own, to_precision
from ._order import Order
from ._own_loss import OwnLoss, with_labels
from ._refusals import placed, plain, unwrapped
from ._roads import Roads
from ._shards import Shards

_OWN = Default(0.0, (-math.inf, math.inf), None, 0.1)  # of a hyperparameter that the user made up


class Task(Roads):
    r"""A model, a loss, training and validation data: everything but the optimizer.

    .. math:: L_\mathrm{train}(\theta; \text{batch}_t), \qquad
              J(\theta) = \text{the loss of the whole validation data}

    Args:
        model: A zero-argument callable returning a fresh ``nn.Module`` (called under each run's
            seed), or an ``nn.Module`` (every run starts from its weights). Of ``DataParallel``,
            ``DistributedDataParallel`` and ``torch.compile`` the network within is used.
        loss: ``(output, target) -> scalar``, or ``(output, target, hypers) -> scalar``. Of a module a
            copy is moved to the run's device and precision, with its class weights. None is what the
            model computes itself, as Hugging Face's do: it is called by name, with ``labels`` too, and
            its output's ``loss`` is taken.
        train: ``(inputs, targets)`` tensors, or a map-style ``Dataset`` of such pairs, or a
            ``DataLoader``, which is taken apart. Inputs may be nests of tensors: the model is called
            with tuples as positional arguments, with dictionaries by name. Of a dictionary, of a data
            set's items or of all data, ``labels``, ``label``, ``targets`` or ``target`` is the target;
            of a longer tuple the last.
        validation: The same; or a fraction of `train` to hold out, fixed by `split_seed`.
        test: The same, or None. Never used while tuning.
        batch_size: Training examples per step; None is the loader's, or 128; a :class:`GradientFree` is
            searched. Equal to the data: one
            full batch per step. What is left of an epoch is dropped.
        accumulate: Micro-batches that each batch is computed in, one after the other, so that a step and
            its derivative hold one of them: its gradient is their mean, weighted by their sizes. A loss
            that is no mean over examples and layers that mix them, such as BatchNorm, are refused.
        augment: ``(inputs, generator) -> inputs`` on training batches, such as
            ``nongreedy.data.RandomCrop()``. It may also draw from the default generators of PyTorch,
            Python and NumPy, as a data set's own transforms may: all are seeded at each step, and by
            one seed for data that judge, whose random transforms are one fixed draw.
        sampler: Weights by which training examples are drawn, with replacement, shape (N,); or torch's
            ``WeightedRandomSampler``, ``RandomSampler`` or ``SequentialSampler``, of which the order
            is drawn from the run's seed. None is a permutation in each epoch.
        collate_fn: ``(items) -> batch``, as of a ``DataLoader``, for all data sets that have none.
        num_workers: Processes that read a slow training data set ahead, None being the loader's or 0. Up
            to 1 GiB of batches, and as much of data that judge, are then kept, so that a sweep need
            not read them again.
        hyperparameters: Those of the task itself, by name: bases such as ``Windows(4, initial=0.1)``
            or ``Variable(initial=tensor)``, learned, or numbers, fixed. Functions with an argument
            ``hypers`` receive their values (:class:`Hypers`).
        prepare: ``(inputs, targets, hypers) -> (inputs, targets)`` on training batches, after
            `augment`: learned training data, learned strengths of augmentations. It may draw from
            the default generator, which is seeded at each step.
        forward: ``(network, inputs, hypers) -> output`` in place of ``network(inputs)`` on training
            batches: learned noise within the network. It may draw from the default generator.
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
        ReplayError: A data set that returns different items on a second read, although every
            default generator was seeded.
        ValueError: Hyperparameters that no function takes, or a loss with hyperparameters and no
            `validation_loss`.

    Cannot: differentiate what depends on anything but parameters, batch, seed and hyperparameters;
    have hyperparameters in the validation loss.

    The outer loss is what the validation loss says of the outputs for all validation data, whatever the
    batches of `evaluation_batch_size` in which they are computed. BatchNorm alone sees a batch, and a
    loss that adds up in no known way is averaged over them where all outputs are more than 2**26
    numbers: batches are nearly equal and drawn by a fixed shuffle. Accuracy is told where the loss says
    what a right answer is, and is None elsewhere.

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
        loss: Callable[..., Tensor] | None,
        train: Any,
        validation: Any,
        test: Any = None,
        *,
        batch_size: int | GradientFree | None = None,
        accumulate: int = 1,
        augment: Callable[..., Tensor] | None = None,
        hyperparameters: Mapping[str, Basis | float] | None = None,
        prepare: Callable[..., tuple[Any, Any]] | None = None,
        forward: Callable[..., Any] | None = None,
        initialize: Callable[..., Mapping[str, Tensor]] | None = None,
        validation_loss: Callable[..., Tensor] | None = None,
        metric: Metric | Mapping[str, Metric] | None = None,
        evaluation_batch_size: int = OUTER_BATCH,
        device: str | torch.device = "cpu",
        constant_buffers: Iterable[str] = (),
        split_seed: int = 0,
        verify: bool = True,
        sampler: Any = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int | None = None,
    ):
        table = checked_table(hyperparameters)
        check_model(model, table)
        own, loss = loss is None, OwnLoss() if loss is None else loss
        model = unwrapped(model) if isinstance(model, nn.Module) else model
        others = {"augment": augment, "validation_loss": validation_loss, "collate_fn": collate_fn}
        check_functions(others, table)
        self.model = self._made_by = model
        self.augment = augment
        self.device, self.constant_buffers = checked_device(device), tuple(constant_buffers)

        def examples(loading: Loading, name: str) -> Examples:
            loading = replace(loading, collate=loading.collate or collate_fn)
            loading = with_labels(loading, name) if own else loading
            return Examples(loading.data, name, loading.collate, self.device)

        loading = taken_apart(train, "train")
        self.train = examples(loading, "train")
        order = Order.of(loading.sampler if sampler is None else sampler, self.train.count)
        if isinstance(validation, float):
            kept, held = self.train.split(validation, split_seed)
            self.validation = self.train.part(held, "validation")
            self.train, order = self.train.part(kept, "train"), order.part(kept)
        else:
            self.validation = examples(judged(validation, "validation"), "validation")
        warn_of(self.train, self.validation)
        self.test = None if test is None else examples(judged(test, "test"), "test")
        size = settled_batch_size(batch_size, table)
        self.batch_size = (loading.batch_size or 128) if size is None else size
        workers = loading.workers if num_workers is None else num_workers
        self.plan = DataPlan(self.train, self.batch_size, augment, order, workers)
        check_whole("accumulate", accumulate)
        self.accumulate = accumulate
        self._check_parts()
        # A user's own augmentation may know tensors on the CPU alone.
        if augment is None or type(augment).__module__.startswith("nongreedy."):
            self.train.settle(self.device)
        self.validation.settle(self.device)
        for judges in (self.validation, self.test):
            if workers and judges is not None and not judges.is_tensors:
                judges.keep()
        self.validation_loss = loss if validation_loss is None else validation_loss
        self.verify = verify
        check_whole("evaluation_batch_size", evaluation_batch_size)
        self.evaluation_batch_size, self.metrics = evaluation_batch_size, named_metrics(metric)
        for each in self.metrics.values():
            check_functions({"metric": each}, ())
        self._outer_loss: OuterLoss | None = None
        self._train_by(table, loss, prepare, forward, initialize)
        if BATCH_SIZE in self.choices:  # whose bounds must fit the data
            for size in self.choices[BATCH_SIZE].bounds:
                self.with_values(batch_size=size)

    def _train_by(
        self,
        hyperparameters: Mapping[str, Basis | float],
        loss: Callable[..., Tensor],
        prepare: Callable[..., tuple[Any, Any]] | None,
        forward: Callable[..., Any] | None,
        initialize: Callable[..., Mapping[str, Tensor]] | None,
    ) -> None:
        """Settle what decides the training loss and the first weights beside model and data."""
        self.learnable, self.loss = dict(hyperparameters), loss
        self.prepare, self.forward, self.initialize = prepare, forward, initialize
        functions = {"loss": loss, "prepare": prepare, "forward": forward, "initialize": initialize}
        check_functions(functions, ())
        self._loss, self._prepare = accepting(loss), accepting(prepare or (lambda x, y: (x, y)))
        self._forward = accepting(forward or (lambda network, inputs: network(inputs)))
        self.verified = dict[str, Any]()  # by what was verified
        self.shards = Shards()
        self._looked = False  # at a first batch
        self.idle: tuple[str, ...] | None = None  # parameters without gradient; by the first run
        check_received(self.learnable, functions, (self._made_by, self.augment))
        check_judge(self.validation_loss)
        self.hyperparameters()
        if self.choices:
            self._make_anew()

    @property
    def choices(self) -> dict[str, GradientFree]:
        """What no gradient reaches, by name, each at the value that it has now."""
        return choices_of(self.learnable)

    def with_values(self, **values: float) -> "Task":
        """The same task at other values of what no gradient reaches (:class:`GradientFree`).

        Raises:
            ValueError: A name that is none of these, or a value outside its bounds.
            DataError: A batch larger than the data.
        """
        task = copy.copy(self)
        task.learnable, task.verified = moved(self.learnable, values), {}
        task._looked, task.idle = False, None
        task._make_anew()
        return task

    def searching(self, **choices: GradientFree) -> "Task":
        """The same task with something more that no gradient reaches."""
        task = copy.copy(self)
        task.learnable = {**self.learnable, **choices}
        return task

    def _make_anew(self) -> None:
        """What depends on values that no gradient reaches."""
        choices, plan = self.choices, self.plan
        self.model = receiving(self._made_by, choices)
        self.__dict__.pop("_shared", None)
        if BATCH_SIZE in choices:
            self.batch_size = int(choices[BATCH_SIZE].value)
            self._check_parts()
        augment = None if self.augment is None else receiving(self.augment, choices)
        self.plan = DataPlan(self.train, self.batch_size, augment, plan.order, plan.workers)

    def _check_parts(self) -> None:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate={self.accumulate} is more than the {self.batch_size} examples of a batch. Use "
                "at most as many."
            )

    def training_by(
        self,
        hyperparameters: Mapping[str, Basis | float],
        loss: Callable[..., Tensor],
        *,
        prepare: Callable[..., tuple[Any, Any]] | None = None,
        forward: Callable[..., Any] | None = None,
        initialize: Callable[..., Mapping[str, Tensor]] | None = None,
    ) -> "Task":
        """The same model and data, judged as before, with other functions of training."""
        task = copy.copy(self)
        task._train_by(hyperparameters, loss, prepare, forward, initialize)
        return task

    def network(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A fresh network of a run, on the device; never one that the user holds."""
        module = plain(build(self.model, seed, self._shared, self.device))
        return to_precision(module, self.device, dtype)

    def at_precision(self, dtype: torch.dtype) -> "Task":
        """The same with losses whose own tensors, such as class weights, are of this dtype, where the
        run is; the user's losses stay as they are."""
        loss, judge = (
            placed(given, self.device, dtype) for given in (self.loss, self.validation_loss)
        )
        if loss is self.loss and judge is self.validation_loss:
            return self
        task = copy.copy(self)
        task.loss, task.validation_loss, task._loss = loss, judge, accepting(loss)
        return task

    @cached_property
    def _shared(self) -> bool:
        return not isinstance(self.model, nn.Module) and gives_out_its_own(self.model)

    def hyperparameters(self, steps: int | None = None) -> dict[str, Hyperparameter]:
        """The task's own hyperparameters with all their fields settled and checked."""
        defaults = {name: default_of(basis, _OWN) for name, basis in self.learnable.items()}
        table = resolve_all(self.learnable, defaults, steps)
        return {name: replace(hyper, owner="task") for name, hyper in table.items()}

    def training_loss(
        self, network: Callable[[Any], Any], batch: tuple[Any, Any], hypers: Hypers
    ) -> Tensor:
        """Loss of a network on a training batch, shape ()."""
        inputs, targets = self._prepare(*batch, hypers=hypers)
        with advising(Case(self.train, inputs, targets, hypers=hypers)) as case:
            case.output = self._forward(network, inputs, hypers=hypers)
            if self._looked:
                return checked_loss(self._loss(case.output, targets, hypers=hypers))
            judged = [self.validation] if self.validation_loss is self.loss else []
            check_classes(self.loss, case.output, [self.train, *judged], case)
            with refusing(case.output, targets, case):
                loss = checked_loss(self._loss(case.output, targets, hypers=hypers))
        self._looked = True
        return loss

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

    @property
    def name(self) -> str:
        """Of its model, with the number of examples: what titles call it."""
        made = self.model
        while isinstance(made, partial):
            made = made.func
        of = type(made) if isinstance(made, nn.Module) else made
        called = getattr(of, "__name__", type(of).__name__)
        model = "a model" if called.startswith("<") else called
        return f"{model} on {self.train.count} examples"

    def __repr__(self) -> str:
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        test = "" if self.test is None else f", {self.test.count} for tests"
        return (
            f"Task({self.name}, {self.validation.count} for validation{test}; loss {loss}, batches of "
            f"{self.batch_size}, {self.device})"
        )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches per pass over the training data."""
        return self.plan.steps_per_epoch

    def steps_for(self, epochs: float | None, steps: int | None) -> int:
        """Settle the length of a run from either `epochs` or `steps`."""
        if (epochs is None) == (steps is None):
            raise ValueError(f"Give either `epochs` or `steps`, but got {epochs=}, {steps=}.")
        if epochs is not None and not (isinstance(epochs, Real) and math.isfinite(epochs)):
            raise ValueError(f"`epochs` must be a finite number, but got {epochs!r}.")
        total = steps if steps is not None else round(float(epochs or 0) * self.steps_per_epoch)
        if not is_whole(total):
            if steps is not None:
                check_whole("steps", steps, advice=" A run needs at least one step.")
            raise ValueError(
                f"A run needs at least one whole step, but got {epochs=} of {self.steps_per_epoch}."
            )
        return total


def checked_task(task: Any) -> Task:
    """A task, or a TypeError that says how one is made."""
    if isinstance(task, Task):
        return task
    got = repr(task) if isinstance(task, str) else type(task).__name__
    how = "ng.Task(model, loss, train, validation)"
    if isinstance(task, str):
        how += ", with data such as nongreedy.data.load has them"
    raise TypeError(f"`task` must be a task, but got {got}. Make one: {how}.")
