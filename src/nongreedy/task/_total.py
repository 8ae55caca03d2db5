"""What the slices of a set add up to: its loss, the gradient of that, and right answers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._accuracy import Tally


class Total:
    r"""Terms :math:`\sum_k f_k v_k / \sum_k d_k`, kept on the device and read by the host once.

    Attributes:
        gradient: Of the sum, shape (P,), where terms have one.
    """

    def __init__(self) -> None:
        self._factors, self._rows = list[float](), list[list[Tensor]]()
        self._slope: Tensor | None = None
        self._divisor: Tensor | None = None
        self._answered = True

    def add(
        self,
        value: Tensor,
        slope: Tensor | None,
        tally: Tally | None,
        factor: float = 1.0,
        divisor: Tensor | None = None,
    ) -> None:
        """One more term.

        Args:
            slope: Its gradient, shape (P,).
        """
        if slope is not None:
            self._slope = torch.zeros_like(slope) if self._slope is None else self._slope
            self._slope += factor * slope
        if divisor is not None:
            divisor = divisor.detach()
            self._divisor = divisor if self._divisor is None else self._divisor + divisor
        self._factors.append(factor)
        self._answered = self._answered and tally is not None
        self._rows.append([value.detach(), *(tally or ())])

    @property
    def gradient(self) -> Tensor | None:
        if self._slope is None or self._divisor is None:
            return self._slope
        return self._slope / self._divisor

    @property
    def numbers(self) -> Tensor:
        """All that `told` wants to know, in one row, where it is: nothing is read."""
        if not self._rows:
            return torch.tensor([math.nan])
        cells = [cell for row in self._rows for cell in row[: self._width]]
        cells += [] if self._divisor is None else [self._divisor]
        kind = torch.float64 if cells[0].dtype == torch.float64 else torch.float32
        return torch.stack([cell.to(kind) for cell in cells])

    @property
    def _width(self) -> int:
        return 4 if self._answered else 1

    def told(self, numbers: Sequence[float]) -> tuple[float, float | None]:
        """Loss and accuracy of the whole, by its numbers, read."""
        if not self._rows:
            return math.nan, None
        count, width = len(self._rows) * self._width, self._width
        table = [numbers[low : low + width] for low in range(0, count, width)]
        loss = sum(f * row[0] for f, row in zip(self._factors, table, strict=True))
        if self._divisor is not None:
            loss = loss / numbers[-1] if numbers[-1] else math.nan
        return loss, _accuracy(table) if self._answered else None

    def read(self) -> tuple[float, float | None]:
        """The same, read now."""
        return self.told(self.numbers.tolist())


def _accuracy(table: Sequence[Sequence[float]]) -> float | None:
    _, right, counted, known = (sum(column) for column in zip(*table, strict=True))
    return right / counted if counted and known == len(table) else None
