"""The outer loss: what a network is judged by on validation and test data, defined here alone."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from ._accuracy import Answers, Loss
from ._advice import Case, advising
from ._default_generator import default_generator
from ._double_backward import grad
from ._first_look import refusing
from ._looks import Look, numbers_in, taken
from ._loss_calls import SHARES, SHIFTED, SUM, WEIGHTS, Call, Watch, checked_loss, is_plain, watched
from ._metrics import Metric, measured
from ._nest import detached
from ._own_loss import OwnAnswers, OwnLoss
from ._reduction import reduction_of, shifted_weight, weight_of
from ._total import Total

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
    """

    loss: float
    accuracy: float | None
    metrics: dict[str, float] = field(default_factory=dict)


class OuterLoss:
    r"""The loss of a whole set of examples, whatever the slices in which a network sees them.

    .. math:: J = L\big(f_\theta(x_1), \ldots, f_\theta(x_n);\; y_1, \ldots, y_n\big)

    BatchNorm's batch statistics alone depend on the slices, which are drawn by a fixed shuffle. Three
    ways lead to this number, and the first that can be gone is:

    1. All examples fit in one slice, or the loss is one of PyTorch's own, whose sums over slices add up.
    2. The outputs of all slices are put together, in the order of the examples, and the loss is taken of
       them. Its gradient is pulled back through the network slice by slice, in a second pass.
    3. Where outputs are too large for that, or not a row for each example, the reduction (a sum, a mean
       over examples, over targets that count, over those but the first of each row) is measured on slices
       and their halves. Of a loss that has none of these, J is the mean over the slices, by their numbers
       of examples.

    Args:
        loss: ``(output, target) -> scalar``.
        size: Examples per slice, at most.
        metrics: Name -> function of all outputs and targets.
    """

    def __init__(self, loss: Callable[..., Tensor], size: int, metrics: Mapping[str, Metric]):
        self.loss, self.size, self.metrics = loss, size, dict(metrics)
        self.own = isinstance(loss, OwnLoss)
        self.answers = OwnAnswers(loss) if self.own else Answers(loss)
        self.known = dict[tuple[str, str], Any]()

    def __call__(self, look: Look, metrics: bool = True) -> Judged:
        """Judge, and differentiate where the look has a leaf; random states are left as they were.

        With autograd either way, which a network may need itself: forces are derivatives of energies.

        Raises:
            ValueError: A loss without derivative; metrics of outputs that cannot be put together.
        """
        with default_generator(look.device), torch.enable_grad():
            return _Judging(self, look, self.metrics if metrics else {}).judged()

    def unread(self, look: Look) -> Total:
        """The same without metrics, and not read."""
        with default_generator(look.device), torch.enable_grad():
            return _Judging(self, look, {}).added_up()


