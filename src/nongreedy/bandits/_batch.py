"""What a policy asks for: actions whose rewards it hears all at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Actions to play before anything else is decided.

    A plan is a generator of batches: each `yield` gives back their rewards, shape (n, repeats), and the
    plan goes on. So a policy is written as the loop that a paper prints, and whoever drives it (a
    simulation, a user's own rewards, an estimate of a gradient) is written once.

    Attributes:
        actions: Shape (n, *shape).
        repeats: How often each is played.
        heard: Whether the plan needs the rewards. Where not, it goes on at once, and gets None.
        choice: What the policy would return if it had to stop now, None while it knows nothing.
    """

    actions: Tensor
    repeats: int = 1
    heard: bool = True
    choice: Tensor | None = None

    @property
    def plays(self) -> int:
        """How many rewards there are to be."""
        return len(self.actions) * self.repeats


Plan = Generator[Batch, Tensor, T]


def drive(plan: Plan[T], answer: Callable[[Batch], Tensor]) -> T:
    """Run a plan that ends, with these rewards of each batch, and return what it returns."""
    try:
        batch = next(plan)
        while True:
            batch = plan.send(answer(batch))
    except StopIteration as end:
        return end.value
