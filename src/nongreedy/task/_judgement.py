"""The outer loss: what a network is judged by on validation and test data, defined here alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from ._accuracy import Answers
from ._default_generator import default_generator
from ._double_backward import grad
from ._looks import Look, numbers_in, taken
from ._loss_calls import SHARES, WEIGHTS, Call, checked_loss, is_plain, watched
from ._metrics import Metric, measured
from ._reduction import reduction_of, weight_of
from ._total import Total, derivative

OUTER_BATCH = 500  # examples per forward pass, as in the paper (BatchNorm sees these)
HELD = 2**26  # numbers that the outputs of a whole set may be: 0.25 GiB

Answer = tuple[Any, Any]  # output, targets


@dataclass(frozen=True)
class Judged:
    """What a set of examples says of a network.

    Attributes:
        loss: Of the whole set.
        accuracy: Share of right answers, or None where it is not known what those are.
        metrics: The task's own, by name; NaN where the loss is not finite.
        gradient: Of the loss by the parameters, shape (P,), where it was asked for.
    """

    loss: float
    accuracy: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    gradient: Tensor | None = None


class OuterLoss:
    r"""The loss of a whole set of examples, whatever the slices in which a network sees them.

    .. math:: J = L\big(f_\theta(x_1), \ldots, f_\theta(x_n);\; y_1, \ldots, y_n\big)

    BatchNorm's batch statistics alone depend on the slices, which are drawn by a fixed shuffle. Three
    ways lead to this number, and the first that can be gone is:

    1. All examples fit in one slice, or the loss is one of PyTorch's own, whose sums over slices add up.
    2. The outputs of all slices are put together, in the order of the examples, and the loss is taken of
       them. Its gradient is pulled back through the network slice by slice, in a second pass.
    3. Where outputs are too large for that, or not a row for each example, the reduction (a sum, a mean
       over examples, a mean over targets that count) is measured on slices and their halves. Of a loss
       that has none of these, J is the mean over the slices, by their numbers of examples.

    Args:
        loss: ``(output, target) -> scalar``.
        size: Examples per slice, at most.
        metrics: Name -> function of all outputs and targets.
    """

    def __init__(self, loss: Callable[..., Tensor], size: int, metrics: Mapping[str, Metric]):
        self.loss, self.size, self.metrics = loss, size, dict(metrics)
        self.answers, self.known = Answers(loss), dict[tuple[str, str], Any]()

    def __call__(self, look: Look, gradient: bool = False, metrics: bool = True) -> Judged:
        """Judge; the caller's random state is left as it was.

        Args:
            gradient: Whether to differentiate by the look's parameters.
            metrics: Whether to take the metrics, too.
        """
        with default_generator(look.device):
            return _Judging(self, look, gradient, self.metrics if metrics else {}).judged()

    def valued(self, output: Any, targets: Any) -> tuple[Tensor, list[Call]]:
        """The loss of some examples, and PyTorch's own that it called."""
        value, calls = watched(lambda: self.loss(output, targets))
        return checked_loss(value), calls


