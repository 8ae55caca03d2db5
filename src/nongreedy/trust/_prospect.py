"""What a search is expected to gain, from the slopes of a few seeds, before anything else is spent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import Hypergradient
from ..schedules import Hyperparameter, Schedule
from ..search._words import number
from ..search.rules._model_state import prior_of
from ..search.rules._space import Space
from ._smoothness import Smoothness

_FAR = 0.5  # of the loss: a quadratic that promises more does not hold as far as it would have to
_SURE = 2.0  # standard errors


@dataclass(frozen=True)
class Prospect:
    r"""How much lower the validation loss of a schedule near this one is expected to be.

    With the slopes :math:`g_s` of K seeds, in units of outer steps, and H the curvature that the default
    rule expects before it has seen any, the gain of a quadratic is :math:`\tfrac12 g^\top H^{-1} g`, a
    sum of :math:`g_i^2 / 2 h_i` where coefficients act alone. Pairs of different seeds leave out what
    noise would add to it:

    .. math:: \hat G = \frac{1}{2 K (K - 1)} \sum_{s \ne s'} g_s^\top H^{-1} g_{s'}

    Where plain runs have been a finite step down the mean slope (:class:`Smoothness`), and the loss bends
    more on that way than H says, H is as many times larger.

    Attributes:
        gain: In units of the loss; not positive where the slopes do not stand out of their noise.
        error: Its standard error, by leaving out each seed in turn; NaN of two seeds.
        noise: Standard deviation of the validation loss between seeds.
        loss: Mean over the seeds.

    Source: the curvatures are those of :class:`~nongreedy.ModelSearch`, found on other networks.

    Cannot: tell more than the order of magnitude, as it knows of this network's curvature nothing but one
    direction; see beyond the nearest minimum, or what hyperparameters with
    many coefficients, such as weights of examples, may give.

    Example:
        >>> Prospect(gain=0.02, error=0.004, noise=0.01, loss=0.5).words
        'From here a search is expected to gain about 0.02 (4%); the noise between seeds is 0.01.'
    """

    gain: float
    error: float
    noise: float
    loss: float

    @property
    def expected(self) -> bool:
        """Whether a gain is: more than twice its standard error, if that is known."""
        return self.gain > (0.0 if math.isnan(self.error) else _SURE * self.error)

    @property
    def words(self) -> str:
        """In a sentence."""
        noise = f"the noise between seeds is {number(self.noise)}"
        if not self.expected:
            return (
                f"No gain is to be expected from here: the slopes are within their noise; {noise}."
            )
        if self.gain > _FAR * abs(self.loss):
            return (
                f"From here a search is expected to gain much, more than can be estimated; {noise}."
            )
        share = f" ({self.gain / abs(self.loss):.0%})" if self.loss else ""
        return f"From here a search is expected to gain about {number(self.gain)}{share}; {noise}."


def prospect_of(
    hypergradients: Sequence[Hypergradient],
    schedule: Schedule,
    hyperparameters: Mapping[str, Hyperparameter],
    smoothness: Smoothness | None = None,
) -> Prospect | None:
    """From hypergradients of one schedule on different seeds; None where that cannot be estimated: one
    seed, nothing that is modelled, a value on the edge of its coordinate."""
    space = Space(hyperparameters, schedule)
    chosen, values = space.modelled, [h.value for h in hypergradients]
    if len(hypergradients) < 2 or not len(chosen) or not all(map(math.isfinite, values)):
        return None
    loss = statistics.fmean(values)
    slopes = torch.stack([space.gradient(schedule, h.gradients) for h in hypergradients])
    if not loss or not bool(slopes.isfinite().all()):
        return None
    curvature = prior_of(space).curvature * abs(loss)
    if smoothness is not None:
        curvature = curvature * _steeper(slopes.mean(0), chosen, curvature, smoothness)
    slopes = slopes[:, chosen]
    gain, error = _with_error(slopes @ torch.linalg.solve(curvature, slopes.T))
    return Prospect(gain, error, statistics.stdev(values), loss)


def _steeper(slope: Tensor, chosen: Tensor, curvature: Tensor, smoothness: Smoothness) -> float:
    """How many times more the loss bends down the slope than is expected; at least 1.

    Over a step h along v the loss changes R times as its slope says, so that it bends there by
    ``2 (R - 1) <g, v> / h``.
    """
    largest = float(slope.abs().max())
    if not largest or math.isnan(smoothness.linearity):
        return 1.0
    way = -slope / largest
    bends = 2 * (smoothness.linearity - 1) * float(slope @ way) / smoothness.step
    expected = float(way[chosen] @ curvature @ way[chosen])
    return max(bends / expected, 1.0) if expected else 1.0


def _with_error(products: Tensor) -> tuple[float, float]:
    """Half the mean of what different seeds give together, and its standard error by the jackknife."""
    count = len(products)
    gain = _unbiased(products)
    if count < 3:
        return gain, math.nan
    kept = [torch.arange(count) != k for k in range(count)]
    without = [_unbiased(products[rows][:, rows]) for rows in kept]
    return gain, (count - 1) / math.sqrt(count) * statistics.stdev(without)


def _unbiased(products: Tensor) -> float:
    count = len(products)
    return float(products.sum() - products.diagonal().sum()) / (2 * count * (count - 1))
