"""A network as a pure function of one flat parameter vector."""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from ._data_plan import INITIAL, mix
from ._default_generator import default_generator


def build(model: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    """A fresh network: a copy of the given one, or the callable's result under the run's seed.

    The caller's random state is left as it was.
    """
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    with default_generator():
        torch.manual_seed(mix(seed, INITIAL))
        network = model()
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"`model` returned {type(network).__name__}; it must be an nn.Module or a zero-argument "
            "callable that returns one."
        )
    return network


class FlatModule:
    """A module called with a flat parameter vector of shape (P,) in place of its own parameters.

    BatchNorm uses the statistics of the batch, in training and evaluation mode alike, and keeps no
    running statistics: those would be state outside the flat vector. Any other buffer that changes
    in a forward pass is refused by name.

    Args:
        module: Taken over, not copied.
        constant_buffers: Names of buffers whose changes in a forward pass may be undone.
    """

    def __init__(self, module: nn.Module, constant_buffers: Iterable[str] = ()):
        for part in module.modules():
            if isinstance(part, _NormBase) and part.track_running_stats:
                part.track_running_stats = False
                part.running_mean = part.running_var = part.num_batches_tracked = None
        self.module = module
        trainable = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        if not trainable:
            raise ValueError(
                "The model has no parameter that requires a gradient: nothing to train."
            )
        self.names = [name for name, _ in trainable]
        self.shapes = [p.shape for _, p in trainable]
        self.sizes = [p.numel() for _, p in trainable]
        self._start = torch.cat([p.detach().reshape(-1) for _, p in trainable])
        self._buffers = dict(module.named_buffers())
        self._constant = list(constant_buffers)
        for name in self._constant:
            if name not in self._buffers:
                raise ValueError(f"No buffer is called {name!r}; there are {list(self._buffers)}.")
        self._checked = not self._buffers
        self._recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())

    def start(self) -> Tensor:
        """The module's own parameters, flat, shape (P,)."""
        return self._start.clone()

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of the flat vector by parameter name."""
        parts = flat.split_with_sizes(self.sizes)
        return {n: p.view(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}

    def flatten(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`unflatten`, shape (P,); checks names and shapes."""
        returned = {name: value.shape for name, value in parameters.items()}
        expected = dict(zip(self.names, self.shapes, strict=True))
        if returned != expected:
            raise ValueError(
                "`initialize` must return every parameter that it was given, in its shape. "
                f"Differing: {sorted(dict(returned.items() ^ expected.items()))}."
            )
        parts = [parameters[name].reshape(-1) for name in self.names]
        return torch.cat(parts).to(self._start.device, self._start.dtype)

    def __call__(self, flat: Tensor, inputs: Any, training: bool) -> Any:
        """The output for these parameters."""
        if self.module.training != training:
            self.module.train(training)
        # Copies stand in for the buffers: whatever a forward pass does to them, in place or by
        # assignment, touches neither the module nor what autograd has saved.
        watched = self._constant if self._checked else self._buffers
        copies = {name: self._buffers[name].clone() for name in watched}
        given = {**self.unflatten(flat), **copies}
        with self._kernels(flat.device):
            output = functional_call(self.module, given, *_call_arguments(inputs), tie_weights=True)
        if not self._checked:
            self._check_unchanged(given)
        return output

    def _kernels(self, device: torch.device) -> AbstractContextManager[object]:
        """PyTorch's own recurrent layers: cuDNN's have no second derivative, and keep random state."""
        own = self._recurrent and device.type == "cuda"
        return torch.backends.cudnn.flags(enabled=False) if own else nullcontext()

    def _check_unchanged(self, given: Mapping[str, Tensor]) -> None:
        for name, old in self._buffers.items():
            now = given[name]
            same = now.dtype == old.dtype and torch.equal(old, now)
            if not same and name not in self._constant:
                raise ValueError(
                    f"The model's forward pass changes its buffer {name!r}, which is state outside "
                    "the parameters, so the run could not be differentiated exactly. Remove the "
                    f"update, or pass constant_buffers=({name!r},) to undo it at every step."
                )
        # One look suffices: a buffer that a forward pass changes, it changes at every step.
        self._checked = True


def _call_arguments(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)), None
