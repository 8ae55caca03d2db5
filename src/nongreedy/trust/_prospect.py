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

    Attributes:
        gain: In units of the loss; not positive where the slopes do not stand out of their noise.
        error: Its standard error, by leaving out each seed in turn; NaN of two seeds.
        noise: Standard deviation of the validation loss between seeds.
        loss: Mean over the seeds.

    Source: the curvatures are those of :class:`~nongreedy.ModelSearch`, found on other networks.

    Cannot: know this network's curvature; see beyond the nearest minimum, or what hyperparameters with
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
) -> Prospect | None:
    """From hypergradients of one schedule on different seeds; None where that cannot be estimated: one
    seed, nothing that is modelled, a value on the edge of its coordinate."""
    space = Space(hyperparameters, schedule)
    chosen, values = space.modelled, [h.value for h in hypergradients]
    if len(hypergradients) < 2 or not len(chosen) or not all(map(math.isfinite, values)):
        return None
    loss = statistics.fmean(values)
    slopes = torch.stack([space.gradient(schedule, h.gradients)[chosen] for h in hypergradients])
    if not loss or not bool(slopes.isfinite().all()):
        return None
    curvature = prior_of(space).curvature * abs(loss)
    gain, error = _with_error(slopes @ torch.linalg.solve(curvature, slopes.T))
    return Prospect(gain, error, statistics.stdev(values), loss)


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
