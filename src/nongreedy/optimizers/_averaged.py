"""An optimizer whose weights are averaged as they go: a state around a state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from ..schedules._average import retained
from ._average import ScheduleFreeAverage, TailAverage
from ._averaging import Averaging
from ._interpolated import Interpolated
from ._optimizer import Layout, Names, Optimizer, Values

SLOTS = TailAverage.slots


@final
@dataclass(frozen=True)
class Averaged(Averaging):
    r"""What ``SGD(average=...)`` is in a run: the state of the base, and a running average beside it.

    .. math:: N_t = k_t N_{t-1} + w_t, \qquad \rho_t = k_t N_{t-1} / N_t, \qquad
              o_t = \rho_t (o_{t-1} + \theta_{t-1} - \theta_t)

    with o the way from the weights to their average, so that the state begins with zeros and
    :math:`\theta_t + o_t` is the answer.

    Args:
        base: An optimizer without an average.
        average: Of its weights.
    """

    def _kept(self, held: Tensor, values: Values) -> tuple[Tensor, Tensor]:
        return retained(held, *self._average.weights(values))

    def after(self, state: Tensor, moved: Tensor, values: Values) -> Tensor:
        """The whole state, once the base has moved its part."""
        kept, held = self._kept(state[-1], values)
        way = kept * (state[-2] + (state[0] - moved[0]))
        return torch.cat([moved, torch.stack([way, held])])

    def pull_back(
        self, state: Tensor, gradient: Tensor, values: Values, adjoint: Tensor, learn: Names
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        r"""The base's, with what the average passes on.

        .. math:: \bar u = \rho\, \bar o', \qquad
                  \bar \theta' \mathrel{-}= \bar u, \quad \bar \theta \mathrel{+}= \bar u, \quad
                  \bar o = \bar u, \qquad
                  \bar \rho = \bar o' (o + \theta - \theta')
        """
        own = [name for name in learn if name == self._average.name]
        rest = [name for name in learn if name not in own]
        with torch.no_grad():
            through = adjoint[-2] * self._kept(state[-1], values)[0]
            passed = adjoint[:-SLOTS].clone()
            passed[0] -= through
        on_base, on_gradient, found = self.base.pull_back(
            state[:-SLOTS], gradient, values, passed, rest
        )
        on_state = torch.empty_like(adjoint)
        on_state[:-SLOTS] = on_base
        on_state[0] += through
        on_state[-2] = through
        # What an average holds depends on nothing but its own setting.
        on_state[-1] = 0.0
        if own:
            on_state[-1], slope = self._pull_kept(state, gradient, values, adjoint)
            found = {**found, own[0]: slope}
        return on_state, on_gradient, {name: found[name] for name in learn}

    def _pull_kept(
        self, state: Tensor, gradient: Tensor, values: Values, adjoint: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Adjoints of what the average holds, and of its setting."""
        name, moved = self._average.name, self.base.advance(state[:-SLOTS], gradient, values)[0]
        held, setting = (x.detach().requires_grad_() for x in (state[-1], values[name]))
        with torch.enable_grad():
            outputs = self._kept(held, {**values, name: setting})
        on_kept = adjoint[-2] * (state[-2] + (state[0] - moved))
        on_held, on_setting = torch.autograd.grad(
            [kept.expand_as(on_kept) for kept in outputs], [held, setting], [on_kept, adjoint[-1]],
            materialize_grads=True,
        )  # fmt: skip
        return on_held, on_setting

    def push_forward(
        self,
        state: Tensor,
        gradient: Tensor,
        values: Values,
        tangents: Tensor,
        curved: Tensor,
        moved: Values,
    ) -> None:
        r"""The base's, in place, then those of the average.

        .. math:: \dot o' = \rho (\dot o + \dot \theta - \dot \theta')
                  + \dot \rho\, (o + \theta - \theta')
        """
        name, before = self._average.name, tangents[:, 0].clone()
        rest = {n: tangent for n, tangent in moved.items() if n != name}
        part, inner = tangents[:, :-SLOTS], state[:-SLOTS]
        self.base.push_forward(inner, gradient, values, part, curved, rest)
        way, held = tangents[:, -2], tangents[:, -1]
        with torch.no_grad():
            way.add_(before).sub_(tangents[:, 0]).mul_(self._kept(state[-1], values)[0])
        if name in moved:
            theta = self.base.advance(inner, gradient, values)[0]
            on_kept, on_held = self._push_kept(state[-1], values, held, moved[name])
            way.addcmul_(on_kept, state[-2] + (state[0] - theta))
            held.copy_(on_held)

    def _push_kept(
        self, held: Tensor, values: Values, tangents: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tangents of what is kept of the average, and of what it holds, each of shape (K, P)."""
        name = self._average.name

        def kept(held: Tensor, setting: Tensor) -> tuple[Tensor, ...]:
            found = self._kept(held, {**values, name: setting})
            return tuple(each.expand_as(held) for each in found)

        def push(on_held: Tensor, on_setting: Tensor) -> tuple[Tensor, ...]:
            return torch.func.jvp(kept, (held, values[name]), (on_held, on_setting))[1]

        on_kept, on_held = torch.func.vmap(push)(tangents, moved)
        return on_kept, on_held


def bound(optimizer: Optimizer, layout: Layout, device: torch.device) -> Optimizer:
    """The optimizer of a run: knowing the parameters, and with a state that holds its average."""
    if optimizer.average is None:
        return optimizer.bound_to(layout, device)
    base = replace(optimizer, average=None).bound_to(layout, device)
    kind = Interpolated if isinstance(optimizer.average, ScheduleFreeAverage) else Averaged
    return kind(base, average=optimizer.average)
