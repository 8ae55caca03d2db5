"""NAdam: Adam that looks one step of momentum ahead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Default
from ._adaptive import _AdamFamily, safe_sqrt
from ._optimizer import Values

_WARMING = 0.96  # whose powers bring the momentum from one half of beta1 to all of it


@final
@dataclass(frozen=True)
class NAdam(_AdamFamily):
    r"""Adam with Nesterov momentum, identical to ``torch.optim.NAdam``.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})) + \xi_t \theta_{t-1}, \qquad
              \mu_t(k) = \beta_{1,t} (1 - \tfrac12 \, 0.96^{k \psi_t}), \qquad
              \Pi_t = \Pi_{t-1} \, \mu_t(t) \\
              m_t &= \beta_{1,t} m_{t-1} + (1 - \beta_{1,t}) g_t, \qquad
              v_t = \beta_{2,t} v_{t-1} + (1 - \beta_{2,t}) g_t^2 \\
              \theta_t &= \theta_{t-1} - \alpha_t \left(
              \frac{1 - \mu_t(t)}{1 - \Pi_t} g_t
              + \frac{\mu_t(t + 1)}{1 - \Pi_t \, \mu_t(t + 1)} m_t \right) \Big/
              \left( \sqrt{v_t / (1 - \beta_{2,t}^t)} + \epsilon_t \right)

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        beta1, beta2: Decay of the moments, in [0, 1), likewise.
        epsilon: Added to the root of the second moment, positive, likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        momentum_decay: psi >= 0, likewise: how fast the momentum grows from one half of beta1.
        decoupled: Shrink the parameters by :math:`1 - \alpha_t \xi_t` instead, as in :class:`AdamW`.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, as in torch.

    .. code-block:: bibtex

        @inproceedings{dozat2016incorporating,
          author    = {Dozat, Timothy},
          title     = {Incorporating {Nesterov} Momentum into {Adam}},
          booktitle = {International Conference on Learning Representations, Workshop Track},
          year      = {2016}
        }

    Cannot: keep the product of momenta in one number; it fills a vector of the state, so that
    parameter groups may differ in it.

    Example:
        >>> NAdam(momentum_decay=0.0).slots
        4
    """

    momentum_decay: Basis | float = 4e-3
    decoupled: bool = False

    slots: ClassVar[int] = 4
    learnable: ClassVar[Mapping[str, Default]] = {
        **_AdamFamily.learnable,
        "momentum_decay": Default(4e-3, (1e-8, 10.0), "log", 1.0),
    }

    def init(self, parameters: Tensor) -> Tensor:
        """Parameters, two moments of zero and an empty product, shape (4, P)."""
        state = super().init(parameters)
        state[3] = 1.0
        return state

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m, v, product) -> (theta', m', v', product'), shape (4, P)."""
        parameters, first, second, product = state.unbind(0)
        rate, decay, step = values["learning_rate"], values["weight_decay"], values["step"]
        beta1, beta2, growth = values["beta1"], values["beta2"], values["momentum_decay"]
        gradient = self.clip(gradient)
        if self.decoupled:
            parameters = parameters * (1 - rate * decay)
        else:
            gradient = gradient + decay * parameters
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient.square()
        here, ahead = (beta1 * (1 - 0.5 * _WARMING ** (k * growth)) for k in (step, step + 1))
        product = product * here
        mixed = (1 - here) / (1 - product) * gradient + ahead / (1 - product * ahead) * first
        size = safe_sqrt(second) / (1 - beta2**step).sqrt() + values["epsilon"]
        return torch.stack([parameters - rate * mixed / size, first, second, product])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.NAdam``; attach a schedule before its first step."""
        return torch.optim.NAdam(parameters, lr=0.0, decoupled_weight_decay=self.decoupled)
