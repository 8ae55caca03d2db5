"""Optimizers that divide by a running size of the gradient: Adam, AdamW, RMSprop, Adagrad."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Default, Windows
from ._optimizer import Optimizer, Values

RATE = Default(1e-3, (1e-8, 10.0), "log", 1.0)
DECAY = Default(1e-4, (1e-8, 1.0), "log", 1.0)
BETA1 = Default(0.9, (0.0, 0.999), "log1m", 0.5)
BETA2 = Default(0.999, (0.0, 0.99999), "log1m", 0.5)
EPSILON = Default(1e-8, (1e-16, 1.0), "log", 1.0)


def safe_sqrt(square: Tensor) -> Tensor:
    """The square root, with derivative zero at zero, where the true one is infinite.

    Where a gradient is exactly zero step after step (a dead unit), the infinite derivative of the
    root meets the zero derivative of the square: their product is NaN, their limit along any
    gradient is finite, and no hyperparameter moves such a coordinate.

    Example:
        >>> import torch
        >>> square = torch.tensor([0.0, 4.0], requires_grad=True)
        >>> safe_sqrt(square).sum().backward()
        >>> square.grad
        tensor([0.0000, 0.2500])
    """
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class _AdamFamily(Optimizer):
    """What Adam and AdamW share: two running moments, each divided by its weights' sum."""

    learning_rate: Basis | float = field(default_factory=Windows)
    beta1: Basis | float = 0.9
    beta2: Basis | float = 0.999
    epsilon: Basis | float = 1e-8
    weight_decay: Basis | float = 0.0

    slots: ClassVar[int] = 3
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": RATE,
        "beta1": BETA1,
        "beta2": BETA2,
        "epsilon": EPSILON,
        "weight_decay": DECAY,
    }

    def _moved(self, parameters: Tensor, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m, v) after a step from these parameters, shape (3, P)."""
        _, first, second = state.unbind(0)
        beta1, beta2, step = values["beta1"], values["beta2"], values["step"]
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient.square()
        size = safe_sqrt(second) / (1 - beta2**step).sqrt() + values["epsilon"]
        rate = values["learning_rate"] / (1 - beta1**step)
        return torch.stack([parameters - rate * first / size, first, second])


@final
@dataclass(frozen=True)
class Adam(_AdamFamily):
    r"""Adam with coupled weight decay, identical to ``torch.optim.Adam``.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})) + \xi_t \theta_{t-1} \\
              m_t &= \beta_{1,t} m_{t-1} + (1 - \beta_{1,t}) g_t, \qquad
              v_t = \beta_{2,t} v_{t-1} + (1 - \beta_{2,t}) g_t^2 \\
              \theta_t &= \theta_{t-1} - \frac{\alpha_t}{1 - \beta_{1,t}^t}
              \frac{m_t}{\sqrt{v_t / (1 - \beta_{2,t}^t)} + \epsilon_t}

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        beta1, beta2: Decay of the moments, in [0, 1), likewise.
        epsilon: Added to the root of the second moment, positive, likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: arXiv:1412.6980.

    .. code-block:: bibtex

        @inproceedings{kingma2015adam,
          author    = {Kingma, Diederik P. and Ba, Jimmy},
          title     = {{Adam}: A Method for Stochastic Optimization},
          booktitle = {International Conference on Learning Representations},
          year      = {2015}, eprint = {1412.6980}, archivePrefix = {arXiv}
        }

    Cannot: use AMSGrad.

    Example:
        >>> sorted(Adam().learnable)
        ['beta1', 'beta2', 'epsilon', 'learning_rate', 'weight_decay']
    """

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m, v) -> (theta', m', v'), shape (3, P)."""
        decayed = self.clip(gradient) + values["weight_decay"] * state[0]
        return self._moved(state[0], state, decayed, values)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.Adam``; attach a schedule before its first step."""
        return torch.optim.Adam(parameters, lr=0.0)


@final
@dataclass(frozen=True)
class AdamW(_AdamFamily):
    r"""Adam with decoupled weight decay, identical to ``torch.optim.AdamW``.

    As :class:`Adam`, but the decay does not pass through the moments:

    .. math:: \theta_t = (1 - \alpha_t \xi_t) \theta_{t-1} - \dots

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        beta1, beta2: Decay of the moments, in [0, 1), likewise.
        epsilon: Added to the root of the second moment, positive, likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: arXiv:1711.05101.

    .. code-block:: bibtex

        @inproceedings{loshchilov2019decoupled,
          author    = {Loshchilov, Ilya and Hutter, Frank},
          title     = {Decoupled Weight Decay Regularization},
          booktitle = {International Conference on Learning Representations},
          year      = {2019}, eprint = {1711.05101}, archivePrefix = {arXiv}
        }

    Cannot: as :class:`Adam`.

    Example:
        >>> AdamW(weight_decay=0.01).weight_decay
        0.01
    """

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m, v) -> (theta', m', v'), shape (3, P)."""
        shrunk = state[0] * (1 - values["learning_rate"] * values["weight_decay"])
        return self._moved(shrunk, state, self.clip(gradient), values)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.AdamW``; attach a schedule before its first step."""
        return torch.optim.AdamW(parameters, lr=0.0)


@final
@dataclass(frozen=True)
class RMSprop(Optimizer):
    r"""RMSprop with heavy-ball momentum, identical to ``torch.optim.RMSprop``.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})) + \xi_t \theta_{t-1}, \qquad
              s_t = \rho_t s_{t-1} + (1 - \rho_t) g_t^2 \\
              v_t &= \beta_t v_{t-1} + \frac{g_t}{\sqrt{s_t} + \epsilon_t}, \qquad
              \theta_t = \theta_{t-1} - \alpha_t v_t

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        smoothing: rho in [0, 1), likewise; torch calls it ``alpha``.
        momentum: beta in [0, 1), likewise.
        epsilon: Added to the root of the running square, positive, likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.

    .. code-block:: bibtex

        @misc{tieleman2012lecture,
          author    = {Tieleman, Tijmen and Hinton, Geoffrey},
          title     = {Lecture 6.5, {RMSProp}: Divide the Gradient by a Running Average
                       of its Recent Magnitude},
          howpublished = {COURSERA: Neural Networks for Machine Learning},
          year      = {2012}
        }

    .. code-block:: bibtex
        :caption: if momentum != 0

        @article{polyak1964some,
          author    = {Polyak, Boris T.},
          title     = {Some Methods of Speeding up the Convergence of Iteration Methods},
          journal   = {USSR Computational Mathematics and Mathematical Physics},
          volume    = {4}, number = {5}, pages = {1--17}, year = {1964}
        }

    Cannot: subtract the running mean (torch's ``centered``).

    Example:
        >>> RMSprop(smoothing=0.9).slots
        3
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    smoothing: Basis | float = 0.99
    momentum: Basis | float = 0.0
    epsilon: Basis | float = 1e-8
    weight_decay: Basis | float = 0.0

    slots: ClassVar[int] = 3
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": RATE,
        "smoothing": Default(0.99, (0.0, 0.99999), "log1m", 0.5),
        "momentum": Default(0.0, (0.0, 0.999), "log1m", 0.5),
        "epsilon": EPSILON,
        "weight_decay": DECAY,
    }

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, s, v) -> (theta', s', v'), shape (3, P)."""
        parameters, square, velocity = state.unbind(0)
        decayed = self.clip(gradient) + values["weight_decay"] * parameters
        square = values["smoothing"] * square + (1 - values["smoothing"]) * decayed.square()
        scaled = decayed / (safe_sqrt(square) + values["epsilon"])
        velocity = values["momentum"] * velocity + scaled
        return torch.stack([parameters - values["learning_rate"] * velocity, square, velocity])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.RMSprop``; attach a schedule before its first step."""
        return torch.optim.RMSprop(parameters, lr=0.0)


@final
@dataclass(frozen=True)
class Adagrad(Optimizer):
    r"""Adagrad, identical to ``torch.optim.Adagrad`` with ``lr_decay=0``.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})) + \xi_t \theta_{t-1}, \qquad
              s_t = s_{t-1} + g_t^2 \\
              \theta_t &= \theta_{t-1} - \alpha_t \frac{g_t}{\sqrt{s_t} + \epsilon_t}

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        epsilon: Added to the root of the sum of squares, positive, likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, or a hyperparameter that cannot be.

    Source: Duchi, Hazan and Singer, JMLR 12 (2011).

    .. code-block:: bibtex

        @article{duchi2011adaptive,
          author    = {Duchi, John and Hazan, Elad and Singer, Yoram},
          title     = {Adaptive Subgradient Methods for Online Learning and Stochastic Optimization},
          journal   = {Journal of Machine Learning Research},
          volume    = {12}, pages = {2121--2159}, year = {2011}
        }

    Cannot: decay its learning rate by torch's ``lr_decay``: learn a schedule instead.

    Example:
        >>> Adagrad().slots
        2
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    epsilon: Basis | float = 1e-10
    weight_decay: Basis | float = 0.0

    slots: ClassVar[int] = 2
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": RATE,
        "epsilon": Default(1e-10, (1e-16, 1.0), "log", 1.0),
        "weight_decay": DECAY,
    }

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, s) -> (theta', s'), shape (2, P)."""
        parameters, square = state.unbind(0)
        decayed = self.clip(gradient) + values["weight_decay"] * parameters
        square = square + decayed.square()
        scaled = decayed / (safe_sqrt(square) + values["epsilon"])
        return torch.stack([parameters - values["learning_rate"] * scaled, square])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.Adagrad``; attach a schedule before its first step."""
        return torch.optim.Adagrad(parameters, lr=0.0)
