"""Stochastic gradient descent with momentum and coupled weight decay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..schedules import Basis, Default, Windows
from ._optimizer import Names, Optimizer, Values


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
        dampening: Share of each new gradient, after the first, that does not enter the velocity.
        nesterov: Step along :math:`g_t + \xi_t \theta_{t-1} + \beta_t v_t` instead of :math:`v_t`.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, a dampening outside [0, 1), or both
            dampening and Nesterov momentum.

    Source: arXiv:2007.07869, section 3.

    .. code-block:: bibtex

        @article{robbins1951stochastic,
          author    = {Robbins, Herbert and Monro, Sutton},
          title     = {A Stochastic Approximation Method},
          journal   = {The Annals of Mathematical Statistics},
          volume    = {22}, number = {3}, pages = {400--407}, year = {1951}
        }

    .. code-block:: bibtex
        :caption: if momentum != 0

        @article{polyak1964some,
          author    = {Polyak, Boris T.},
          title     = {Some Methods of Speeding up the Convergence of Iteration Methods},
          journal   = {USSR Computational Mathematics and Mathematical Physics},
          volume    = {4}, number = {5}, pages = {1--17}, year = {1964}
        }

    .. code-block:: bibtex
        :caption: if nesterov

        @inproceedings{sutskever2013importance,
          author    = {Sutskever, Ilya and Martens, James and Dahl, George and Hinton, Geoffrey},
          title     = {On the Importance of Initialization and Momentum in Deep Learning},
          booktitle = {Proceedings of the 30th International Conference on Machine Learning},
          year      = {2013}
        }

    Cannot: leave a gradient undampened where the momentum is
    exactly 0, as torch does.

    Example:
        >>> import nongreedy as ng
        >>> sgd = ng.SGD(learning_rate=ng.Windows(7), momentum=0.9)
        >>> sgd.hyperparameters()["learning_rate"].basis.count
        7
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    momentum: Basis | float = 0.0
    weight_decay: Basis | float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    slots: ClassVar[int] = 2
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-3, (1e-8, 10.0), "log", 1.0),
        "momentum": Default(0.0, (0.0, 0.999), "log1m", 0.5),
        "weight_decay": Default(1e-4, (1e-8, 0.1), "log", 1.0),
    }

    def __post_init__(self) -> None:
        if not 0 <= self.dampening < 1:
            raise ValueError(f"`dampening` must be in [0, 1), but got {self.dampening!r}.")
        if self.nesterov and self.dampening:
            raise ValueError(
                f"nesterov=True needs dampening=0, as in torch.optim.SGD, but got {self.dampening!r}."
            )
        super().__post_init__()

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, v) -> (theta', v'), shape (2, P)."""
        parameters, velocity = state.unbind(0)
        momentum = values["momentum"]
        decayed = self.clip(gradient) + values["weight_decay"] * parameters
        velocity = momentum * velocity + self._entering(decayed, values)
        direction = decayed + momentum * velocity if self.nesterov else velocity
        return torch.stack([parameters - values["learning_rate"] * direction, velocity])

    @torch.no_grad()
    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """`update` in half its passes over the state."""
        parameters, velocity = state
        rate, momentum, decay = (values[name] for name in self.learnable)
        decayed = self.clip(gradient).addcmul(decay, parameters)
        updated = torch.empty_like(state)
        new = torch.mul(velocity, momentum, out=updated[1])
        new.add_(self._entering(decayed, values))
        direction = decayed.addcmul(momentum, new) if self.nesterov else new
        torch.addcmul(parameters, rate, direction, value=-1, out=updated[0])
        return updated

    def _entering(self, gradient: Tensor, values: Values) -> Tensor:
        """What enters the velocity of a new gradient: all of it at the first step, as in torch."""
        if not self.dampening:
            return gradient
        step = values["step"]
        return gradient * (1 - self.dampening * (step > 1).to(step.dtype))

    def pull_back(
        self, state: Tensor, gradient: Tensor, values: Values, adjoint: Tensor, learn: Names
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        r"""The vector-Jacobian product of `update`, in a third of automatic differentiation's passes.

        .. math:: \bar d &= -\alpha \bar \theta', \qquad
                  \bar u = \bar v' + \bar d, \qquad
                  \bar g = \bar u \cdot \partial\,\mathrm{clip} \\
                  \bar \theta &= \bar \theta' + \xi \bar u, \qquad
                  \bar v = \beta \bar u \\
                  \bar \alpha &= -\langle \bar \theta', v' \rangle, \qquad
                  \bar \beta = \langle \bar u, v \rangle, \qquad
                  \bar \xi = \langle \bar u, \theta \rangle

        without Nesterov momentum and dampening, each of which adds a term.
        """
        raw = gradient.detach().requires_grad_()
        clipped = self.clip(raw)
        (parameters, velocity), (on_parameters, on_velocity) = state, adjoint
        rate, momentum, decay = (values[name] for name in self.learnable)
        with torch.no_grad():
            pushed = rate * momentum if self.nesterov else rate
            on_new = on_velocity.addcmul(pushed, on_parameters, value=-1)
            on_decayed = self._entering(on_new, values)
            if self.nesterov:
                on_decayed = on_decayed.addcmul(rate, on_parameters, value=-1)
            on_state = torch.empty_like(adjoint)
            torch.addcmul(on_parameters, decay, on_decayed, out=on_state[0])
            torch.mul(on_new, momentum, out=on_state[1])
            on_values = {}
            if "learning_rate" in learn or (self.nesterov and "momentum" in learn):
                decayed = clipped.addcmul(decay, parameters)
                new = self._entering(decayed, values)
                add = new.addcmul if self.nesterov else new.addcmul_  # in place: a pass less
                new = add(momentum, velocity)
            if "learning_rate" in learn:
                direction = decayed.addcmul(momentum, new) if self.nesterov else new
                on_values["learning_rate"] = -(on_parameters @ direction)
            if "momentum" in learn:
                on_values["momentum"] = on_new @ velocity
                if self.nesterov:
                    on_values["momentum"] -= rate * (on_parameters @ new)
            if "weight_decay" in learn:
                on_values["weight_decay"] = on_decayed @ parameters
        if clipped is raw:
            return on_state, on_decayed, on_values
        return on_state, torch.autograd.grad(clipped, raw, on_decayed)[0], on_values

    @torch.no_grad()
    def push_forward(
        self,
        state: Tensor,
        gradient: Tensor,
        values: Values,
        tangents: Tensor,
        curved: Tensor,
        moved: Values,
    ) -> None:
        r"""The Jacobian-vector products of `update`, in place and without a graph.

        .. math:: \dot d = \dot g + \xi \dot \theta + \dot \xi \theta, \qquad
                  \dot v' = \beta \dot v + \dot \beta v + \dot d, \qquad
                  \dot \theta' = \dot \theta - \alpha \dot v' - \dot \alpha v'

        without Nesterov momentum and dampening, each of which adds a term.
        """
        parameters, velocity = state
        rate, momentum, decay = (values[name] for name in self.learnable)
        on_parameters, on_velocity = tangents.unbind(1)
        on_decayed = self.push_clip(gradient, curved).addcmul(decay, on_parameters)
        if "weight_decay" in moved:
            on_decayed.addr_(moved["weight_decay"], parameters)
        on_velocity.mul_(momentum).add_(self._entering(on_decayed, values))
        if "momentum" in moved:
            on_velocity.addr_(moved["momentum"], velocity)
        decayed = self.clip(gradient).addcmul(decay, parameters)
        new = self._entering(decayed, values).addcmul(momentum, velocity)
        direction, on_direction = new, on_velocity
        if self.nesterov:
            direction = decayed.addcmul(momentum, new)
            on_direction = on_decayed.addcmul_(momentum, on_velocity)
            if "momentum" in moved:
                on_direction.addr_(moved["momentum"], new)
        on_parameters.addcmul_(rate, on_direction, value=-1)
        if "learning_rate" in moved:
            on_parameters.addr_(moved["learning_rate"], direction, alpha=-1)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """``torch.optim.SGD``; attach a schedule before its first step."""
        # torch refuses Nesterov momentum at 0; the schedule sets the real value.
        settings = {"dampening": self.dampening, "nesterov": self.nesterov}
        return torch.optim.SGD(parameters, lr=0.0, momentum=0.5 * self.nesterov, **settings)