class _Judging:
    """One judgement."""

    def __init__(self, outer: OuterLoss, look: Look, metrics: Mapping[str, Metric]):
        self.outer, self.look, self.metrics = outer, look, metrics
        self.total, self.kept = Total(), list[Answer]()
        self.slices = range(len(look.parts))

    def added_up(self) -> Total:
        with Watch() if self.outer.own else nullcontext() as watch:
            go_on = self.look.answer(0, functools.partial(self._begin, watch and watch.calls))
        go_on()
        return self.total

    def judged(self) -> Judged:
        loss, accuracy = self.added_up().read()
        found = dict.fromkeys(self.metrics, math.nan)
        if self.metrics and math.isfinite(loss):
            found = measured(self.metrics, *self.look.in_order(self.kept))
        return Judged(loss, accuracy, found)

    def _begin(self, seen: Sequence[Call] | None, output: Any, targets: Any) -> Callable[[], None]:
        """Judge the first slice, and say how to go on."""
        loss = self.outer.loss
        value, calls = self._valued(loss, output, targets)
        if len(self.slices) == 1:
            self._add(0, value, seen or calls, (output, targets))
            return lambda: None
        plain = is_plain(loss) and len(calls) == 1 and calls[0].is_of(output, targets, value)
        if plain and (by := calls[0].adds_up):
            loss = calls[0].summing() if by == WEIGHTS else loss
            self._add_sum(loss, by, 0, output, targets)
            return lambda: self._add_sums(loss, by)
        first = detached((output, targets))
        return lambda: self._add_whole(first) if self._held(first) else self._add_slices()

    def _add_sums(self, loss: Loss, by: str) -> None:
        """One of PyTorch's own losses: sums over slices, and what they are divided by."""
        for index in self.slices[1:]:
            self.look.answer(index, functools.partial(self._add_sum, loss, by, index))

    def _add_sum(self, loss: Loss, by: str, index: int, output: Any, targets: Any) -> None:
        value, calls = self._valued(loss, output, targets)
        divisor = calls[0].weight if by == WEIGHTS else None
        self._add(index, value, calls, (output, targets), by, divisor)

    def _add_whole(self, first: Answer) -> None:
        """All outputs, their loss, and what it pulls back through the network slice by slice."""
        rest = (self.look.answer(i, lambda *answer: detached(answer)) for i in self.slices[1:])
        output, targets = self.look.in_order([first, *rest])
        leaves = [] if self.look.leaf is None else _numbers(output)
        for leaf in leaves:
            leaf.requires_grad_()
        with advising(Case(self.look.examples, None, targets, output)):
            value, calls = self._valued(self.outer.loss, output, targets)
        slope = None
        if self.look.leaf is not None:
            slopes, slope = self._slopes([value], leaves), torch.zeros_like(self.look.leaf)
            for index in self.slices:
                rows = [taken(each, self.look.rows(index)) for each in slopes]
                slope += self.look.answer(index, functools.partial(self._pulled_back, rows))
        self._keep((output, targets))
        self.total.add(value, slope, self.outer.answers.tally(calls, output, targets))

    def _pulled_back(self, slopes: Sequence[Tensor], output: Any, targets: Any) -> Tensor:
        assert self.look.leaf is not None
        pairs = [p for p in zip(_numbers(output), slopes, strict=True) if p[0].requires_grad]
        if not pairs:
            return torch.zeros_like(self.look.leaf)
        outputs, weights = zip(*pairs, strict=True)
        return self._slopes(outputs, [self.look.leaf], weights)[0]

    def _add_slices(self) -> None:
        """The loss of each slice, as its reduction was measured to add up."""
        by = self._known("reduction", lambda: reduction_of(self.outer.loss, self.look))
        for index in self.slices:
            with Watch() as watch:  # a model may compute its loss itself
                self.look.answer(index, functools.partial(self._add_slice, by, index, watch.calls))

    def _add_slice(
        self, by: str, index: int, seen: Sequence[Call], output: Any, targets: Any
    ) -> None:
        value, calls = self._valued(self.outer.loss, output, targets)
        divisor = shifted_weight(targets) if by == SHIFTED else None
        if by == WEIGHTS:
            divisor = weight_of(seen, targets, self.look.length(index))
        if divisor is not None:
            divisor = divisor.to(value)
            if not divisor.item():  # no target counts: the loss is 0 / 0
                self._keep((output, targets))
                return
            value = value * divisor
        self._add(index, value, seen if self.outer.own else calls, (output, targets), by, divisor)

    def _add(
        self,
        index: int,
        value: Tensor,
        calls: Sequence[Call],
        answer: Answer,
        by: str = SUM,
        divisor: Tensor | None = None,
    ) -> None:
        """One slice's term of the sum."""
        slope = None
        if self.look.leaf is not None:
            slope = self._slopes([value], [self.look.leaf])[0]
        factor = self.look.share(index) if by == SHARES else 1.0
        self._keep(answer)
        tally = self.outer.answers.tally(calls, *answer)
        self.total.add(value, slope, tally, factor, divisor)

    def _valued(self, loss: Loss, output: Any, targets: Any) -> tuple[Tensor, list[Call]]:
        """The loss of some examples, and PyTorch's own that it called."""
        key = "compared", self.look.examples.name
        first = nullcontext() if key in self.outer.known else refusing(output, targets)
        with self.look.mode(), first:
            value, calls = watched(lambda: loss(output, targets))
        self.outer.known[key] = True
        return checked_loss(value), calls

    def _slopes(
        self,
        outputs: Sequence[Tensor],
        leaves: Sequence[Tensor],
        weights: Sequence[Tensor] | None = None,
    ) -> Sequence[Tensor]:
        if not any(output.requires_grad for output in outputs):
            raise ValueError(
                "The validation loss has no derivative by the parameters, as an error rate has none: "
                "there is no hypergradient. Pass validation_loss=, such as the training loss, and "
                "this one as metric=."
            )
        with self.look.mode() as mode:
            if mode is not None:
                # Of a checkpointed forward pass, parts come again here.
                mode.backwards = True
            return grad(outputs, leaves, weights, allow_unused=True, materialize_grads=True)

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


def _at_home(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _numbers(nest: Any) -> list[Tensor]:
    """Its tensors that can be differentiated by."""
    leaves = tree_flatten(nest)[0]
    return [
        x for x in leaves if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())
    ]
