"""Whether another question pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ..errors import check_number, check_whole
from ..protocols import FeasibleSet
from ._belief import Belief
from ._query import Query
from ._value import Value, evoi

_MORE = (4, 16)  # times as many fresh samples, where those at hand do not decide


@final
@dataclass(frozen=True)
class Stopping:
    """Ask while the value of the answer is above the cost of asking, beyond doubt.

    Where the fresh samples do not decide, more are drawn, up to sixteen times as many. Where answers are
    noisy, none by itself may change the decision, though several would. So a pair is also worth asking if
    2, 4, ... independent answers to it would be worth more than they cost, all together.

    Args:
        cost: Of a question, in units of utility: what an answer must gain to be worth the trouble.
        confidence: Standard errors by which the value must be above it.
        patience: Answers that are thought of together, at most; 1 looks at a single one.

    Source: for `patience`, Frazier and Powell, Paradoxes in learning and the marginal value of information
    (Decision Analysis, 2010), who let a measurement be repeated.

    Example:
        >>> Stopping(0.01).cost
        0.01
    """

    cost: float = 0.0
    confidence: float = 1.64
    patience: int = 8

    def __post_init__(self) -> None:
        check_number("cost", self.cost, " It is in units of utility.", zero=True)
        check_number("confidence", self.confidence, zero=True)
        check_whole("patience", self.patience)

    def judged(
        self, belief: Belief, fresh: Belief, query: Query, items: FeasibleSet
    ) -> tuple[bool, Value]:
        """Whether to ask, and what the question is worth by itself."""
        twins = {1: fresh}
        pays, alone = self._pays(belief, twins, query, items, 1)
        repeats = 2
        while not pays and query.slots == 2 and repeats <= self.patience:
            pays, _ = self._pays(belief, twins, query, items, repeats)
            repeats *= 2
        return pays, alone

    def _pays(
        self,
        belief: Belief,
        twins: dict[int, Belief],
        query: Query,
        items: FeasibleSet,
        repeats: int,
    ) -> tuple[bool, Value]:
        """Twins have so many times the samples, and are made where they are needed."""
        cost = repeats * self.cost
        value = evoi(belief, query, items, twins[1], repeats)
        for times in _MORE:
            decided = abs(value.value - cost) > self.confidence * value.standard_error
            # Where all answers lead to the same decision, no sample can tell the value from nothing.
            if decided or value.in_sample == 0:
                break
            if times not in twins:
                twins[times] = belief.twin(times * len(belief.weights))
            value = evoi(belief, query, items, twins[times], repeats)
        return value.value - cost > self.confidence * value.standard_error, value