class _Judging:
    """One judgement."""

    def __init__(self, outer: OuterLoss, look: Look, gradient: bool, metrics: Mapping[str, Metric]):
        self.outer, self.look, self.metrics = outer, look, metrics
        self.parameters = None if look.parameters is None else look.parameters.detach()
        self.leaf = self.parameters
        if gradient and self.parameters is not None:
            self.leaf = self.parameters.clone().requires_grad_()
        self.total, self.kept = Total(self.leaf if gradient else None), list[Answer]()

    def judged(self) -> Judged:
        self._look()
        loss, accuracy = self.total.read()
        found = dict.fromkeys(self.metrics, math.nan)
        if self.metrics and math.isfinite(loss):
            found = measured(self.metrics, *self.look.in_order(self.kept))
        return Judged(loss, accuracy, found, self.total.gradient)

    def _look(self) -> None:
        output, targets = answer = self.look.answer(0, self.leaf)
        value, calls = self.outer.valued(output, targets)
        if len(self.look.parts) == 1:
            self._keep(answer)
            self.total.add(value, self.outer.answers.tally(calls, output, targets))
            return
        plain = is_plain(self.outer.loss) and len(calls) == 1
        if plain and calls[0].is_of(output, targets, value) and (by := calls[0].adds_up):
            self._add_up(calls[0], by, answer)
            return
        held = self._held(answer)
        first = _detached(answer)
        del output, value, calls, answer  # their graph
        if held:
            self._add_whole(first)
        else:
            self._add_slices()

    def _add_up(self, call: Call, by: str, answer: Answer) -> None:
        """One of PyTorch's own losses: sums over slices, and what they are divided by."""
        loss = call.summing() if by == WEIGHTS else self.outer.loss
        for index in range(len(self.look.parts)):
            output, targets = answer = answer if index == 0 else self.look.answer(index, self.leaf)
            self._keep(answer)
            value, calls = watched(lambda: loss(output, targets))  # noqa: B023 - called at once
            tally = self.outer.answers.tally(calls, output, targets)
            divisor = calls[0].weight if by == WEIGHTS else None
            self.total.add(value, tally, self._factor(by, index), divisor)

    def _add_whole(self, first: Answer) -> None:
        """All outputs, their loss, and what it pulls back through the network slice by slice."""
        slices = range(len(self.look.parts))
        rest = (_detached(self.look.answer(index, self.parameters)) for index in slices[1:])
        output, targets = self.look.in_order([first, *rest])
        leaves = list[Tensor]()
        if self.total.leaf is not None:
            leaves = [x.requires_grad_() for x in _numbers(output)]
        value, calls = self.outer.valued(output, targets)
        pulled = None
        if self.total.leaf is not None:
            pulled = torch.zeros_like(self.total.leaf)
            slopes = derivative(value, leaves)
            for index in slices:
                pulled += self._pull_back(index, slopes)
        output = _detached(output)
        self._keep((output, targets))
        self.total.add(value, self.outer.answers.tally(calls, output, targets), gradient=pulled)

    def _pull_back(self, index: int, slopes: Sequence[Tensor]) -> Tensor:
        assert self.leaf is not None
        output, _ = self.look.answer(index, self.leaf)
        rows = self.look.rows(index)
        pairs = [
            (x, taken(slope, rows))
            for x, slope in zip(_numbers(output), slopes, strict=True)
            if x.requires_grad
        ]
        if not pairs:
            return torch.zeros_like(self.leaf)
        outputs, weights = zip(*pairs, strict=True)
        (pulled,) = grad(outputs, self.leaf, weights, materialize_grads=True)
        return pulled

    def _add_slices(self) -> None:
        """The loss of each slice, as its reduction was measured to add up."""
        by = self._known("reduction", lambda: reduction_of(self.outer.loss, self.look))
        for index in range(len(self.look.parts)):
            (output, targets), inner = watched(lambda: self.look.answer(index, self.leaf))  # noqa: B023
            self._keep((output, targets))
            value, calls = self.outer.valued(output, targets)
            divisor = None
            if by == WEIGHTS:
                divisor = weight_of([*inner, *calls], targets, self.look.length(index)).to(value)
                if not divisor.item():  # no target counts: the loss is 0 / 0
                    continue
                value = value * divisor
            tally = self.outer.answers.tally(calls, output, targets)
            self.total.add(value, tally, self._factor(by, index), divisor)

    def _factor(self, by: str, index: int) -> float:
        return self.look.share(index) if by == SHARES else 1.0

    def _held(self, answer: Answer) -> bool:
        """Whether the outputs of all slices may be put together."""
        look, numbers = self.look, numbers_in(answer[0])
        return numbers * look.count <= HELD * look.length(0) and self._has_rows(answer)

    def _has_rows(self, answer: Answer) -> bool:
        return self._known("rows", lambda: self.look.has_rows(*answer))

    def _known(self, what: str, find: Callable[[], Any]) -> Any:
        """What is found out once for each set of examples."""
        key = what, self.look.examples.name
        if key not in self.outer.known:
            self.outer.known[key] = find()
        return self.outer.known[key]

    def _keep(self, answer: Answer) -> None:
        """Keep outputs and targets for the metrics, on the CPU."""
        if not self.metrics:
            return
        if len(self.look.parts) > 1 and not self._has_rows(answer):
            raise ValueError(
                f"metric={list(self.metrics)} is taken of the outputs of all examples, but the model's "
                "are not tensors with a row for each example, so that those of its batches cannot be "
                "put together. Return such tensors, or raise evaluation_batch_size= to the "
                f"{self.look.count} examples of `{self.look.examples.name}`."
            )
        self.kept.append(tree_map(_at_home, answer))


def _detached(nest: Any) -> Any:
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, nest)


def _at_home(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _numbers(nest: Any) -> list[Tensor]:
    """Its tensors that can be differentiated by."""
    leaves = tree_flatten(nest)[0]
    return [
        x for x in leaves if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())
    ]
