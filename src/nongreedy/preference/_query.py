"""A question: which of these would you rather have?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import check_whole
from ._numbers import tensor


@dataclass(frozen=True, eq=False)
class Query:
    """A slate of items, of which the best is asked for.

    Args:
        points: Shape (k, d), scaled attributes of at least two items.
        members: Which items of a catalogue they are; none for hypothetical ones.
        attributes: The attributes that are shown, of a partial question; all others count as level.
            None: all of them.

    Raises:
        ValueError: One item, identical items, NaN, attributes that do not exist.

    Example:
        >>> Query([[1.0, 0.0], [0.0, 1.0]]).slots
        2
    """

    points: Tensor
    members: tuple[int, ...] | None = None
    attributes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        points = tensor("points", self.points, 2)
        if self.attributes is not None:
            points = self._masked(points, self.attributes)
        if len(points) < 2:
            raise ValueError("A question needs at least two items, but got one.")
        if self.members is not None and len(self.members) != len(points):
            raise ValueError(f"{len(points)} items, but {len(self.members)} `members`.")
        for k, point in enumerate(points):
            for earlier in range(k):
                if torch.equal(points[earlier], point):
                    names = self.members or range(len(points))
                    raise ValueError(
                        f"Items {names[earlier]} and {names[k]} of the question are identical: an answer "
                        "would say nothing. Leave one out."
                    )
        object.__setattr__(self, "points", points)

    @staticmethod
    def _masked(points: Tensor, attributes: Sequence[int]) -> Tensor:
        unknown = [a for a in attributes if a not in range(points.shape[1])]
        if unknown or not attributes or len(set(attributes)) < len(attributes):
            raise ValueError(
                f"`attributes` must be different numbers below {points.shape[1]}, but got {attributes}."
            )
        mask = torch.zeros(points.shape[1], dtype=torch.float64)
        mask[list(attributes)] = 1
        return points * mask

    @property
    def slots(self) -> int:
        """How many items."""
        return len(self.points)

    def to_json(self) -> dict[str, Any]:
        """Points, members, attributes."""
        members, attributes = self.members, self.attributes
        return {
            "points": self.points.tolist(),
            "members": None if members is None else list(members),
            "attributes": None if attributes is None else list(attributes),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Query:
        """The question that said this."""
        parts = {k: None if said[k] is None else tuple(said[k]) for k in ("members", "attributes")}
        return cls(said["points"], **parts)


@dataclass(frozen=True, eq=False)
class Answer:
    """A question and the slot that was preferred."""

    query: Query
    choice: int

    def __post_init__(self) -> None:
        check_whole("choice", self.choice, 0)
        if self.choice >= self.query.slots:
            raise ValueError(
                f"`choice` must be a slot from 0 to {self.query.slots - 1}, but got {self.choice}."
            )

    def to_json(self) -> dict[str, Any]:
        """The question, and the choice."""
        return {**self.query.to_json(), "choice": self.choice}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Answer:
        """The answer that said this."""
        return cls(Query.from_json(said), said["choice"])
