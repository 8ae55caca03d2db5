"""Whether another question pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ..errors import check_number
from ..protocols import FeasibleSet
from ._belief import Belief
from ._query import Query
from ._value import Value, evoi

_MORE = (4, 16)  # times as many fresh samples, where those at hand do not decide


@final
@dataclass(frozen=True)
class Stopping:
    """Ask while the value of the answer is above the cost of asking, beyond doubt.

    Where the fresh samples do not decide, more are drawn, up to sixteen times as many.

    Args:
        cost: Of a question, in units of utility: what an answer must gain to be worth the trouble.
        confidence: Standard errors by which the value must be above it.

    Example:
        >>> Stopping(0.01).cost
        0.01
    """

    cost: float = 0.0
    confidence: float = 1.64

    def __post_init__(self) -> None:
        check_number("cost", self.cost, " It is in units of utility.", zero=True)
        check_number("confidence", self.confidence, zero=True)

    def judged(
        self, belief: Belief, fresh: Belief, query: Query, items: FeasibleSet
    ) -> tuple[bool, Value]:
        """Whether to ask, and what the question is worth."""
        value = evoi(belief, query, items, fresh)
        for times in _MORE:
            if abs(value.value - self.cost) > self.confidence * value.standard_error:
                break
            # All answers agree in what they recommend: no sample can tell it from nothing.
            if value.in_sample == 0:
                break
            value = evoi(belief, query, items, belief.twin(times * len(belief.weights)))
        return value.value - self.cost > self.confidence * value.standard_error, value
