"""A hyperparameter that no gradient reaches: batch size, epochs, widths, steps of a pipeline."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch

from ._basis import Constant

_RATIO = 10.0  # between bounds, above 0, from which a coordinate is one of ratios
_STEP, _SHARE = math.log10(4.0), 0.25  # an outer step: fourfold, or this share of the range


@final
@dataclass(frozen=True)
class GradientFree(Constant):
    """A number that holds throughout the run and is searched without derivatives.

    For a :class:`Task`: as its `batch_size`, as one of its `hyperparameters`, of which `model` and `augment`
    receive those that they have an argument for, and the other functions all in `hypers`; and as `epochs`
    of :func:`tune`.

    Args:
        initial: Where the search begins.
        bounds: ``(lowest, highest)``, both allowed values.
        integer: Whether it is a whole number.
        transform: Coordinate in which it moves, as of a :class:`Basis`; by default ``"log"`` where both
            bounds are above 0 and ten times apart, else the value itself.
        outer_step: How far the two runs of a pair lie from where the search stands, in that coordinate; by
            default a factor of four, or a quarter of the range.

    Raises:
        ValueError: Bounds out of order, a value outside them, or one of them not whole where it should be.

    Cannot: be a category, such as the kind of an optimizer, for which Optuna's samplers are; change during
    a run; be differentiated.

    Example:
        >>> GradientFree(64, bounds=(16, 256), integer=True)
        GradientFree(64, bounds=(16, 256), integer=True)
    """

    initial: float = field(default=math.nan, kw_only=False)
    bounds: tuple[float, float] = field(default=(-math.inf, math.inf), kw_only=False)
    integer: bool = False
    kind: ClassVar[str] = "gradient_free"

    def __post_init__(self) -> None:
        initial, (low, high) = float(torch.as_tensor(self.initial)), map(float, self.bounds)
        if not low <= initial <= high or not math.isfinite(low) or not math.isfinite(high):
            raise ValueError(
                "A GradientFree needs a value between finite bounds, such as GradientFree(64, bounds=(16, "
                f"256), integer=True), but got {self!r}."
            )
        if self.integer and any(value != round(value) for value in (initial, low, high)):
            raise ValueError(
                f"A whole number needs a whole initial value and bounds, but got {self!r}."
            )

    def __repr__(self) -> str:
        low, high = self.bounds
        whole = ", integer=True" if self.integer else ""
        return f"GradientFree({self.initial:g}, bounds=({low:g}, {high:g}){whole})"

    @property
    def coordinate(self) -> tuple[str | None, float]:
        """In which it moves, and by how much at first."""
        low, high = self.bounds
        ratios = low > 0 and high >= _RATIO * low
        transform = ("log" if ratios else None) if self.transform == "default" else self.transform
        step = _STEP if transform == "log" else _SHARE * (high - low)
        return transform, step if self.outer_step is None else self.outer_step

    @property
    def value(self) -> float:
        """Where it stands; an int where it is whole."""
        return int(self.initial) if self.integer else float(self.initial)

    def at(self, value: float) -> "GradientFree":
        """The same, standing elsewhere."""
        return replace(self, initial=value)

    def shape_settings(self) -> Mapping[str, Any]:
        return {"integer": self.integer}
