"""What a search may take, as far as is known before it begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from ._budget import Budget


@final
@dataclass(frozen=True)
class Outlook:
    """What a search may take, for whoever shows how far it is.

    Attributes:
        sizes: Name of each learned hyperparameter -> its largest number of coefficients.
        outer_steps: Most of them; infinity is no limit.
        budget: Its limits, and what is spent so far.
        final: Plain runs that a full final comparison takes.
        patience: Outer steps in a row without an improvement that end the search; None where none do.
    """

    sizes: Mapping[str, int]
    outer_steps: float
    budget: Budget
    final: float
    patience: int | None = None

    def step(self, number: int) -> str:
        """Which outer step, of how many."""
        most = self.outer_steps
        return f"outer step {number}" + (f" of {most}" if math.isfinite(most) else "")
