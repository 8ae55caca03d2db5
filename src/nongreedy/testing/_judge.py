"""The judge: what finite differences say of a run, and whether a hypergradient agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import FiniteDifference, Run
from ..schedules import Schedule

TOLERANCE = 1e-6  # largest error of a cell, relative to its largest slope
ENTRYWISE = 5  # up to so many coefficients are differenced one by one, more along directions
DIRECTIONS = 2  # random signs: an error in any one entry shows along every one of them


_NARROW = FiniteDifference(step=3e-5, order=4, floor=0.03)


@dataclass(frozen=True)
class Judge:
    """Central differences, with common random numbers, of order 4.

    Attributes:
        differences: How wide they are. Wide enough that rounding stays below the tolerance, and so
            narrow that no coordinate crosses the kink of a clipped gradient.
        entrywise: Coefficients up to which each is differenced by itself; more are differenced
            along a few random directions, at a cost that does not grow with their number.
    """

    differences: FiniteDifference = _NARROW
    entrywise: int = ENTRYWISE

    def slopes(self, run: Run, schedule: Schedule, name: str) -> Slopes:
        """The derivative of the outer loss along chosen directions of the coefficients of `name`."""
        center, judge = schedule[name], self.differences
        scales = center.abs().clamp(min=judge.floor)
        if len(center) <= self.entrywise:
            directions, widths = torch.eye(len(center), dtype=torch.float64), judge.step * scales
        else:
            source = torch.Generator().manual_seed(len(center))
            directions = torch.randint(2, (DIRECTIONS, len(center)), generator=source) * 2.0 - 1.0
            widths = judge.step * scales.mean().expand(DIRECTIONS)
        directions = directions.double()
        slopes = [
            judge.slope(run, schedule, name, direction, width)
            for direction, width in zip(directions, widths.tolist(), strict=True)
        ]
        values = torch.tensor(slopes, dtype=torch.float64)
        return Slopes(directions, values, rounding=_EPS / widths.min().item())


_EPS = 2 * torch.finfo(torch.float64).eps  # of a loss of about one


@dataclass(frozen=True)
class Slopes:
    """Derivatives `values`, shape (K,), along `directions`, shape (K, coefficients).

    `rounding` is about how far each of them may be off, because a loss has 16 digits.
    """

    directions: Tensor
    values: Tensor
    rounding: float

    @property
    def entrywise(self) -> bool:
        """Whether the directions are the coefficients themselves."""
        return len(self.directions) == self.directions.shape[1]

    @property
    def scale(self) -> float:
        """The largest slope."""
        return self.values.abs().max().item()

    @property
    def resolved(self) -> bool:
        """Whether differences can tell an error of the size of the tolerance from rounding."""
        return self.rounding <= TOLERANCE * self.scale

    def error(self, gradient: Tensor) -> float:
        """The largest deviation of a gradient, shape (coefficients,), relative to `scale`."""
        return relative(self.directions @ gradient.double(), self.values)

    def score(self, gradient: Tensor, standard_error: Tensor) -> float:
        """The largest deviation of an estimate, in its own standard errors."""
        # Where nothing scatters, only rounding is left to compare.
        floor = self.rounding + TOLERANCE * self.scale
        return ((gradient - self.values).abs() / (standard_error + floor)).max().item()


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest error relative to the largest expected entry; NaN counts as infinite."""
    if found.shape != expected.shape or not bool(found.isfinite().all()):
        return float("inf")
    error, scale = (found - expected).abs().max().item(), expected.abs().max().item()
    if error == 0:
        return 0.0
    return error / scale if scale > 0 else float("inf")


def assert_same(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = TOLERANCE
) -> None:
    """Raise AssertionError unless two hypergradients agree, name by name.

    Each name's largest error is compared with its own largest entry.

    Example:
        >>> import torch
        >>> assert_same({"momentum": torch.ones(2)}, {"momentum": torch.ones(2)})
    """
    if found.keys() != expected.keys():
        raise AssertionError(f"Found {sorted(found)}, but expected {sorted(expected)}.")
    for name, value in expected.items():
        error = relative(found[name], value)
        if not (bool(value.isfinite().all()) and error <= tolerance):
            raise AssertionError(f"{name}: relative error {error:.1e} > {tolerance:.0e}.")
