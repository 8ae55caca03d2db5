"""What the wings share with the core: sets to choose from, estimates of gradients, random streams.

A wing chooses a point of a set by gradients: an architecture, a question, an action. It relaxes the set,
follows an estimate, rounds to a real member and certifies that one. These are the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from .task._streams import generator, mix

__all__ = ["Estimate", "FeasibleSet", "GradientSource", "front", "generator", "mix"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class Estimate:
    """What a source says of a function at a point.

    Attributes:
        value: Of the function, shape ().
        gradient: Shape of the point, in value per unit of it.
        standard_error: Of the gradient, shape of the point; zeros where it is exact.
        cost: What was spent on it, in the source's own unit.
    """

    value: Tensor
    gradient: Tensor
    standard_error: Tensor
    cost: float


@runtime_checkable
class GradientSource(Protocol):
    """Whoever estimates a gradient: by differentiating, by asking, by playing."""

    unit: str  # what its costs are counted in: "plays", "samples", "plain runs"

    def estimate(self, point: Tensor, seed: int, budget: float) -> Estimate:
        """The function and its gradient at `point`, for at most `budget` units; the same for the same
        arguments."""
        ...


@runtime_checkable
class FeasibleSet(Protocol):
    """A set of points, as far as gradients need to know it."""

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """The largest inner product of a member with `direction`, and a member that attains it."""
        ...

    def project(self, point: Tensor) -> Tensor:
        """The nearest point of the relaxed set."""
        ...

    def round(self, point: Tensor) -> Tensor:
        """The nearest real member."""
        ...


def front(rows: Iterable[Row], objectives: Mapping[str, Callable[[Row], Any]]) -> list[Row]:
    """Rows that no other row beats in every objective: the Pareto set, in their order.

    Args:
        rows: Anything; of rows that are level in all objectives the first is kept.
        objectives: Name -> what is to be small of a row, a number. Negate what should be large.

    Raises:
        ValueError: No objective, or a number that is not finite, with the row.

    Example:
        >>> front([(1, 5), (2, 2), (3, 3)], {"loss": lambda row: row[0], "ms": lambda row: row[1]})
        [(1, 5), (2, 2)]
    """
    if not objectives:
        raise ValueError("`objectives` is empty: name at least one number of a row.")
    rated = [(row, [_finite(row, *each) for each in objectives.items()]) for row in rows]
    # Whoever is beaten comes after the one that beats him, so each is compared with winners alone.
    order = sorted(range(len(rated)), key=lambda k: (rated[k][1], k))
    kept = list[int]()
    for k in order:
        if not any(_covers(rated[other][1], rated[k][1]) for other in kept):
            kept.append(k)
    return [rated[k][0] for k in sorted(kept)]


def _covers(left: list[float], right: list[float]) -> bool:
    return all(a <= b for a, b in zip(left, right, strict=True))


def _finite(row: object, name: str, objective: Callable[[Any], Any]) -> float:
    value = float(objective(row))
    if not abs(value) < float("inf"):
        raise ValueError(f"The objective {name!r} must be finite, but is {value} in {row!r:.80}.")
    return value
