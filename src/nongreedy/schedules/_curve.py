"""One hyperparameter over a run: a basis and its coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import ScheduleFileError
from ._basis import Basis, Constant, Linear, TimeBasis
from ._gradient_free import GradientFree
from ._ranges import out_of_range
from ._value import Value
from ._variable import Variable
from ._windows import PerStep, Windows
from ._words import number

_LARGEST = torch.finfo(torch.float64).max
_LISTED = 50  # more coefficients than this are summarized
_UNEQUAL = "unequal_windows"  # in files


@dataclass(frozen=True)
class Curve(Value):
    """One hyperparameter over a run: a basis and its coefficients (float64, own units, flat).

    `owner` says whose it is: a setting of the ``"optimizer"``, or one of the ``"task"``. Curves are
    equal where they have equal values in runs of any length, on bases of one kind: where a search
    began and how it moved is not theirs, and a file gives back an equal curve.
    """

    basis: Basis
    coefficients: Tensor
    owner: str = "optimizer"

    def content(self) -> Mapping[str, Any]:
        """Coefficients, owner, and of the basis what the values depend on."""
        basis = self.stretchable().basis
        kind = {"basis": type(basis), **basis.shape_settings()}
        return {**kind, "coefficients": self.coefficients, "owner": self.owner}

    def values(self, steps: int) -> Tensor:
        """Values at each step, shape (steps,), float64; of a variable (steps, *its shape)."""
        return self.stretchable().basis.expand(self.coefficients, steps)

    def on(self, basis: TimeBasis, steps: int) -> Curve:
        """The same curve on another basis, exact where that is finer; of runs of `steps` steps."""
        if basis == self.basis:
            return self
        per_step = self.basis.expand(self.coefficients, steps)
        return replace(self, basis=basis, coefficients=per_step[basis.positions(steps)])

    def stretchable(self) -> Curve:
        """The same curve on a basis that does not name its number of steps."""
        if self.basis.kind == "per_step":
            return replace(self, basis=Windows(len(self.coefficients)))
        return self

    @property
    def edges(self) -> tuple[float, ...]:
        """Where windows of unequal length meet, relative to the run; empty for any other basis."""
        return tuple(getattr(self.basis, "edges", None) or ())

    def to_json(self) -> dict[str, Any]:
        """Basis and coefficients, and what differs from the usual."""
        basis = self.stretchable().basis
        row: dict[str, Any] = {"basis": basis.kind, "coefficients": self.coefficients.tolist()}
        if isinstance(basis, Variable):
            row["shape"] = list(basis.shape)
        if isinstance(basis, GradientFree):
            row["integer"] = basis.integer
        if self.edges:
            # A name of its own: a release that does not know of edges must not take them for equal.
            row |= {"basis": _UNEQUAL, "edges": list(self.edges)}
        return row if self.owner == "optimizer" else {**row, "owner": self.owner}

    @property
    def summary(self) -> str:
        """In a few words, to three digits: ``0.83``, or ``0.076..0.0075 (5 knots)``."""
        values, basis = self.coefficients, self.stretchable().basis
        if isinstance(basis, Variable):
            low, high = number(float(values.min()), 3), number(float(values.max()), 3)
            return f"{low} to {high} (shape {basis.shape})"
        if len(values) == 1:
            return number(float(values[0]), 3)
        ends = (number(float(value), 3) for value in (values[0], values[-1]))
        kind = "knots" if isinstance(basis, Linear) else "windows"
        return f"{'..'.join(ends)} ({len(values)} {kind})"

    def __repr__(self) -> str:
        return f"Curve({self.summary})"

    def describe(self) -> str:
        """The coefficients for people; many of them as a summary."""
        values = self.coefficients
        if len(values) <= _LISTED:
            listed = "  ".join(f"{value:.4g}" for value in values.tolist())
            ends = ", ".join(f"{edge:.4g}" for edge in self.edges)
            return f"{listed}  (windows that meet at {ends} of the run)" if ends else listed
        low, mean, high = (f"{float(v):.4g}" for v in (values.min(), values.mean(), values.max()))
        return f"{len(values)} values from {low} to {high}, mean {mean}"


def as_row(like: Curve, values: Sequence[float], edges: Sequence[float] | None) -> Curve:
    """A curve of a history row, whose basis may be coarser than that of the curve it grew into.

    Args:
        values: Coefficients.
        edges: Of windows of unequal length.
    """
    coefficients, count = torch.tensor(values, dtype=torch.float64), len(values)
    if isinstance(like.basis, (Variable, GradientFree)):
        basis: Basis = like.basis
    elif isinstance(like.basis, Linear) and count > 1:
        basis = Linear(count)
    elif isinstance(like.basis, (Windows, Linear, PerStep, Constant)):
        basis = Windows(edges=edges) if edges else Windows(count)
    else:  # a stranger's, or a rung of its ladder
        basis = next(rung for rung in like.basis.ladder() if rung.size(count) == count)
    return Curve(basis, coefficients, like.owner)


_BASES = {"windows": Windows, "linear": Linear, "constant": lambda count: Constant()}
_SINGLE = ("constant", GradientFree.kind)  # with one coefficient
_KINDS = sorted([*_BASES, _UNEQUAL, Variable.kind, GradientFree.kind])


def read_curve(name: str, row: Any, source: str) -> Curve:
    """The inverse of :meth:`Curve.to_json`, every field checked."""
    row = row if isinstance(row, dict) else {}
    kind, numbers = row.get("basis"), row.get("coefficients")
    valid = isinstance(numbers, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= _LARGEST
        for v in numbers
    )
    if kind not in _KINDS or not valid or not numbers or (kind in _SINGLE and len(numbers) != 1):
        raise ScheduleFileError(
            f"{source!r}: {name} has basis {kind!r} and coefficients {numbers!r}; expected one of "
            f"{_KINDS} and a list of finite numbers."
        )
    values = torch.tensor(numbers, dtype=torch.float64)
    try:
        if kind == Variable.kind:
            basis: Basis = Variable(initial=values.view(row.get("shape")))
        elif kind == GradientFree.kind:
            basis = GradientFree(numbers[0], (numbers[0],) * 2, bool(row.get("integer")))
        elif kind == _UNEQUAL:
            basis = Windows(edges=row.get("edges") or ())
            if basis.size(1) != len(numbers):
                raise ValueError(f"{len(numbers)} coefficients for {basis.size(1)} windows.")
        else:
            basis = _BASES[kind](len(numbers))
        curve = Curve(basis, values, str(row.get("owner", "optimizer")))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ScheduleFileError(f"{source!r}: {name}: {error}") from error
    words = out_of_range(name, values, "coefficient")
    if words and curve.owner == "optimizer":
        raise ScheduleFileError(f"{source!r}: {words}")
    return curve
