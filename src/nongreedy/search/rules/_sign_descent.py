"""The paper's outer rule: additive sign steps, halved where the sign flips."""

import contextlib
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from ...engines import Hypergradient
from ...errors import DivergedError
from ...schedules import Default, Hyperparameter, Schedule
from ...schedules._hyperparameter import learned
from .. import Ask, Objective, Status
from .._outer_step import mean_accuracy, mean_metrics
from ._rule import OuterRule, OuterState, StepOutcome, sign_text
from ._rungs import automatic

Table = Mapping[str, Tensor]


@final
@dataclass(frozen=True)
class SignState(OuterState):
    """Step sizes, signs and whether there was one yet, by name in the shape of the coefficients."""

    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    steps: Table = field(default_factory=dict)
    signs: Table = field(default_factory=dict)
    signed: Table = field(default_factory=dict)
    accepted: Schedule | None = None
    rejections: int = 0


@final
@dataclass(frozen=True)
class SignDescent(OuterRule[SignState]):
    r"""Every value moves by its own step against its hypergradient's sign.

    .. math:: q = \mathrm{sign}(G_i), \quad
              s_i \leftarrow s_i / 2 \text{ if } q q_i = -1, \quad q_i \leftarrow q, \quad
              h_i \leftarrow \mathrm{clip}(h_i - q s_i)

    Differs from the reference: it stops when each step is small against its value (or the value
    rests on a bound with the gradient pushing outward); the best evaluated schedule is returned;
    values are projected on their bounds; a run that diverges is discarded, the steps that led there
    are halved and tried again from the last accepted values, up to `rejections` times in a row.

    Args:
        seeds: Runs whose hypergradients are averaged; fresh ones at every outer step.
        tolerance: Converged when ``s_i <= tolerance * max(|h_i|, first s_i)`` for every i.
        rejections: Diverged proposals in a row before giving up.
        finalists: Best schedules that meet again on common fresh seeds at the end, in rounds after
            which the worse half leaves.
        finalist_seeds: Seeds per round.

    Raises:
        DivergedError: If the very first run diverges.
        ValueError: ``Windows("auto")``: this rule splits nothing.

    Source: arXiv:2007.07869, section 4 and appendix.

    .. code-block:: bibtex

        @inproceedings{micaelli2021gradient,
          author    = {Micaelli, Paul and Storkey, Amos},
          title     = {Gradient-based Hyperparameter Optimization Over Long Horizons},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {34}, year = {2021}, eprint = {2007.07869}, archivePrefix = {arXiv}
        }

    Cannot: recover on networks without BatchNorm once the first step was far too long.

    Example:
        >>> SignDescent(seeds=2).tolerance
        0.05
    """

    seeds: int = 1
    tolerance: float = 0.05
    rejections: int = 5
    finalists: int = 3
    finalist_seeds: int = 2

    defaults: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(0.0, (0.0, math.inf), None, 0.1),
        "momentum": Default(0.0, (0.0, 0.999), None, 0.1),
        "weight_decay": Default(0.0, (0.0, math.inf), None, 3e-4),
    }

    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> SignState:
        """All step sizes at their first value, all signs zero."""
        del steps
        moving = learned(hyperparameters)
        for name, hyper in moving.items():
            if automatic(hyper.basis):
                raise ValueError(
                    f"{name}=Windows('auto') asks the default outer rule to find the windows; the "
                    "paper's rule keeps those that it is given. Use outer='auto', or a number of "
                    "windows such as Windows(4)."
                )
        zeros = {n: torch.zeros_like(h.initial) for n, h in moving.items()}
        return SignState(
            schedule=Schedule.initial(hyperparameters),
            hyperparameters=moving,
            steps={n: torch.full_like(h.initial, h.outer_step) for n, h in moving.items()},
            signs=zeros,
            signed={n: z.bool() for n, z in zeros.items()},
        )

    def step(self, state: SignState, objective: Objective) -> tuple[SignState, StepOutcome]:
        """Differentiate at the proposal on fresh seeds, then update; or reject it."""
        try:
            sweeps, metrics, gradients = self._differentiate(state, objective)
        except DivergedError as error:
            if state.accepted is None:
                raise
            outcome = StepOutcome(state.schedule, math.inf, None, {}, False, f"rejected: {error}")
            return self.reject(state), outcome
        signs = {n: sign_text(g) for n, g in gradients.items()}
        loss = statistics.fmean(h.value for h in sweeps)
        accuracy = mean_accuracy(h.accuracy for h in sweeps)
        outcome = StepOutcome(state.schedule, loss, accuracy, signs, True, metrics=metrics)
        return self.update(state, gradients), outcome

    def close(self, state: SignState, objective: Objective) -> None:
        """Run the last proposal once: it may win only if it was evaluated."""
        with contextlib.suppress(DivergedError):
            objective.rollout(state.schedule, objective.seeds(state.index, 1)[0])

    def _differentiate(
        self, state: SignState, objective: Objective
    ) -> tuple[list[Hypergradient], dict[str, float], dict[str, Tensor]]:
        def swept(seed: int) -> tuple[Hypergradient, Mapping[str, float]]:
            rollout = objective.rollout(state.schedule, seed, keep=True)
            return objective.differentiate(rollout), rollout.outcome.metrics

        seeds = objective.seeds(state.index, self.seeds)
        objective.ahead(Ask(state.schedule, seed, True) for seed in seeds)
        sweeps, metrics = zip(*map(swept, seeds), strict=True)
        gradients = {
            n: torch.stack([h.gradients[n] for h in sweeps]).mean(0) for n in state.hyperparameters
        }
        for name, gradient in gradients.items():
            if not bool(gradient.isfinite().all()):
                raise DivergedError(f"hypergradient of {name}", 0, objective.steps)
        return list(sweeps), mean_metrics(metrics), gradients

    def update(self, state: SignState, gradients: Mapping[str, Tensor]) -> SignState:
        """One accepted step; pure."""
        steps, signs, signed, values = {}, {}, {}, {}
        for name, hyper in state.hyperparameters.items():
            sign = torch.sign(gradients[name])
            flipped = sign * state.signs[name] == -1
            steps[name] = torch.where(flipped, state.steps[name] / 2, state.steps[name])
            signs[name], signed[name] = sign, state.signed[name] | (sign != 0)
            values[name] = _move(hyper, state.schedule[name], sign, steps[name])
        moved = replace(
            state, schedule=state.schedule.with_coefficients(values), accepted=state.schedule,
            steps=steps, signs=signs, signed=signed,
            index=state.index + 1, rejections=0,
        )  # fmt: skip
        return replace(moved, status=Status.converged if self.converged(moved) else None)

    def reject(self, state: SignState) -> SignState:
        """Back to the last accepted values, and half as far from there; signs are kept."""
        assert state.accepted is not None
        steps, values = {}, {}
        for name, hyper in state.hyperparameters.items():
            moved = state.schedule[name] != state.accepted[name]
            steps[name] = torch.where(moved, state.steps[name] / 2, state.steps[name])
            values[name] = _move(hyper, state.accepted[name], state.signs[name], steps[name])
        count = state.rejections + 1
        return replace(
            state, schedule=state.schedule.with_coefficients(values), steps=steps,
            index=state.index + 1, rejections=count,
            status=Status.rejected if count >= self.rejections else None,
        )  # fmt: skip

    def converged(self, state: SignState) -> bool:
        """Whether every value has settled or rests on a bound that it is pushed against."""
        for name, hyper in state.hyperparameters.items():
            value = state.schedule[name]
            scale = hyper.to_coordinate(value).abs().clamp(min=hyper.outer_step)
            small = state.steps[name] <= self.tolerance * scale
            resting = hyper.blocked(value, state.signs[name])
            if not bool((state.signed[name] & (small | resting)).all()):
                return False
        return True


def _move(hyper: Hyperparameter, value: Tensor, sign: Tensor, step: Tensor) -> Tensor:
    return torch.where(sign == 0, value, hyper.to_value(hyper.to_coordinate(value) - sign * step))
