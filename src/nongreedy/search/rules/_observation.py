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


def logged(observations: Sequence[Observation]) -> bool:
    """Whether noise is alike in logarithms of losses: all of them are positive."""
    return min(o.loss for o in observations) > 0


def relative(observations: Sequence[Observation], scale: float) -> list[Observation]:
    """In units in which noise is alike: logarithms where losses have them, else shares of the scale."""
    found, logs = list[Observation](), logged(observations)
    for o in observations:
        unit = o.loss if logs and math.isfinite(o.loss) else scale
        loss = math.log(o.loss) if logs else o.loss / scale
        found.append(replace(o, loss=loss, slope=None if o.slope is None else o.slope / unit))
    return found
