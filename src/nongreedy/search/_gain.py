"""What a search gained over the schedule that it started from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from ._words import count

# Standard errors from which on a gain is called one, from two seeds on: Student's t at 97.5 %, because
# the standard error of few differences is itself mostly luck.
_SURE = (12.7, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36)
_NOTHING = "No gain is known: nothing was compared with the start."


def sure(seeds: int) -> float:
    """Standard errors that chance alone seldom exceeds, of the mean over so many seeds, two or more."""
    return _SURE[min(seeds, len(_SURE) + 1) - 2]


@final
@dataclass(frozen=True)
class Gain:
    """Of the schedule that a search returns over its fallback, on common fresh seeds.

    Attributes:
        loss: By how much its validation loss is lower, on average; 0 where the fallback is returned,
            infinite where that diverged, NaN where nothing was compared (:data:`UNKNOWN`).
        standard_error: Of that difference; NaN from one seed.
        seeds: Fresh seeds on which both were run.
        fallback: Mean validation loss of the fallback on these seeds; NaN without seeds.
        hopeless: Further seeds, on which every run diverged: no loss has them.
        diverged: Of the seeds, those on which the fallback diverged, and the schedule did not.
    """

    loss: float
    standard_error: float
    seeds: int
    fallback: float
    hopeless: int = 0
    diverged: int = 0

    @property
    def clear(self) -> bool:
        """Whether chance alone would seldom show it: Student's t-test over the seeds, at 2.5 %."""
        return self.seeds >= 2 and self.loss > sure(self.seeds) * self.standard_error

    @property
    def verdict(self) -> str:
        """In words that a difference within the noise does not earn."""
        seeds = count(self.hopeless, "further fresh seed" if self.seeds else "fresh seed")
        lost = f" On {seeds} every run diverged."
        return self._compared + (lost if self.hopeless else "")

    @property
    def _compared(self) -> str:
        if self.diverged:
            return (
                f"Its start diverged on {self.diverged} of {count(self.seeds, 'fresh seed')}, on all of "
                "which this one finished."
            )
        if math.isnan(self.loss):
            return _NOTHING
        if self.loss == 0:
            return (
                "Nothing was gained over the start, which is returned."
                if self.seeds
                else "The start is returned: no other schedule met it on fresh seeds."
            )
        share = f" ({self.loss / abs(self.fallback):.1%})" if self.fallback else ""
        if self.seeds < 2:
            return f"Lower than its start by {self.loss:.3g}{share} on one fresh seed, which may be luck."
        told = (
            f"{self.loss:.3g} ± {self.standard_error:.2g}{share} on {self.seeds} common fresh seeds"
        )
        if self.clear:
            return f"Lower than its start by {told}."
        return f"Lower than its start by {told}: within the noise."

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; what is not finite becomes None."""
        return {n: v if math.isfinite(v) else None for n, v in asdict(self).items()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Gain:
        """The inverse of :meth:`to_json`."""
        known = {name: math.nan if v is None else v for name, v in row.items()}
        return cls(**{**known, "seeds": int(row["seeds"])})


UNKNOWN = Gain(math.nan, math.nan, 0, math.nan)  # nothing was compared
