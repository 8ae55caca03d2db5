"""What the slices of a set add up to: its loss, the gradient of that, and right answers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._accuracy import Tally
from ._double_backward import grad

_NO_DERIVATIVE = (
    "The validation loss has no derivative by the network's parameters: what it returned has no "
    "graph, as an error rate or what comes after .argmax(). Pass a differentiable validation_loss=, "
    "and this one as metric=."
)


class Total:
    r"""Terms :math:`\sum_k f_k v_k / \sum_k d_k`, kept on the device and read by the host once.

    Args:
        leaf: What to differentiate by, shape (P,), or None.
    """

    def __init__(self, leaf: Tensor | None):
        self.leaf = leaf
        self._gradient = None if leaf is None else torch.zeros_like(leaf)
        self._factors, self._rows = list[float](), list[list[Tensor]]()
        self._divisor: Tensor | None = None
        self._answered = True

    def add(
        self,
        value: Tensor,
        tally: Tally | None,
        factor: float = 1.0,
        divisor: Tensor | None = None,
        gradient: Tensor | None = None,
    ) -> None:
        """One more term; its gradient is computed unless it is given."""
        if self.leaf is not None and self._gradient is not None:
            slope = derivative(value, [self.leaf])[0] if gradient is None else gradient
            self._gradient += factor * slope
        if divisor is not None:
            divisor = divisor.detach()
            self._divisor = divisor if self._divisor is None else self._divisor + divisor
        self._factors.append(factor)
        self._answered = self._answered and tally is not None
        self._rows.append([value.detach(), *(tally or ())])

    @property
    def gradient(self) -> Tensor | None:
        """Of the whole, shape (P,)."""
        if self._gradient is None or self._divisor is None:
            return self._gradient
        return self._gradient / self._divisor

    def read(self) -> tuple[float, float | None]:
        """Loss and accuracy of the whole."""
        if not self._rows:
            return math.nan, None
        width = 4 if self._answered else 1
        cells = [cell for row in self._rows for cell in row[:width]]
        cells += [] if self._divisor is None else [self._divisor]
        kind = torch.float64 if cells[0].dtype == torch.float64 else torch.float32
        read = torch.stack([cell.to(kind) for cell in cells]).tolist()
        count = len(self._rows) * width
        table = [read[low : low + width] for low in range(0, count, width)]
        loss = sum(f * row[0] for f, row in zip(self._factors, table, strict=True))
        if self._divisor is not None:
            loss = loss / read[-1] if read[-1] else math.nan
        return loss, _accuracy(table) if self._answered else None


def _accuracy(table: list[list[float]]) -> float | None:
    _, right, counted, known = (sum(column) for column in zip(*table, strict=True))
    return right / counted if counted and known == len(table) else None


def derivative(value: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of a validation loss; ValueError where it has none."""
    if not value.requires_grad:
        raise ValueError(_NO_DERIVATIVE)
    return grad(value, leaves, allow_unused=True, materialize_grads=True)
