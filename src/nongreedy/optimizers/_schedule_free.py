"""Schedule-free optimizers: an average of the weights in place of a falling learning rate."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Constant, Default
from ._adaptive import BETA2, EPSILON, safe_sqrt
from ._optimizer import Optimizer, Values
from ._torch_schedule_free import TorchScheduleFreeAdamW, TorchScheduleFreeSGD

_MIXED = Default(0.9, (0.0, 0.999), "log1m", 0.5)


@dataclass(frozen=True)
class _ScheduleFree(Optimizer):
    """What both share: y, where gradients are taken, and the ways from it to z and to their mean x."""

    def __post_init__(self) -> None:
        if self.average is not None:
            raise ValueError(
                f"{type(self).__name__} is an average already, but got average={self.average!r}. Leave "
                "it out."
            )
        super().__post_init__()

    def init(self, parameters: Tensor) -> Tensor:
        """y = z = x, and nothing averaged; then zeros."""
        if torch.finfo(parameters.dtype).bits < 32:
            raise ValueError(
                f"{parameters.dtype} does not resolve what a step adds to an average. Use "
                f"{type(self).__name__} with dtype=torch.float32, and torch.autocast in the model."
            )
        return super().init(parameters)

    def answer(self, state: Tensor) -> Tensor:
        """x, shape (..., P)."""
        return state[..., 0, :] + state[..., 2, :]

    @property
    @abc.abstractmethod
    def mixing(self) -> str:
        """Name of the setting that says how much of x is in y."""

    def _moved(self, state: Tensor, direction: Tensor, values: Values) -> list[Tensor]:
        """(y, z - y, x - y, sum of squared rates) after a step of z along a direction."""
        y, to_z, to_x, total = state[0], state[1], state[2], state[3]
        rate, mixing = values["learning_rate"], values[self.mixing]
        grown = total + rate.square()
        # Nothing was averaged before the first rate that is not zero: then x is z.
        some = total > 0
        kept = torch.where(some, total / torch.where(some, grown, 1.0), 0.0)
        moved = y + (to_z - rate * direction)
        apart = kept * (to_x - to_z + rate * direction)  # from z to x
        return [moved + mixing * apart, -mixing * apart, (1 - mixing) * apart, grown]


@final
@dataclass(frozen=True)
class ScheduleFreeSGD(_ScheduleFree):
    r"""Schedule-free SGD: gradients between the iterate and its mean, and the mean is the answer.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(y_{t-1})) + \xi_t y_{t-1}, \qquad
              z_t = z_{t-1} - \alpha_t g_t \\
              x_t &= (1 - c_t) x_{t-1} + c_t z_t, \qquad
              c_t = \alpha_t^2 \Big/ \sum_{i \le t} \alpha_i^2 \\
              y_t &= (1 - \beta_t) z_t + \beta_t x_t

    with :math:`x_0 = y_0 = z_0` the initial weights, and :math:`x_T` what is judged and kept. Differs
    from ``schedulefree.SGDScheduleFree`` where rates fall: there the largest rate so far weighs, here
    the rate itself; and where the momentum changes or is 0, which the package cannot follow. With a
    constant rate, or after a warm-up, trajectories are equal.

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed). Ten to fifty times that of
            :class:`SGD` with a momentum of 0.9 is usual; a warm-up is ``Linear`` or ``Windows``.
        momentum: beta in [0, 1), likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter, at y.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, a hyperparameter that cannot be, an `average`
            besides, or (when a run is made) half precision.

    Source: arXiv:2405.15682.

    .. code-block:: bibtex

        @inproceedings{defazio2024road,
          author    = {Defazio, Aaron and Yang, Xingyu Alice and Mehta, Harsh and Mishchenko, Konstantin
                       and Khaled, Ahmed and Cutkosky, Ashok},
          title     = {The Road Less Scheduled},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {37}, year = {2024}, eprint = {2405.15682}, archivePrefix = {arXiv}
        }

    Cannot: weigh by other powers of the rate or of the step (the package's ``weight_lr_power``, ``r``);
    be differentiated along several first rates that are exactly 0 at once: how they weigh against each
    other depends on their ratio, and what is given is the derivative by each of them alone.

    Example:
        >>> ScheduleFreeSGD(1.0).slots
        4
    """

    learning_rate: Basis | float = field(default_factory=Constant)
    momentum: Basis | float = 0.9
    weight_decay: Basis | float = 0.0

    slots: ClassVar[int] = 4
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1.0, (1e-8, 100.0), "log", 1.0),
        "momentum": _MIXED,
        "weight_decay": Default(1e-4, (1e-8, 0.1), "log", 1.0),
    }

    @property
    def mixing(self) -> str:
        return "momentum"

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(y, z - y, x - y, sum of squared rates) after the step, shape (4, P)."""
        direction = self.clip(gradient) + values["weight_decay"] * state[0]
        return _stacked(self._moved(state, direction, values))

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """:class:`TorchScheduleFreeSGD`; attach a schedule before its first step."""
        return TorchScheduleFreeSGD(parameters)


@final
@dataclass(frozen=True)
class ScheduleFreeAdamW(_ScheduleFree):
    r"""Schedule-free AdamW: as :class:`ScheduleFreeSGD`, with gradients divided by their running size.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(y_{t-1})), \qquad
              v_t = \beta_{2,t} v_{t-1} + (1 - \beta_{2,t}) g_t^2 \\
              z_t &= z_{t-1} - \alpha_t \left( \frac{g_t}{\sqrt{v_t / (1 - \beta_{2,t}^t)} + \epsilon_t}
              + \xi_t y_{t-1} \right), \qquad
              y_t = (1 - \beta_{1,t}) z_t + \beta_{1,t} x_t

    Differs from ``schedulefree.AdamWScheduleFree`` as :class:`ScheduleFreeSGD` from its counterpart.

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        beta1: How much of the mean is in y, in [0, 1), likewise: in place of a first moment.
        beta2: Decay of the second moment, in [0, 1), likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter, at y.
        epsilon: Added to the root of the second moment, positive, likewise.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: As :class:`ScheduleFreeSGD`.

    Source: arXiv:2405.15682 (:cite:`defazio2024road`).

    Cannot: as :class:`ScheduleFreeSGD`.

    Example:
        >>> ScheduleFreeAdamW(2.5e-3).beta1
        0.9
    """

    learning_rate: Basis | float = field(default_factory=Constant)
    beta1: Basis | float = 0.9
    beta2: Basis | float = 0.999
    weight_decay: Basis | float = 0.0
    epsilon: Basis | float = 1e-8

    slots: ClassVar[int] = 5
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(2.5e-3, (1e-8, 10.0), "log", 1.0),
        "beta1": _MIXED,
        "beta2": BETA2,
        "weight_decay": Default(1e-4, (1e-8, 1.0), "log", 1.0),
        "epsilon": EPSILON,
    }

    @property
    def mixing(self) -> str:
        return "beta1"

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(y, z - y, x - y, sum of squared rates, v) after the step, shape (5, P)."""
        gradient, beta2 = self.clip(gradient), values["beta2"]
        second = beta2 * state[4] + (1 - beta2) * gradient.square()
        size = safe_sqrt(second) / (1 - beta2 ** values["step"]).sqrt() + values["epsilon"]
        direction = gradient / size + values["weight_decay"] * state[0]
        return _stacked([*self._moved(state, direction, values), second])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """:class:`TorchScheduleFreeAdamW`; attach a schedule before its first step."""
        return TorchScheduleFreeAdamW(parameters)


def _stacked(slots: list[Tensor]) -> Tensor:
    """One state; what is a number fills its slot."""
    return torch.stack([slot.expand_as(slots[0]) for slot in slots])
