"""Factors that multiply a slot of the state: momentum, Adam's betas, decoupled weight decay."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...errors import IrreversibleError
from .multiplier import Dense, Fine, Multiplier
from .rational import convergents, proper_fractions

Values = Mapping[str, Tensor]  # name -> shape (T,), float64
Fractions = tuple[Tensor, Tensor]  # n and d at each step, int64, on the CPU

# Products of two still fit into 64 bits.
_FINEST = 2**30


@dataclass(frozen=True)
class Factor(abc.ABC):
    """A factor in (0, 1], settled as one fraction n/d per step.

    The hyperparameter that it came from is then replaced by the value that n/d stands for, so that
    training, its reversal and the adjoint all use the same number. Rounding is straight-through:
    hypergradients are those at n/d.
    """

    name: str

    @property
    @abc.abstractmethod
    def multiplier(self) -> Multiplier:
        """How the slot is multiplied."""

    @abc.abstractmethod
    def settle(self, values: Values, denominator: int) -> tuple[dict[str, Tensor], Fractions]:
        """The values at which the run takes place, and the fractions.

        Raises:
            IrreversibleError: A value that loses the slot.
        """


def _first_outside(inside: Tensor) -> int | None:
    steps = (~inside).nonzero()
    return int(steps[0]) if len(steps) else None


@final
@dataclass(frozen=True)
class Retention(Factor):
    """The share of a running moment that a step retains.

    Of a velocity, 0.9 costs 0.15 bits per step, which decides the memory: dense. Of a mean of squares
    it costs next to nothing, but the root of that sees the last bits: fine.
    """

    fine: bool = False

    @property
    def multiplier(self) -> Multiplier:
        return Fine() if self.fine else Dense()

    def settle(self, values: Values, denominator: int) -> tuple[dict[str, Tensor], Fractions]:
        share = values[self.name]
        if (step := _first_outside((share > 0) & (share < 1))) is not None:
            raise IrreversibleError(
                f"{self.name} is {share[step].item():g} at step {step}, and Reversible needs "
                f"0 < {self.name} < 1: a moment multiplied by 0 is lost. Start at a positive value "
                f"and keep it so, as in {self.name}=Windows(1, initial=0.5, bounds=(0.05, 0.99)), "
                "or use Reverse(store='checkpoint')."
            )
        n, d = proper_fractions(share, _FINEST if self.fine else denominator)
        return {**values, self.name: (n.double() / d).to(share.device)}, (n, d)


@final
@dataclass(frozen=True)
class DecoupledDecay(Factor):
    r"""The share :math:`1 - \alpha_t \xi_t` of the parameters that AdamW's decay leaves.

    Small decays ask for large denominators, so fine; below :math:`2^{-31}` they round to none. The
    weight decay becomes the one that gives n/d at the given learning rate.
    """

    @property
    def multiplier(self) -> Multiplier:
        return Fine()

    def settle(self, values: Values, denominator: int) -> tuple[dict[str, Tensor], Fractions]:
        rate, decay = values["learning_rate"], values["weight_decay"]
        lost = rate * decay
        if (step := _first_outside((lost >= 0) & (lost < 1))) is not None:
            raise IrreversibleError(
                f"learning_rate * weight_decay is {lost[step].item():g} at step {step}, and "
                "Reversible needs it in [0, 1): the decay then leaves something. Lower one of "
                "them, or its upper bound, or use Reverse(store='checkpoint')."
            )
        p, d = convergents(lost, _FINEST)
        p = torch.minimum(p, d - 1)
        rounded = (p.double() / d).to(rate.device)
        decay = torch.where(rate > 0, rounded / torch.where(rate > 0, rate, 1.0), decay)
        return {**values, "weight_decay": decay}, (d - p, d)
