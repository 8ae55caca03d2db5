"""Stochastic gradient descent with momentum and coupled weight decay."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from .._basis import Basis, Windows
from .._hyperparameter import Default
from .base import Optimizer


@final
@dataclass(frozen=True)
class SGD(Optimizer):
    r"""SGD with heavy-ball momentum and coupled weight decay, identical to ``torch.optim.SGD``.

    .. math:: g_t &= \mathrm{clip}(\nabla L_t(\theta_{t-1})) \\
              v_t &= \beta_t v_{t-1} + g_t + \xi_t \theta_{t-1} \\
              \theta_t &= \theta_{t-1} - \alpha_t v_t

    Differs from ``torch.optim.SGD``: every setting is a tensor, so each can carry a derivative;
    nothing is updated in place, so any step can be replayed; the first momentum buffer is zero,
    which gives the same first step.

    Args:
        learning_rate: alpha, a basis (learned) or a number (fixed).
        momentum: beta in [0, 1), likewise.
        weight_decay: xi >= 0, likewise; applies to every parameter.
        clip_value: Clip each gradient coordinate to [-clip_value, clip_value].
        clip_norm: Then scale the whole gradient to at most this Euclidean norm.

    Raises:
        ValueError: A clipping bound that is not positive.

    Source: arXiv:2007.07869, section 3.

    Cannot: use Nesterov momentum or dampening, or settings per parameter group.

    Example:
        >>> sgd = SGD(learning_rate=Windows(7), momentum=0.9)
        >>> sgd.hyperparameters()["learning_rate"].basis.count
        7
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    momentum: Basis | float = 0.0
    weight_decay: Basis | float = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None

    slots: ClassVar[int] = 2
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-3, (1e-8, 10.0), "log", 1.0),
        "momentum": Default(0.0, (0.0, 0.999), "log1m", 0.5),
        "weight_decay": Default(1e-4, (1e-8, 0.1), "log", 1.0),
    }

    def __post_init__(self) -> None:
        for name in ("clip_value", "clip_norm"):
            bound = getattr(self, name)
            if bound is not None and not bound > 0:
                raise ValueError(f"`{name}` must be positive or None, but got {bound!r}.")
        # Coordinates are the outer rule's to choose: a bound of 0 suits the paper's rule.
        raw = {name: replace(row, transform=None) for name, row in self.learnable.items()}
        self.hyperparameters(overrides=raw)

    def given(self) -> Mapping[str, Basis | float]:
        """Name -> basis or number."""
        return {name: getattr(self, name) for name in self.learnable}

    def clip(self, gradient: Tensor) -> Tensor:
        """The gradient, clipped elementwise and then by norm, with its true Jacobian."""
        if self.clip_value is not None:
            gradient = gradient.clamp(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            # Below the bound the scale is exactly one: the square root is then never taken at zero.
            square = gradient.square().sum()
            over = square > self.clip_norm**2
            norm = torch.where(over, square, torch.ones_like(square)).sqrt()
            scale = torch.where(over, self.clip_norm / (norm + 1e-6), torch.ones_like(norm))
            gradient = gradient * scale.clamp(max=1.0)
        return gradient

    def update(self, state: Tensor, gradient: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """(theta, v) -> (theta', v'), shape (2, P)."""
        parameters, velocity = state.unbind(0)
        decayed = self.clip(gradient) + values["weight_decay"] * parameters
        velocity = values["momentum"] * velocity + decayed
        return torch.stack([parameters - values["learning_rate"] * velocity, velocity])

    def pull_back(
        self,
        state: Tensor,
        gradient: Tensor,
        values: Mapping[str, Tensor],
        adjoint: Tensor,
        learn: Collection[str],
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        r"""The vector-Jacobian product of `update`, in a third of automatic differentiation's passes.

        .. math:: \bar u &= \bar v' - \alpha \bar \theta', \qquad
                  \bar \theta = \bar \theta' + \xi \bar u, \qquad
                  \bar v = \beta \bar u, \qquad \bar g = \bar u \cdot \partial\,\mathrm{clip} \\
                  \bar \alpha &= -\langle \bar \theta', v' \rangle, \qquad
                  \bar \beta = \langle \bar u, v \rangle, \qquad
                  \bar \xi = \langle \bar u, \theta \rangle
        """
        raw = gradient.detach().requires_grad_()
        clipped = self.clip(raw)
        (parameters, velocity), (on_parameters, on_velocity) = state, adjoint
        rate, momentum, decay = (values[name] for name in self.learnable)
        with torch.no_grad():
            on_sum = on_velocity.addcmul(rate, on_parameters, value=-1)
            on_state = torch.empty_like(adjoint)
            torch.addcmul(on_parameters, decay, on_sum, out=on_state[0])
            torch.mul(on_sum, momentum, out=on_state[1])
            found = {}
            if "learning_rate" in learn:
                updated = clipped.addcmul(decay, parameters).addcmul_(momentum, velocity)
                found["learning_rate"] = -(on_parameters @ updated)
            if "momentum" in learn:
                found["momentum"] = on_sum @ velocity
            if "weight_decay" in learn:
                found["weight_decay"] = on_sum @ parameters
        on_gradient = on_sum if clipped is raw else torch.autograd.grad(clipped, raw, on_sum)[0]
        return on_state, on_gradient, found

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.SGD``; attach a schedule before its first step."""
        return torch.optim.SGD(parameters, lr=0.0, momentum=0.0, weight_decay=0.0)

    def clip_torch(self, parameters: Any) -> None:
        """The same clipping on the ``.grad`` of a plain loop's parameters."""
        parameters = list(parameters)
        if self.clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
