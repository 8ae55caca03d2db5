"""Reversible learning: train in exact integers, then undo every step instead of storing it.

Aliases: reversible dynamics, information buffer. arXiv:1502.03492 (the method, for SGD with
momentum); Adam and AdamW, which that paper conjectures, by the same means.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

import torch

from ..schedules import Schedule
from ._engine import Engine, Hypergradient
from ._explosion import check_limit, shown
from ._integers import Reversal, program_for
from ._integers.fixed_point import DEFAULT_BITS
from ._integers.state import Factors, IntegerState
from ._losses import Losses
from ._progress import OnState, OnStep, ignore
from ._reverse import Reverse
from ._run import Run, Values, at
from ._runner import Rollout

_LIMITS = {"denominator": (2, 2**20), "fraction_bits": (24, 54)}


@final
@dataclass(frozen=True)
class Reversible(Engine):
    r"""Exact hypergradients from a run that is undone step by step, with no state stored.

    Parameters and moments are 64-bit integers with a fixed point. Adding is undone by subtracting
    the same integer. Multiplying by :math:`\beta_t = n_t / d_t` is undone exactly because what it
    loses goes to an information buffer, which grows by :math:`\log_2(d_t / n_t)` bits per parameter
    and step: 0.15 at 0.9, 0.0015 at 0.999. The sweep is that of :class:`Reverse`, and its result has
    the same bits as if every state of this integer run had been stored.

    The run takes place at the fractions n/d, and so does the derivative: rounding a momentum to a
    fraction is straight-through.

    Args:
        denominator: Largest d of momentum and beta1. The nearest of such fractions is within
            1/(d * denominator). Larger ones represent more values but round each product more
            coarsely, by about d units of the last bit.
        fraction_bits: Bits after the point: each less doubles the range, and the rounding. At 52,
            parameters, velocity and first moment reach 1024; Adam's second moment, whose format fits
            the first gradient, may be that of gradients sixteen times as large.
        verify: Keep a 64-bit checksum per step, so that a replay which differs is named at once;
            without it only the return to the initial state and empty buffers are checked.
        growth_limit: Of adjoints, as in :class:`Reverse`.

    Raises:
        ValueError: A setting out of range; an optimizer other than SGD (without Nesterov
            momentum or dampening), Adam and AdamW; a dtype other than float32 and float64; a
            momentum or beta of 0 at some step.
        DivergedError: A non-finite loss or adjoint, or a number beyond the fixed-point range.
        ReplayError: A step that was undone does not lead to where it began.

    Source: arXiv:1502.03492.

    .. code-block:: bibtex

        @inproceedings{maclaurin2015gradient,
          author    = {Maclaurin, Dougal and Duvenaud, David and Adams, Ryan P.},
          title     = {Gradient-based Hyperparameter Optimization through Reversible Learning},
          booktitle = {Proceedings of the 32nd International Conference on Machine Learning},
          year      = {2015}, eprint = {1502.03492}, archivePrefix = {arXiv}
        }

    Cannot: undo a momentum of 0 or Nesterov momentum, which lose what going back would need; undo
    dampening, averages, RMSprop, Adagrad, Lion or Muon (``Reverse(store="checkpoint")`` takes them all); run
    where int64 or float64 is missing.

    Example:
        >>> Reversible(denominator=100)
        Reversible(denominator=100, fraction_bits=52, verify=True)
    """

    denominator: int = 1000
    fraction_bits: int = DEFAULT_BITS
    verify: bool = True
    growth_limit: float | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return shown(self)

    def __post_init__(self) -> None:
        check_limit(self.growth_limit)
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not (isinstance(value, int) and low <= value <= high):
                raise ValueError(
                    f"`{name}` must be a whole number from {low} to {high}, but got {value!r}."
                )

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str | None:
        """What cannot be reversed is refused; the rest is exact at the fractions of the run."""
        try:
            self.reversal(run, run.values(schedule))
        except ValueError as error:
            return str(error)
        return None

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """As from checkpoints: a gradient to undo the step, one more and its derivative."""
        return 3.0 + run.recorded_at

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """What buffers and checksums of the whole run take, as states."""
        return self.reversal(run, run.values(schedule)).spilled_bytes / run.state_bytes

    def rollout(
        self,
        run: Run,
        schedule: Schedule,
        *,
        keep: bool = False,
        on_step: OnStep = ignore,
        on_state: OnState | None = None,
    ) -> Rollout:
        """Train once, in integers."""
        values = run.values(schedule)
        reversal = self.reversal(run, values)
        rational = {n: v.to(run.dtype) for n, v in reversal.state.factors.values.items()}
        values = {**values, **rational}
        state, losses = reversal.state.floats(), Losses(run, bounded=True)
        with run.isolated(), losses.first():
            for t in range(run.steps):
                if on_state is not None:
                    on_state(t, state)
                if keep:
                    reversal.append(state)
                before, now = state, at(values, t)
                loss, gradient = run.unread_gradient(before[0], t, now)
                losses.add(t, before, now, loss)
                state = reversal.advance(gradient, t, losses.readings.add)
                on_step(t)
            losses.read()
            outcome = run.ended(state)
        kept = reversal if keep else None
        return Rollout(run, schedule, values, outcome, losses.numbers, state, kept)

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Sweep backwards, undoing the run."""
        return Reverse(growth_limit=self.growth_limit).differentiate(rollout, learn, on_step)

    def reversal(self, run: Run, values: Values) -> Reversal:
        """The integers at the start of a run, and what goes back from its end."""
        if run.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"Reversible derives float32 or float64 states from its integers, not {run.dtype}. "
                "Use Reverse(store='checkpoint')."
            )
        program = program_for(run.optimizer)
        settings = {n: v.double() for n, v in values.items() if n not in run.task.learnable}
        factors, first = Factors.settle(program, settings, self.denominator), at(values, 0)
        state = IntegerState(
            program, factors, run.optimizer, run.initial(first), self.fraction_bits
        )
        return Reversal(state, run, values, self.verify)
