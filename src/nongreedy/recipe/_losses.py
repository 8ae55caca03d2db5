"""The user's training loss with smoothed labels and weights of classes and examples."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..task import Hypers
from ..task._hypers import accepting
from ..task._loss_calls import EVEN, Call, bound, weighted_mean

Rows = tuple[Tensor, Tensor]  # losses of the targets, and what a mean divides by the sum of


class Mixed(NamedTuple):
    """Targets of mixed examples: their own, the numbers of the others in the batch, and their shares."""

    targets: Tensor
    partner: Tensor
    share: Tensor


def cross_entropies(
    logits: Tensor,
    target: Tensor,
    label_smoothing: Tensor | float = 0.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Rows:
    """``functional.cross_entropy`` without its mean, differentiable in all of its settings.

    Args:
        logits: Shape (N, K, ...).
        target: Classes, shape (N, ...), or probabilities, shape (N, K, ...).
        label_smoothing: Share that is spread over all classes, a number or shape ().
        weight: Of the classes, shape (K,).

    Returns:
        Losses, shape (N, ...), and the weights whose sum the mean is divided by.

    Example:
        >>> losses, weights = cross_entropies(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), 0.1)
        >>> losses.shape, weights.sum().item()
        (torch.Size([4]), 4.0)
    """
    log, classes = logits.log_softmax(1), logits.shape[1]
    ones = [1, classes, *[1] * (logits.dim() - 2)]
    weights = log.new_ones(classes) if weight is None else weight.to(log)
    if target.is_floating_point():
        shares = (1 - label_smoothing) * target + label_smoothing / classes
        losses = -(shares * weights.view(ones) * log).sum(1)
        return losses, torch.ones_like(losses)
    counted = target != ignore_index
    known = torch.where(counted, target, 0).long()
    own = weights[known] * counted
    losses = -own * log.gather(1, known[:, None])[:, 0]
    spread = -(weights.view(ones) * log).mean(1) * counted
    return (1 - label_smoothing) * losses + label_smoothing * spread, own


class AdjustedLoss(nn.Module):
    """The user's loss, within which the one loss of PyTorch's that it calls is another.

    Args:
        loss: ``(output, targets)``, or with a third argument ``hypers``.
        names: Which hyperparameters it takes: ``label_smoothing``, ``class_weights`` and
            ``example_weights``, which are divided by their mean over all examples. Mixed targets it
            takes always.
    """

    def __init__(self, loss: Callable[..., Tensor], names: Collection[str]):
        super().__init__()
        self.loss, self.names = loss, frozenset(names)

    def forward(self, output: Any, targets: Any, hypers: Hypers) -> Tensor:
        mixed = targets if isinstance(targets, Mixed) else None
        own = targets if mixed is None else mixed.targets
        taken = {name: hypers[name] for name in self.names}
        with _Adjusting(taken, mixed, hypers) as adjusting:
            value = accepting(self.loss)(output, own, hypers=hypers)
        if adjusting.calls != 1:
            raise ValueError(
                f"The loss called {adjusting.calls} of PyTorch's losses at step {hypers.step}, and one "
                "when the recipe was made. Let it call one, at every step."
            )
        return value


class _Adjusting(TorchFunctionMode):
    """Puts the adjusted loss in place of PyTorch's."""

    def __init__(self, taken: Mapping[str, Tensor], mixed: Mixed | None, hypers: Hypers):
        super().__init__()
        self._taken, self._mixed, self._hypers, self.calls = taken, mixed, hypers, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.cross_entropy and func not in EVEN:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        call = bound(func, args, kwargs or {})
        losses, weights = self._mixture(call)
        reduction = call.arguments["reduction"]
        if reduction == "none":
            return losses
        return weighted_mean(losses, weights) if reduction == "mean" else losses.sum()

    def _mixture(self, call: Call) -> Rows:
        importance = self._importance()
        losses, weights = self._rows(call, call.target)
        losses = losses * _spread(importance, losses)
        if self._mixed is None:
            return losses, weights
        _, partner, share = self._mixed
        others, other_weights = self._rows(call, call.target[partner])
        theirs = importance if importance is None else importance[partner]
        part = _spread(share, losses)
        others = others * _spread(theirs, losses)
        return torch.lerp(losses, others, part), torch.lerp(weights, other_weights, part)

    def _importance(self) -> Tensor | None:
        """Weights of the batch's examples, of mean 1 over all that there are, shape (N,)."""
        weights = self._taken.get("example_weights")
        if weights is None:
            return None
        return weights[self._hypers.index] / weights.mean()

    def _rows(self, call: Call, target: Tensor) -> Rows:
        of = call.arguments
        if call.function is not functional.cross_entropy:
            losses = call.function(**{**of, "target": target, "reduction": "none"})
            return losses, torch.ones_like(losses)
        smoothing = self._taken.get("label_smoothing", of["label_smoothing"])
        weight, learned = of["weight"], self._taken.get("class_weights")
        if learned is not None:
            weight = learned if weight is None else weight * learned
        return cross_entropies(call.input, target, smoothing, weight, of["ignore_index"])


def _spread(rows: Tensor | None, losses: Tensor) -> Any:
    """One number for each example, as wide as their losses."""
    return 1.0 if rows is None else rows.view(-1, *[1] * (losses.dim() - 1)).to(losses)
