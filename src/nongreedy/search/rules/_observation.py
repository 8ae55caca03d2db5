"""What a run told the model, and the units in which its noise is alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from torch import Tensor


@final
@dataclass(frozen=True)
class Observation:
    """What a run told, and its sweep.

    Attributes:
        place: Where, a vector of a :class:`Space`.
        loss: Validation loss; infinite where it diverged.
        slope: Derivatives by the vector, NaN of what no gradient reaches; or None.
    """

    place: Tensor
    seed: int
    loss: float
    slope: Tensor | None = None


def relative(observations: Sequence[Observation]) -> list[Observation]:
    """In units in which noise is alike: logarithms of losses that are all positive, else their shares of
    the least."""
    finite = [o.loss for o in observations if math.isfinite(o.loss)]
    logged, least = min(finite) > 0, abs(min(finite)) or 1.0
    found = list[Observation]()
    for o in observations:
        unit = o.loss if logged and math.isfinite(o.loss) else least
        loss = math.log(o.loss) if logged else o.loss / least
        found.append(replace(o, loss=loss, slope=None if o.slope is None else o.slope / unit))
    return found
