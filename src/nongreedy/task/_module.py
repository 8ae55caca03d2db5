"""A network as a pure function of one flat parameter vector."""

import contextlib
import copy
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from ._data_plan import INITIAL, mix
from ._default_generator import default_generator, seed_default
from ._places import Places
from ._raised import as_written

_CPU = torch.device("cpu")
Network = Callable[[Any], Any]  # inputs -> output
T = TypeVar("T")


def build(
    model: nn.Module | Callable[[], nn.Module],
    seed: int,
    shared: bool = False,
    device: torch.device = _CPU,
) -> nn.Module:
    """A fresh network: a copy of the given one, or the callable's result under the run's seed.

    The caller's random state is left as it was.

    Args:
        shared: Whether the callable gives out what it keeps (:func:`gives_out_its_own`): then a copy.
        device: Where the callable may draw, beside the CPU.
    """
    if isinstance(model, nn.Module):
        _refuse_shapeless(model)
        return _copied(model)
    with default_generator(device), as_written():
        seed_default(mix(seed, INITIAL), device)
        network = model()
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"`model` returned {type(network).__name__}; it must be an nn.Module or a zero-argument "
            "callable that returns one."
        )
    _refuse_shapeless(network)
    return _copied(network) if shared else network


def _copied(network: nn.Module) -> nn.Module:
    why = "of scripted ones PyTorch's copies are no leaves"
    try:
        copied = copy.deepcopy(network)
        if all(p.is_leaf for p in copied.parameters()):
            return copied
    except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        why = str(error)
    raise ValueError(
        f"A {type(network).__name__} cannot be copied, and every run trains a copy: {why}. Pass the function "
        "that makes it, such as model=make_model, or leave out what cannot be copied."
    )


def _refuse_shapeless(module: nn.Module) -> None:
    for name, p in itertools.chain(module.named_parameters(), module.named_buffers()):
        if is_lazy(p):
            raise ValueError(
                f"{name!r} of the model has no shape before its first forward pass (a lazy module). Call "
                "the model once with a batch, within the function that makes it."
            )
        if p.is_meta:
            raise ValueError(
                f"{name!r} of the model is on the meta device, where tensors have no numbers. Make the model "
                "on the CPU, or give it numbers: model.to_empty(device=...), then initialize it."
            )


def gives_out_its_own(model: Callable[[], nn.Module]) -> bool:
    """Whether two calls share a tensor, such as a backbone that was loaded once: it must be copied."""
    first, second = build(model, 0), build(model, 0)
    held = {id(x) for x in (*first.parameters(), *first.buffers())}
    return any(id(x) in held for x in (*second.parameters(), *second.buffers()))


