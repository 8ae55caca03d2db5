"""How adjoints grow from the end of a run towards its beginning: how chaotic training is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import Hypergradient
from ..schedules import Basis, TimeBasis


@dataclass(frozen=True)
class Growth:
    r"""Norms of the adjoints of the weights relative to the last one.

    .. math:: \rho_t = \frac{\|\partial J / \partial \theta_t\|}{\|\nabla J(\theta_T)\|}

    A change of the weights at step t moves the loss :math:`\rho_t` times as much as one at the end.
    In healthy training :math:`\rho_t` is about 1 or less: the run forgets its past. In chaotic
    training it grows exponentially towards the beginning.

    Attributes:
        curve: rho_t for t = 0 .. T, the geometric mean over the seeds, shape (T + 1,), float64.
        worst: The largest rho_t of any seed, at any step.
    """

    curve: Tensor
    worst: float

    @classmethod
    def of(cls, norms: Sequence[Tensor]) -> Growth:
        """From :attr:`Hypergradient.adjoint_norms` of each seed."""
        ratios = torch.stack([n / n[-1] if n[-1] > 0 else torch.ones_like(n) for n in norms])
        curve = ratios.clamp(min=1e-300).log().mean(0).exp()
        return cls(curve, float(ratios.max()))

    @property
    def overall(self) -> float:
        """The largest of the curve."""
        return float(self.curve.max())

    @property
    def rate(self) -> float:
        """Growth per step from the end to where the curve is largest, as a logarithm: the Lyapunov
        exponent of the adjoints; 0 where they never exceed the last one."""
        highest = int(self.curve.argmax())
        steps = len(self.curve) - 1 - highest
        return float(self.curve[highest].log()) / steps if steps else 0.0

    def points(self, most: int = 100) -> list[tuple[int, float]]:
        """(step, rho) at about `most` steps, for a figure or a file."""
        last = len(self.curve) - 1
        places = torch.linspace(0, last, min(most, last + 1)).round().long()
        return [(int(t), float(self.curve[t])) for t in places]

    def over(self, basis: Basis) -> Tensor | None:
        """By what factor adjoints grow across the steps of each coefficient; None without steps."""
        steps = len(self.curve) - 1
        if not isinstance(basis, TimeBasis):
            return None
        index, weight = basis.taps(steps)
        time = torch.arange(steps)[:, None].expand(index.shape)[weight != 0]
        used, never = index[weight != 0], torch.full((basis.size(steps),), steps)
        first = never.scatter_reduce(0, used, time, "amin")
        end = never.scatter_reduce(0, used, time + 1, "amax", include_self=False)
        return self.curve[first] / self.curve[end]


def growth_of(hypergradients: Sequence[Hypergradient]) -> Growth | None:
    """Of hypergradients; None where an engine has no adjoints."""
    norms = [h.adjoint_norms for h in hypergradients if h.adjoint_norms is not None]
    return Growth.of(norms) if norms else None
