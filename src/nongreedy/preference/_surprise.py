"""Whether answers agree with the belief that predicted them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST, ALARM = 3, 3.0  # answers, and standard deviations


class ContradictionWarning(UserWarning):
    """Answers are less likely than a belief expects of answers."""


def surprise(predicted: Sequence[tuple[Tensor, int]]) -> float:
    r"""By how many standard deviations answers were less likely than expected.

    Before each answer the belief said how likely each is. Under a true belief the excess of
    :math:`-\log p` of what came over its expectation is a martingale, so the sum has a known variance.

    Args:
        predicted: Probabilities of answers before each was given, and the one that was.

    Returns:
        Zero where there are fewer than three answers, or nothing could surprise.
    """
    if len(predicted) < LEAST:
        return 0.0
    excess, variance = 0.0, 0.0
    for chances, choice in predicted:
        information = -chances.clamp(min=1e-12).log()
        entropy = float(torch.special.entr(chances).sum())
        excess += float(information[choice]) - entropy
        variance += float((chances * information.square()).sum()) - entropy**2
    return excess / math.sqrt(variance) if variance > 0 else 0.0


def warn_of(surprised: float) -> None:
    """Say it where it is too large for chance."""
    if surprised > ALARM:
        warnings.warn(
            f"The answers contradict the belief: they are {surprised:.1f} standard deviations less likely "
            "than it expects. Answers may be noisier than it assumes (noise=UncertainNoise(...)), two may "
            "contradict each other, or utility may not be linear in the attributes (log=True).",
            ContradictionWarning,
            stacklevel=3,
        )
