"""Lion: steps of equal size along the sign of a running mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Default, Windows
from ._adaptive import BETA1, DECAY
from ._optimizer import Optimizer, Values
from ._plain import PlainOptimizer


@final
@dataclass(frozen=True)
class Lion(Optimizer):
    r"""Lion with decoupled weight decay, as published.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})), \qquad
              c_t = \beta_{1,t} m_{t-1} + (1 - \beta_{1,t}) g_t \\
              \theta_t &= (1 - \alpha_t \xi_t) \theta_{t-1} - \alpha_t \, \mathrm{sign}(c_t), \qquad
              m_t = \beta_{2,t} m_{t-1} + (1 - \beta_{2,t}) g_t

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        beta1, beta2: Decay of the mean as it is used and as it is kept, in [0, 1); numbers.
        weight_decay: xi >= 0, a basis or a number; applies to every parameter.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: arXiv:2302.06675, algorithm 2.

    .. code-block:: bibtex

        @inproceedings{chen2023symbolic,
          author    = {Chen, Xiangning and Liang, Chen and Huang, Da and Real, Esteban and Wang, Kaiyuan
                       and Liu, Yao and Pham, Hieu and Dong, Xuanyi and Luong, Thang and Hsieh, Cho-Jui
                       and Lu, Yifeng and Le, Quoc V.},
          title     = {Symbolic Discovery of Optimization Algorithms},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {36}, year = {2023}, eprint = {2302.06675}, archivePrefix = {arXiv}
        }

    Cannot: learn its betas. A sign is constant almost everywhere and jumps elsewhere; a derivative
    sees no jump. So the hypergradients of the betas are exactly zero, and those of learning rate and
    decay hold only as long as no sign flips.

    Example:
        >>> Lion(learning_rate=1e-4).beta2
        0.99
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    beta1: Basis | float = 0.9
    beta2: Basis | float = 0.99
    weight_decay: Basis | float = 0.0

    slots: ClassVar[int] = 2
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-4, (1e-8, 1.0), "log", 1.0),
        "beta1": BETA1,
        "beta2": Default(0.99, (0.0, 0.99999), "log1m", 0.5),
        "weight_decay": DECAY,
    }

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m) -> (theta', m'), shape (2, P)."""
        parameters, mean = state.unbind(0)
        gradient = self.clip(gradient)
        rate, beta1, beta2 = (values[name] for name in ("learning_rate", "beta1", "beta2"))
        mixed = beta1 * mean + (1 - beta1) * gradient
        shrunk = parameters * (1 - rate * values["weight_decay"])
        return torch.stack([shrunk - rate * mixed.sign(), beta2 * mean + (1 - beta2) * gradient])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """:class:`TorchLion`; attach a schedule before its first step."""
        return TorchLion(parameters)


class TorchLion(PlainOptimizer):
    """Lion for an ordinary training loop; ``torch.optim`` has none.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay of the mean as it is used and as it is kept.
        weight_decay: Decoupled.

    Source: that of :class:`Lion` (:cite:`chen2023symbolic`).

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = TorchLion(layer.parameters(), lr=1e-3)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Along the sign."""
        (beta1, beta2), rate = group["betas"], group["lr"]
        mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.add_(torch.lerp(gradient, mean, beta1).sign(), alpha=-rate)
        mean.lerp_(gradient, 1 - beta2)
