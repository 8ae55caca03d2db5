"""The state of a run in integers, which steps forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import OutOfRangeError
from ...optimizers import Optimizer
from .buffer import Buffer
from .factor import Fractions, Values
from .fixed_point import DEFAULT_BITS, FixedPoint, in_range
from .program import Operation, Program, Reading, Scale, Shift


@dataclass(frozen=True)
class Factors:
    """What multiplies and moves at each step: every value and every fraction.

    Attributes:
        values: Name -> shape (T,), float64; those of factors are n/d.
        fractions: Name of a factor -> its n and d at each step.
    """

    values: Values
    fractions: Mapping[str, Fractions]

    @classmethod
    def settle(cls, program: Program, values: Values, denominator: int) -> Factors:
        """Round every factor of a program to fractions."""
        fractions = {}
        for scale in program.scales:
            values, fractions[scale.factor.name] = scale.factor.settle(values, denominator)
        return cls(values, fractions)


class IntegerState:
    """Slots of int64, shape (slots, P), and one information buffer for each factor.

    Args:
        start: The first state in floating point, shape (slots, P).
        optimizer: Clips the gradients.
        fraction_bits: After the point, of the parameters.

    Raises:
        OutOfRangeError: A number left the range of its format.
    """

    def __init__(
        self,
        program: Program,
        factors: Factors,
        optimizer: Optimizer,
        start: Tensor,
        fraction_bits: int,
    ):
        self.program, self.factors, self.optimizer, self.dtype = (
            program,
            factors,
            optimizer,
            start.dtype,
        )
        self.names, self.fraction_bits = program.slots, fraction_bits
        self.formats = [FixedPoint(fraction_bits)] * len(program.slots)
        self.steps = len(factors.values["step"])
        self.integers = self.encode(start)
        self.buffers = {
            scale.factor.name: Buffer(
                self.integers[scale.slot], scale.factor.multiplier, scale.factor.name
            )
            for scale in program.scales
        }

    def encode(self, start: Tensor) -> Tensor:
        """A floating-point state in integers."""
        encoded = [
            self._in_range(form.encode(row), slot, 0)
            for slot, (form, row) in enumerate(zip(self.formats, start, strict=True))
        ]
        return torch.stack(encoded)

    def floats(self) -> Tensor:
        """The state in the run's dtype, shape (slots, P): a function of the integers alone."""
        return torch.stack([self.slot(k) for k in range(len(self.names))]).to(self.dtype)

    def slot(self, index: int) -> Tensor:
        """One slot in float64, shape (P,)."""
        return self.formats[index].decode(self.integers[index])

    @torch.no_grad()
    def advance(self, gradient: Tensor, step: int) -> None:
        """Take a step, with the raw gradient at slot 0."""
        if step == 0:
            self._fit(self._reading(step, gradient))
        for operations, reading in (
            (self.program.gather, self._reading(step, gradient)),
            (self.program.move, self._reading(step)),
        ):
            for operation in operations:
                self._apply(operation, reading, step)

    @torch.no_grad()
    def retreat(self, gradient_at: Callable[[Tensor, int], Tensor], step: int) -> None:
        """Undo a step. The gradient is asked for once slot 0 is back where it was taken."""
        self._undo(self.program.move, self._reading(step), step)
        with torch.enable_grad():
            gradient = gradient_at(self.slot(0).to(self.dtype), step)
        self._undo(self.program.gather, self._reading(step, gradient), step)

    def _fit(self, first: Reading) -> None:
        """Adam does not know the scale of its gradients; nor does its second moment, still zero."""
        for slot, numbers in self.program.squares.items():
            fitting = FixedPoint.for_squares(numbers(first))
            if fitting is not None:
                self.formats[slot] = FixedPoint(fitting.bits + self.fraction_bits - DEFAULT_BITS)

    def _reading(self, step: int, gradient: Tensor | None = None) -> Reading:
        clipped = None if gradient is None else self.optimizer.clip(gradient).double()
        values = {name: value[step] for name, value in self.factors.values.items()}
        return Reading(self.slot, values, clipped)

    def _fraction(self, scale: Scale, step: int) -> tuple[Buffer, int, int]:
        name = scale.factor.name
        n, d = self.factors.fractions[name]
        return self.buffers[name], int(n[step]), int(d[step])

    def _amount(self, shift: Shift, reading: Reading, step: int) -> Tensor:
        amount = self.formats[shift.slot].encode(shift.amount(reading))
        return self._in_range(amount, shift.slot, step)

    def _apply(self, operation: Operation, reading: Reading, step: int) -> None:
        row = self.integers[operation.slot]
        if isinstance(operation, Scale):
            buffer, n, d = self._fraction(operation, step)
            buffer.multiply(row, n, d, step)
        else:
            row += self._amount(operation, reading, step)
            self._in_range(row if in_range(row) else None, operation.slot, step)

    def _undo(self, operations: Sequence[Operation], reading: Reading, step: int) -> None:
        for operation in reversed(operations):
            row = self.integers[operation.slot]
            if isinstance(operation, Scale):
                buffer, n, d = self._fraction(operation, step)
                buffer.divide(row, n, d, step)
            else:
                row -= self._amount(operation, reading, step)

    def _in_range(self, integers: Tensor | None, slot: int, step: int) -> Tensor:
        if integers is None:
            limit = self.formats[slot].range
            raise OutOfRangeError(self.names[slot], limit, step, self.steps)
        return integers
