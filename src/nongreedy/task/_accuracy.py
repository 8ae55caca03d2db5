"""The share of right answers, where the loss says what an answer is; nothing where it does not."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._loss_calls import CLASSES, LOGIT, OTHER, Call, like, whole_numbers

_SHIFTS = 8  # wrong classes that the right one is compared with
_FEW = 8  # examples that a loss is tried on
IGNORED = -100  # PyTorch's own, and everyone's

Loss = Callable[[Any, Any], Tensor]


class Tally(NamedTuple):
    """Of some examples; an example with several targets, such as a sequence, has as many answers.

    Attributes:
        right, counted: Numbers of answers, shape ().
        known: Whether the targets are such as right answers can be, shape ().
    """

    right: Tensor
    counted: Tensor
    known: Tensor


class Answers:
    """What a right answer is, by the loss.

    One call of a loss of PyTorch's says it: scores of classes, a logit or a probability, and which
    targets count. Several such calls contradict each other, and losses of numbers, such as counts,
    know no answers. A loss that calls none of them is tried: whether it is least where the output's
    greatest entry is the target, or, of a single number, a mirror image of itself at 0 or at 0.5.
    """

    def __init__(self, loss: Loss):
        self._loss, self._tried = loss, dict[Any, float | bool | None]()

    def tally(self, calls: Sequence[Call], output: Any, targets: Any) -> Tally | None:
        """Count right answers; None where it is not known what they are.

        Args:
            calls: Of PyTorch's losses, by this loss, on this output.
        """
        telling = [call for call in calls if call.meaning != OTHER]
        if len(telling) == 1:
            return _of_call(telling[0])
        tensors = isinstance(output, Tensor) and isinstance(targets, Tensor)
        if calls or not tensors or output.dim() == 0 or not output.is_floating_point():
            return None
        several = output.dim() >= 2 and output.shape[1] > 1
        if several and not _may_be_classes(output, targets):
            return None
        found = self._once(_points if several else _threshold, output.detach(), targets)
        if several:
            return _classes(output, targets, targets != IGNORED) if found else None
        return None if found is None else _binary(output, targets, found)

    def _once(self, test: Callable[..., float | bool | None], output: Tensor, targets: Tensor):
        key = output.shape[1:], targets.shape[1:], targets.dtype
        if key not in self._tried:
            try:
                self._tried[key] = test(self._loss, output[:_FEW], targets[:_FEW])
            except Exception:  # it cannot be tried, whatever the reason
                self._tried[key] = None
        return self._tried[key]


def _of_call(call: Call) -> Tally | None:
    if call.meaning != CLASSES:
        return _binary(call.input, call.target, 0.0 if call.meaning == LOGIT else 0.5)
    if not whole_numbers(call.target) or call.input.dim() < 2:
        return None  # chances of classes have no right one
    found, count = _classes(call.input, call.target, call.counted), len(call.input)
    if call.input.shape != (count, count) or call.target.dim() != 1:
        return found
    # Each example against all others of its batch: the right answer is its place, not a class.
    places = torch.arange(count, device=call.target.device)
    return found._replace(known=(call.target != places).any())


def _classes(output: Tensor, targets: Tensor, counted: Tensor | None) -> Tally:
    right, yes = output.argmax(1) == targets, like(output, True)
    if counted is None:
        return Tally(right.sum(), yes * right.numel(), yes)
    inside = (targets >= 0) & (targets < output.shape[1]) | ~counted
    return Tally((right & counted).sum(), counted.sum(), inside.all())


def of_scores(output: Tensor, targets: Any) -> Tally | None:
    """Of a row of scores for each example, whose target is the number of a class."""
    scores = output.dim() == 2 and output.shape[1] > 1 and output.is_floating_point()
    if not scores or not _may_be_classes(output, targets):
        return None
    return _classes(output, targets, targets != IGNORED)


def _binary(output: Tensor, targets: Tensor, threshold: float) -> Tally | None:
    """One number per example; several would be labels that an example may have at once."""
    one = output.dim() == 1 or (output.dim() >= 2 and output.shape[1] == 1)
    if not one or output.numel() != targets.numel():
        return None
    output, targets = output.reshape(-1), targets.reshape(-1)
    right = (output > threshold) == (targets > 0.5)
    known = ((targets == 0) | (targets == 1)).all()
    return Tally(right.sum(), like(output, True) * right.numel(), known)


def _may_be_classes(output: Tensor, targets: Tensor) -> bool:
    return whole_numbers(targets) and targets.shape == output.shape[:1] + output.shape[2:]


def _points(loss: Loss, output: Tensor, targets: Tensor) -> bool:
    """Whether a loss is least where the greatest entry is the target, and the others are all alike."""
    classes, shape = output.shape[1], (1, output.shape[1]) + (1,) * (output.dim() - 2)
    places = torch.arange(classes, device=output.device).view(shape)

    def at(scores: Tensor, targets: Tensor) -> float:
        """Score k is that of the class k beside the target, the first its own."""
        own = targets.long().clamp(min=0).unsqueeze(1)
        return float(loss(scores[(places - own) % classes], targets))

    # They may have to be probabilities.
    rest = torch.arange(1, classes).to(output) * (0.2 / classes / (classes - 1))
    pointing = torch.cat([rest.new_full((1,), 0.9), rest])
    right = at(pointing, targets)
    if classes > 2:
        other = at(torch.cat([pointing[:1], rest.flip(0)]), targets)
    else:
        other = at(pointing, torch.where(targets == IGNORED, targets, 1 - targets))
    wrong = (at(pointing.roll(k), targets) for k in range(1, min(classes - 1, _SHIFTS) + 1))
    return _equal(right, other) and all(right < each for each in wrong)


def _threshold(loss: Loss, output: Tensor, targets: Tensor) -> float | None:
    """The output at which two answers are equally wrong: of logits 0, of probabilities 0.5."""

    def at(number: float, answer: int) -> float:
        return float(loss(torch.full_like(output, number), torch.full_like(targets, answer)))

    def mirrored(threshold: float) -> bool:
        """Either answer is as wrong on its side as the other on the other."""
        sides = ((at(threshold + d, 1), at(threshold - d, 0)) for d in (0.0, 0.2, 0.4))
        return all(_equal(*pair) for pair in sides)

    if not at(0.9, 1) < at(0.9, 0):
        return None
    if mirrored(0.0):
        return 0.0
    # Of a distance to the answer, such as a square, there is more beyond it.
    beyond = at(1.5, 1) > at(1.0, 1)
    return 0.5 if mirrored(0.5) and not beyond else None


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * abs(one)
