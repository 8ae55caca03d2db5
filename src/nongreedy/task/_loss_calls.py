"""Which of PyTorch's own losses a function calls: what they average over, and what answers mean."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

CLASSES, LOGIT, PROBABILITY, OTHER = "classes", "logit", "probability", "other"
# How losses of slices add up to that of the set: as they are, by numbers of examples, or by the weights
# of their targets.
SUM, SHARES, WEIGHTS, SHIFTED = "sum", "shares", "weights", "shifted"


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Their sum by the sum of the weights, which whoever watches PyTorch's losses sees."""
    if has_torch_function((losses,)):
        return handle_torch_function(weighted_mean, (losses,), losses, weights)
    return losses.sum() / weights.sum()


# What the input of each loss says: scores of classes, one logit, one probability, or nothing that
# has right answers. Those of PyTorch that are not named here are of the last kind, too.
_MEANINGS: dict[Any, str] = {
    getattr(functional, name): OTHER
    for name in dir(functional)
    if name.endswith(("_loss", "_entropy", "kl_div"))
} | {
    functional.cross_entropy: CLASSES,
    functional.nll_loss: CLASSES,
    functional.multi_margin_loss: CLASSES,
    functional.binary_cross_entropy_with_logits: LOGIT,
    functional.binary_cross_entropy: PROBABILITY,
    weighted_mean: OTHER,
}
# Means over the targets' weights; and over elements, of which every example has as many.
_WEIGHTED = {functional.cross_entropy, functional.nll_loss}
EVEN = {
    functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits,
    functional.huber_loss, functional.kl_div, functional.l1_loss, functional.mse_loss,
    functional.poisson_nll_loss, functional.smooth_l1_loss, functional.soft_margin_loss,
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call of one of PyTorch's losses, its arguments by name, defaults filled in; `result` is None
    of one that is not made."""

    function: Callable[..., Tensor]
    arguments: Mapping[str, Any]
    result: Tensor | None

    @property
    def meaning(self) -> str:
        return _MEANINGS[self.function]

    @property
    def input(self) -> Tensor:
        return self.arguments["input"]

    @property
    def target(self) -> Tensor:
        return self.arguments["target"]

    @property
    def counted(self) -> Tensor | None:
        """Which targets count, of the target's shape; None: all."""
        ignored = self.arguments.get("ignore_index")
        return None if ignored is None else self.target != ignored

    @property
    def adds_up(self) -> str | None:
        """How the loss of a set is had from those of its slices; None where that is not known."""
        of = self.arguments
        if of.get("size_average") is not None or of.get("reduce") is not None:
            return None
        same = (
            self.input.shape == self.target.shape
        )  # else each would be spread over all of the other
        even = self.function in EVEN and same and of.get("weight") is None
        if not even and self.function not in _WEIGHTED:
            return None
        by = SHARES if even or self.target.is_floating_point() else WEIGHTS
        return {"mean": by, "batchmean": SHARES, "sum": SUM}.get(of["reduction"])

    @property
    def weight(self) -> Tensor | None:
        """What a mean over targets is divided by: the sum of their weights, shape ()."""
        counted, weight = self.counted, self.arguments.get("weight")
        if self.function not in _WEIGHTED or counted is None or self.target.is_floating_point():
            return None
        if weight is None:
            return counted.sum()
        # No indexing by `counted`, whose size the host would have to read.
        return (weight[self.target.clamp(0, len(weight) - 1)] * counted).sum()

    @property
    def divisor(self) -> "Tensor | int | None":
        """What a mean over targets or elements is divided by; None of what is no such mean."""
        of, known = self.arguments, self.function in _WEIGHTED | EVEN
        if self.function is weighted_mean:
            return of["weights"].sum()
        if not known or of.get("size_average") is not None or of.get("reduce") is not None:
            return None
        if of["reduction"] == "batchmean":
            return len(self.target)
        weight = self.weight
        mean = self.target.numel() if weight is None else weight
        return mean if of["reduction"] == "mean" else None

    def summing(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The same loss as a sum over the examples, of any output and target."""
        rest = {k: v for k, v in self.arguments.items() if k not in ("input", "target")}
        return functools.partial(self.function, **{**rest, "reduction": "sum"})

    def is_of(self, output: Any, targets: Any, value: Tensor) -> bool:
        """Whether the call was the whole of a loss: nothing was done before and nothing after."""
        return self.input is output and self.target is targets and self.result is value


class Watch(TorchFunctionMode):
    """Notes the calls of PyTorch's losses."""

    def __init__(self):
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _MEANINGS:
            self.calls.append(bound(func, args, kwargs or {}, result))
        return result


def bound(func: Any, args: Any, kwargs: Any, result: Any = None) -> Call:
    """A call of one of PyTorch's losses with these arguments, before it is made or after."""
    row = _signature(func).bind(*args, **kwargs)
    row.apply_defaults()
    return Call(func, row.arguments, result)


@functools.lru_cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def watched(function: Callable[[], Any]) -> tuple[Any, list[Call]]:
    """What a function returns, and the losses that it called on the way."""
    with Watch() as watch:
        value = function()
    return value, watch.calls


def is_plain(loss: Callable[..., Any]) -> bool:
    """Whether a loss is one of PyTorch's own, settings fixed: the same function at every call."""
    while isinstance(loss, functools.partial):
        if loss.args:
            return False
        loss = loss.func
    module = isinstance(loss, nn.Module) and type(loss).__module__ == nn.modules.loss.__name__
    return module or any(loss is each for each in _MEANINGS)


def whole_numbers(value: Any) -> bool:
    """Whether this is a tensor of integers or of yes and no."""
    return isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())


def like(value: Tensor, flag: bool) -> Tensor:
    """Yes or no, on the tensor's device."""
    return torch.tensor(flag, device=value.device)


def checked_loss(value: Any) -> Tensor:
    """The loss, if it is a scalar tensor; otherwise an error that says what it is."""
    if not isinstance(value, Tensor) or value.dim() > 0:
        what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"The loss must be a scalar tensor, but the loss function returned {what}. "
            "Reduce it, for example with .mean()."
        )
    return value
