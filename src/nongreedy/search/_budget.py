"""What a search may spend."""

import math
import time
from collections.abc import Callable
from numbers import Real

from ..errors import NongreedyError


class BudgetSpentError(NongreedyError):
    """The next run or sweep would exceed the budget."""


class Budget:
    """Plain training runs' worth of gradients: a limit, what is spent, what is kept for the end.

    Args:
        limit: Most that may be spent, everything counted; None is no limit.
        final: What a final comparison would like to have; at most a quarter of the budget is kept for
            it. None of it where there is no limit.
        seconds: Most time to take, of which the last quarter is kept for the end; None is no limit.
        clock: Tells the time, in seconds; None is this process's own.

    Attributes:
        spent: So far.

    Raises:
        ValueError: A limit that does not allow for one run, or no time at all.
        TypeError: What is no number.
    """

    def __init__(
        self,
        limit: float | None = None,
        final: float = 0.0,
        seconds: float | None = None,
        clock: Callable[[], float] | None = None,
    ):
        limit, seconds = _number("budget", limit), _number("timeout", seconds)
        if limit is not None and not limit >= 1:
            raise ValueError(f"`budget` must allow at least one plain run, but got {limit!r}.")
        self.limit, self.spent = math.inf if limit is None else limit, 0.0
        if seconds is not None and not seconds > 0:
            raise ValueError(
                f"`timeout` must be a positive number of seconds, but got {seconds!r}."
            )
        self._seconds, self._clock = (
            math.inf if seconds is None else seconds,
            clock or time.monotonic,
        )
        self._began = self._clock()
        self._share = 0.75
        self._reserve = 0.0 if limit is None else min(final, (limit - 1) / 4)

    @property
    def late(self) -> bool:
        """Whether the time is over, or what is kept of it for the end has begun."""
        return self._clock() - self._began > self._share * self._seconds

    @property
    def seconds_left(self) -> float:
        """Of the time; infinite without a limit."""
        return max(self._seconds - (self._clock() - self._began), 0.0)

    @property
    def released(self) -> bool:
        """Whether the end has come."""
        return self._share == 1.0

    @property
    def left(self) -> float:
        """What may still be spent before the end; infinite without a limit."""
        return self.limit - self._reserve - self.spent

    def affords(self, price: float) -> bool:
        """Whether this much may be spent."""
        return not self.late and self.spent + price <= self.limit - self._reserve

    def check(self, price: float) -> None:
        """Raise BudgetSpentError unless this much may be spent."""
        if self.late:
            raise BudgetSpentError(f"The time is over: {self._share * self._seconds:.1f} seconds.")
        if not self.affords(price):
            raise BudgetSpentError(
                f"{self.spent:.1f} of {self.limit:g} plain runs are spent; {price:.1f} more and "
                f"{self._reserve:g} for the final comparison do not fit."
            )

    def spend(self, price: float) -> None:
        """Count it; what was given back is negative."""
        self.spent += price

    def release(self) -> None:
        """The end has come: what was kept for it may be spent."""
        self._reserve, self._share = 0.0, 1.0


def _number(name: str, value: float | None) -> float | None:
    if value is None or (isinstance(value, Real) and not isinstance(value, bool)):
        return value
    raise TypeError(f"`{name}` must be a number, or None for no limit, but got {value!r}.")