def to_precision(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a module; real numbers to the dtype, complex ones to pairs of it.

    Raises:
        ValueError: A parameter of half precision, whose training would not be the user's.
    """
    for name, p in module.named_parameters():
        if p.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"The parameter {name!r} is {p.dtype}, in which training is another one. Use "
                "model.float(), and torch.autocast within the model's forward pass."
            )

    def moved(x: Tensor) -> Tensor:
        if x.is_complex():
            return x.to(device, dtype.to_complex())
        return x.to(device, dtype) if x.is_floating_point() else x.to(device)

    return module._apply(moved)


def frozen_parts(module: nn.Module) -> set[nn.Module]:
    """What the user keeps in evaluation mode while the rest trains, such as BatchNorm in fine-tuning.

    Either it is in that mode beside others that are not, or it stays so when training is asked for.
    The module is left in training mode.
    """
    beside = {part for part in module.modules() if module.training and not part.training}
    module.train()
    frozen = beside | {part for part in module.modules() if not part.training}
    set_training(module, True, frozen)
    return frozen


def set_training(module: nn.Module, training: bool, frozen: Collection[nn.Module]) -> None:
    """Training or evaluation mode, but for what is frozen."""
    module.train(training)
    for part in frozen:
        part.training = False


@contextlib.contextmanager
def constant(module: nn.Module) -> Iterator[None]:
    """Parameters without gradient, to be judged: a model may need autograd itself, as forces do that are
    derivatives of an energy.

    Raises:
        ValueError: A forward pass has moved one that is fixed, as a function of others.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    if any(not p.is_leaf for p in trained):
        name = next(name for name, p in module.named_parameters() if not p.is_leaf)
        raise ValueError(
            f"The forward pass changes {name!r}, which is not trained: state outside the parameters, which "
            "derivatives do not see. Compute it from the parameters at each step, or keep it fixed."
        )
    try:
        for p in trained:
            p.requires_grad_(False)
        yield
    finally:
        for p in trained:
            p.requires_grad_()


def trained_by(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """What training moves, by name; ValueError where there is nothing."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("The model has no parameter that requires a gradient: nothing to train.")
    return named


class FlatModule:
    """A module with a flat parameter vector of shape (P,) in place of its own parameters.

    BatchNorm uses the statistics of the batch, in training and evaluation mode alike, and keeps no
    running statistics: those would be state outside the flat vector. Where the user froze it (evaluation
    mode), it uses those that it has. Any other buffer that changes in a forward pass is refused by name.

    Args:
        module: Taken over, not copied.
        constant_buffers: Names of buffers whose changes in a forward pass may be undone.
        idle: Parameters that get no gradient: like ``torch.optim``, leave them as they are.

    Attributes:
        frozen: What the user keeps in evaluation mode.
        names, shapes, sizes: Of the parameters in the vector; a complex one counts as pairs of reals.
    """

    def __init__(
        self, module: nn.Module, constant_buffers: Iterable[str] = (), idle: Collection[str] = ()
    ):
        self.frozen = frozen_parts(module)
        for part in module.modules():
            kept = part in self.frozen
            if isinstance(part, _NormBase) and part.track_running_stats and not kept:
                part.track_running_stats = False
                part.running_mean = part.running_var = part.num_batches_tracked = None
        self.module = module
        trainable = dict(trained_by(module))
        self.idle = {name: trainable.pop(name) for name in idle}
        if not trainable:
            raise ValueError(
                "The training loss does not depend on any parameter of the model: nothing can be trained. "
                "Look whether it is computed by another copy, such as `self.model` of a trainer, instead "
                "of by the model that it is given."
            )
        self._complex = {name for name, p in trainable.items() if p.is_complex()}
        rows = [_real(p.detach()) for p in trainable.values()]
        self.names = list(trainable)
        self.shapes = [row.shape for row in rows]
        self.sizes = [row.numel() for row in rows]
        self._start = torch.cat([row.reshape(-1) for row in rows])
        for p in trainable.values():
            # Whoever calls the module without a flat vector, such as a forward pass that is computed
            # again too late, shall not get numbers that look right.
            p.detach().fill_(float("nan"))
        self._buffers = dict(module.named_buffers())
        self._constant = list(constant_buffers)
        for name in self._constant:
            if name not in self._buffers:
                raise ValueError(f"No buffer is called {name!r}; there are {list(self._buffers)}.")
        self._checked = not self._buffers
        self._recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
        self._places = Places(module)

    def start(self) -> Tensor:
        """The module's own parameters, flat, shape (P,)."""
        return self._start.clone()

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of the flat vector by parameter name; complex ones are copies."""
        parts = flat.split_with_sizes(self.sizes)
        views = {n: p.view(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}
        for name in self._complex:
            views[name] = torch.complex(*views[name].unbind(-1))
        return views

    def leaves(self, flat: Tensor) -> dict[str, Tensor]:
        """The same, each a leaf: a third of the work where nobody asks for what lies behind them."""
        return {n: part.requires_grad_() for n, part in self.unflatten(flat.detach()).items()}

    def unflatten_real(self, flat: Tensor) -> list[Tensor]:
        """The parts of a vector that belong to each parameter."""
        return list(flat.split_with_sizes(self.sizes))

    def flatten(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`unflatten`, shape (P,); checks names and shapes."""
        rows = {name: _real(value) for name, value in parameters.items()}
        returned = {name: row.shape for name, row in rows.items()}
        expected = dict(zip(self.names, self.shapes, strict=True))
        if returned != expected:
            raise ValueError(
                "`initialize` must return every parameter that it was given, in its shape. "
                f"Differing: {sorted(dict(returned.items() ^ expected.items()))}."
            )
        parts = [rows[name].reshape(-1) for name in self.names]
        return torch.cat(parts).to(self._start.device, self._start.dtype)

    def flat_gradient(self, gradients: Iterable[Tensor]) -> Tensor:
        """Gradients of the parameters in their order, as one vector, shape (P,)."""
        return torch.cat([_real(gradient).reshape(-1) for gradient in gradients])

    def hold(
        self, parameters: Mapping[str, Tensor], training: bool, body: Callable[[Network], T]
    ) -> T:
        """`body` of the network, while the module has these parameters, by name.

        Backward passes belong into `body`, too: they may compute parts of the forward pass again
        (activation checkpointing), and would find the module's own parameters later.
        """
        # Copies stand in for the buffers: whatever a forward pass does to them, in place or by
        # assignment, touches neither the module nor what autograd has saved.
        watched = self._constant if self._checked else self._buffers
        given = {**parameters, **{name: self._buffers[name].clone() for name in watched}}

        def network(inputs: Any) -> Any:
            with self._kernels(self._start.device):
                return call(self.module, inputs)

        with self._places.held(given), self._mode(training):
            result = body(network)
            if not self._checked:
                self._check_unchanged({name: self._places.now(name) for name in given})
        return result

    def __call__(self, flat: Tensor, inputs: Any, training: bool) -> Any:
        """The output for these parameters."""
        return self.hold(self.unflatten(flat), training, lambda network: network(inputs))

    @contextlib.contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """Evaluation begins anew each time: at a change of mode, and of the weights that are there then,
        models fold weights together and forget what they have kept of others."""
        if self.module.training != training:
            set_training(self.module, training, self.frozen)
        try:
            yield
        finally:
            if not training:
                set_training(self.module, True, self.frozen)

    def _kernels(self, device: torch.device) -> AbstractContextManager[object]:
        """PyTorch's own recurrent layers: cuDNN's have no second derivative, and keep random state."""
        own = self._recurrent and device.type == "cuda"
        return torch.backends.cudnn.flags(enabled=False) if own else nullcontext()

    def _check_unchanged(self, given: Mapping[str, Tensor | None]) -> None:
        for name, old in self._buffers.items():
            now = given[name]
            same = now is not None and now.dtype == old.dtype and torch.equal(old, now)
            if not same and name not in self._constant:
                raise ValueError(
                    f"The model's forward pass changes its buffer {name!r}, which is state outside "
                    "the parameters, so the run could not be differentiated exactly. Remove the "
                    f"update; or, where training does not depend on it, pass constant_buffers=({name!r},)"
                    " to undo it at every step."
                )
        # What changes at later steps only, a second computation of the first tells.
        self._checked = True


def _real(x: Tensor) -> Tensor:
    """Complex numbers as pairs, which is what they are to ``torch.optim``, too."""
    return torch.view_as_real(x) if x.is_complex() else x


def call(module: nn.Module, inputs: Any) -> Any:
    """Call with a tensor, a tuple of positional arguments or a mapping of keyword arguments."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, (tuple, list)) else module(inputs)
