"""The state of a run in integers, which steps forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import OutOfRangeError
from ...optimizers import Optimizer
from .._readings import Note, Readings
from .buffer import Buffer
from .factor import Fractions, Values
from .fixed_point import DEFAULT_BITS, FixedPoint, in_range
from .program import Operation, Program, Reading, Scale


@dataclass(frozen=True)
class Factors:
    """What multiplies and moves at each step: every value and every fraction."""

    values: Values  # those of factors are n/d
    fractions: Mapping[str, Fractions]  # by name of a factor

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
        OutOfRangeError: A number left the range of its format, as soon as what is noted is read.
    """

    def __init__(
        self,
        program: Program,
        factors: Factors,
        optimizer: Optimizer,
        start: Tensor,
        fraction_bits: int,
    ):
        self.program, self.factors, self.optimizer = program, factors, optimizer
        self.dtype, self.fraction_bits = start.dtype, fraction_bits
        self.formats = [FixedPoint(fraction_bits)] * len(program.slots)
        self.steps = len(factors.values["step"])
        self._fractions = {
            name: list(zip(n.tolist(), d.tolist(), strict=True))
            for name, (n, d) in factors.fractions.items()
        }
        self.integers = self.encode(start)
        scaled = ((scale.factor, self.integers[scale.slot]) for scale in program.scales)
        self.buffers = {f.name: Buffer(row, f.multiplier, f.name) for f, row in scaled}

    def encode(self, start: Tensor) -> Tensor:
        """A floating-point state in integers."""
        note = Readings(at_once=True).add
        return torch.stack([self._encoded(row, slot, 0, note) for slot, row in enumerate(start)])

    def floats(self) -> Tensor:
        """The state in the run's dtype, shape (slots, P): a function of the integers alone."""
        return torch.stack([self.slot(k) for k in range(len(self.formats))]).to(self.dtype)

    def slot(self, index: int) -> Tensor:
        """One slot in float64, shape (P,)."""
        return self.formats[index].decode(self.integers[index])

    @torch.no_grad()
    def advance(self, gradient: Tensor, step: int, note: Note) -> None:
        """Take a step, with the raw gradient at slot 0."""
        if step == 0:
            self._fit(self._reading(step, gradient))
        self._weigh(step)
        self._apply(self.program.gather, self._reading(step, gradient), step, note)
        self._apply(self.program.move, self._reading(step), step, note)

    @torch.no_grad()
    def retreat(self, gradient_at: Callable[[Tensor, int], Tensor], step: int, note: Note) -> None:
        """Undo a step. The gradient is asked for once slot 0 is back where it was taken."""
        self._undo(self.program.move, self._reading(step), step, note)
        with torch.enable_grad():
            gradient = gradient_at(self.slot(0).to(self.dtype), step)
        self._undo(self.program.gather, self._reading(step, gradient), step, note)

    def _weigh(self, step: int) -> None:
        """Look at all limbs, in one read, where one may be full."""
        if any(self.buffers[n].may_be_full(*f[step]) for n, f in self._fractions.items()):
            most = torch.stack([buffer.limb.max() for buffer in self.buffers.values()]).tolist()
            for buffer, number in zip(self.buffers.values(), most, strict=True):
                buffer.weigh(number)

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
        return self.buffers[name], *self._fractions[name][step]

    def _apply(
        self, operations: Sequence[Operation], reading: Reading, step: int, note: Note
    ) -> None:
        for operation in operations:
            row = self.integers[operation.slot]
            if isinstance(operation, Scale):
                buffer, n, d = self._fraction(operation, step)
                buffer.multiply(row, n, d, step)
                continue
            row += self._encoded(operation.amount(reading), operation.slot, step, note)
            self._note(in_range(row), operation.slot, step, note)

    def _undo(
        self, operations: Sequence[Operation], reading: Reading, step: int, note: Note
    ) -> None:
        for operation in reversed(operations):
            row = self.integers[operation.slot]
            if isinstance(operation, Scale):
                buffer, n, d = self._fraction(operation, step)
                buffer.divide(row, n, d, step, note)
            else:
                row -= self._encoded(operation.amount(reading), operation.slot, step, note)

    def _encoded(self, numbers: Tensor, slot: int, step: int, note: Note) -> Tensor:
        integers, fits = self.formats[slot].encode(numbers)
        self._note(fits, slot, step, note)
        return integers

    def _note(self, fits: Tensor, slot: int, step: int, note: Note) -> None:
        name, limit = self.program.slots[slot], self.formats[slot].range

        def judge(step: int, numbers: Sequence[float]) -> None:
            if not numbers[0]:
                raise OutOfRangeError(name, limit, step, self.steps)

        note(step, [fits], judge)
