"""Averages of the weights of a run: which of them are judged and kept instead of the last ones."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Default, Value
from ..schedules._average import AVERAGES, INTERPOLATED


@dataclass(frozen=True)
class Average(Value, abc.ABC):
    """The contract of an average, ``SGD(average=...)``: one setting, and the rule that it sets."""

    name: ClassVar[str]  # of the setting in a schedule
    default: ClassVar[Default]
    slots: ClassVar[int] = 2  # how far it is from the weights, and what it holds

    @property
    @abc.abstractmethod
    def setting(self) -> Basis | float:
        """As the user gave it."""

    def __post_init__(self) -> None:
        given, (low, high) = self.setting, self.allowed
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if not (isinstance(given, Basis) or (number and low <= given <= high)):
            field = self.name.removeprefix("average_")
            raise ValueError(
                f"`{field}` of {type(self).__name__} must be a number from {low:g} to {high:g}, or a "
                f"schedule such as ng.Constant(initial={self.default.initial}), but got {given!r}."
            )

    @property
    @abc.abstractmethod
    def allowed(self) -> tuple[float, float]:
        """Of a fixed number."""

    @property
    def learnable(self) -> dict[str, Default]:
        """One row, as of an optimizer."""
        return {self.name: self.default}

    def given(self) -> dict[str, Basis | float]:
        """Likewise."""
        return {self.name: self.setting}

    def weights(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """At a step: what is kept of the weight of all that was averaged, and the weight of the present."""
        return AVERAGES[self.name](values[self.name], values["step"], values["steps"])


@final
@dataclass(frozen=True)
class TailAverage(Average):
    r"""The mean of the weights over the last part of a run.

    .. math:: \bar\theta = \frac{\sum_t w_t \theta_t}{\sum_t w_t}, \qquad
              w_t = \min(1, \max(0, s T - (T - t))), \qquad t = 1 .. T

    with :math:`\theta_t` the weights after step t. The first step that counts does so in part, so that
    the mean is continuous in the share and piecewise differentiable. A share of one step or less is the
    run without an average.

    Args:
        share: s in (0, 1], a basis (learned; one number for the run: ``Constant(initial=0.25)``) or a
            number (fixed). In a schedule it is called ``average_share``.

    Raises:
        ValueError: Another share.

    Source: Polyak and Juditsky, of the whole run; arXiv:1803.05407, of its end.

    .. code-block:: bibtex

        @article{polyak1992acceleration,
          author    = {Polyak, Boris T. and Juditsky, Anatoli B.},
          title     = {Acceleration of Stochastic Approximation by Averaging},
          journal   = {SIAM Journal on Control and Optimization},
          volume    = {30}, number = {4}, pages = {838--855}, year = {1992}
        }

    .. code-block:: bibtex

        @inproceedings{izmailov2018averaging,
          author    = {Izmailov, Pavel and Podoprikhin, Dmitrii and Garipov, Timur and Vetrov, Dmitry
                       and Wilson, Andrew Gordon},
          title     = {Averaging Weights Leads to Wider Optima and Better Generalization},
          booktitle = {Conference on Uncertainty in Artificial Intelligence},
          year      = {2018}, eprint = {1803.05407}, archivePrefix = {arXiv}
        }

    Cannot: leave steps out between those that are averaged; be learned by `Greedy` with mu = 0, which sees
    one step ahead: the share acts on what comes after the first step that counts.

    Example:
        >>> import nongreedy as ng
        >>> list(ng.SGD(0.1, average=ng.TailAverage(0.5)).learnable)[-1]
        'average_share'
    """

    share: Basis | float = 0.25

    name: ClassVar[str] = "average_share"
    default: ClassVar[Default] = Default(0.25, (1e-3, 1.0), "log", 0.3)

    @property
    def setting(self) -> Basis | float:
        return self.share

    @property
    def allowed(self) -> tuple[float, float]:
        return 5e-324, 1.0


@final
@dataclass(frozen=True)
class ExponentialAverage(Average):
    r"""The exponential mean of the weights, without the bias of its start.

    .. math:: \bar\theta_t = \frac{\sum_{i \le t} \theta_i \prod_{i < j \le t} d_j}
                                  {\sum_{i \le t} \prod_{i < j \le t} d_j}

    which is :math:`d \bar\theta_{t-1} + (1 - d) \theta_t`, divided by :math:`1 - d^t`, where d does not
    change. A decay of 0 is the run without an average.

    Args:
        decay: d in [0, 1), a basis (learned) or a number (fixed). In a schedule it is called
            ``average_decay``.

    Raises:
        ValueError: Another decay.

    Source: that of :class:`TailAverage` (:cite:`polyak1992acceleration`), with weights that fade;
    arXiv:1703.01780.

    .. code-block:: bibtex

        @inproceedings{tarvainen2017mean,
          author    = {Tarvainen, Antti and Valpola, Harri},
          title     = {Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets
                       Improve Semi-Supervised Deep Learning Results},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {30}, year = {2017}, eprint = {1703.01780}, archivePrefix = {arXiv}
        }

    Cannot: know the length of a run: 0.99 averages the last hundred steps of any. :class:`TailAverage`
    does.

    Example:
        >>> import nongreedy as ng
        >>> ng.AdamW(1e-3, average=ng.ExponentialAverage(0.99)).average.decay
        0.99
    """

    decay: Basis | float = 0.99

    name: ClassVar[str] = "average_decay"
    default: ClassVar[Default] = Default(0.99, (0.0, 0.99999), "log1m", 0.5)

    @property
    def setting(self) -> Basis | float:
        return self.decay

    @property
    def allowed(self) -> tuple[float, float]:
        return 0.0, 1.0 - 2**-53


@final
@dataclass(frozen=True)
class ScheduleFreeAverage(Average):
    r"""The mean of all weights, with gradients taken between it and the last of them: schedule-free.

    .. math:: z_t &= z_{t-1} + U(y_{t-1}), \qquad
              x_t = (1 - c_t) x_{t-1} + c_t z_t, \qquad
              c_t = \alpha_t^2 \Big/ \sum_{i \le t} \alpha_i^2 \\
              y_t &= (1 - b_t) z_t + b_t x_t

    with U what the optimizer adds to the weights at which the gradient is taken, and x the average. It
    takes the place of a falling learning rate: rates stay where they are, ten times as large as usual,
    and the optimizer's own momentum is 0. Around SGD without momentum this is
    :class:`ScheduleFreeSGD`, around AdamW with beta1 = 0 :class:`ScheduleFreeAdamW`; here it goes around
    any optimizer, and its schedules attach to those of ``torch.optim``.

    Args:
        interpolation: b in [0, 1), a basis (learned) or a number (fixed). In a schedule it is called
            ``average_interpolation``.

    Raises:
        ValueError: Another number, or an optimizer without a setting ``learning_rate``.

    Source: arXiv:2405.15682 (:cite:`defazio2024road`).

    Cannot: weigh by other powers of the rate or of the step.

    Example:
        >>> import nongreedy as ng
        >>> list(ng.SGD(1.0, average=ng.ScheduleFreeAverage(0.9)).learnable)[-1]
        'average_interpolation'
    """

    interpolation: Basis | float = 0.9

    name: ClassVar[str] = INTERPOLATED
    default: ClassVar[Default] = Default(0.9, (0.0, 0.999), "log1m", 0.5)
    slots: ClassVar[int] = 3  # from y to z and to x, and the sum of squared rates

    @property
    def setting(self) -> Basis | float:
        return self.interpolation

    @property
    def allowed(self) -> tuple[float, float]:
        return 0.0, 1.0 - 2**-53

    def weights(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Everything kept; the present weighs as much as its squared learning rate."""
        rate = values["learning_rate"]
        return torch.ones_like(rate), rate.square()


def checked_average(average: Any, kind: str) -> None:
    """Raise TypeError unless this is an average, in the words of the optimizer that has it."""
    if not isinstance(average, Average):
        raise TypeError(
            f"`average` of {kind} must be ng.TailAverage(share), ng.ExponentialAverage(decay), "
            f"ng.ScheduleFreeAverage(interpolation) or None, but got {average!r}."
        )
