"""The trust report: what several seeds' hypergradients say of themselves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..engines import Hypergradient
from ..schedules import Curve, Schedule, TimeBasis
from ..schedules._words import count
from ..statistics import Growth, Sharing, Signal, growth_of, signal_of
from ._prospect import Prospect
from ._smoothness import Smoothness
from ._table import sharing_line, signal_table
from ._verdict import Verdict

_CHAOTIC = 100.0  # growth of adjoints: 1 % of change in the weights would come out as large as they
_SUSPECT = 10.0  # leaving a saddle does that, too; chaotic only where the step is also rough
_ROUGH = 0.5  # metasmoothness: weights that make up a quarter of the movement turn back
_FAILURES = 2  # that are quoted
_COMMON = 0.5  # correlation: half of the noise is shared by all steps


@dataclass(frozen=True)
class Trust:
    r"""Whether hypergradients of one schedule are worth following.

    Attributes:
        steps: T, length of the runs.
        seeds: How many hypergradients were compared.
        curves: The schedule's, of what was differentiated.
        signals: Name -> :class:`Signal`, coefficient by coefficient.
        sharing: Name -> :class:`Sharing`: MSE_1, drift, correlation and the advised width of
            windows, in the values' own units; of what changes over time, from engines that give
            per-step hypergradients.
        growth: Of adjoints along the run (:class:`Growth`); None without adjoints.
        smoothness: A finite step away (:class:`Smoothness`); None if no runs were made for it.
        failures: Messages of runs and sweeps that diverged.
        cost: Plain runs' worth of gradients that were spent for it; 0 for what existed.
        verification: What was found of the task itself (:class:`Verification`), in a line.
        prospect: What a search from here is expected to gain (:class:`Prospect`); None where that cannot
            be estimated.

    Source: arXiv:2007.07869, theorem 4.1 (:cite:`micaelli2021gradient`); arXiv:2503.13751, metasmoothness
    (:cite:`engstrom2025optimizing`).

    Cannot: compare with what another engine or another schedule would say.

    Example:
        >>> import torch, nongreedy as ng
        >>> rise = [torch.linspace(-1, 2, 40).double() + 0.1 * k for k in range(4)]
        >>> found = [ng.Hypergradient(1.0, None, {"learning_rate": g.sum()[None]},
        ...                           {"learning_rate": g}) for g in rise]
        >>> Trust.of(found, ng.Schedule.of(learning_rate=0.1), steps=40).verdict.name
        'trustworthy'
    """

    steps: int
    seeds: int
    curves: Mapping[str, Curve]
    signals: Mapping[str, Signal]
    sharing: Mapping[str, Sharing]
    growth: Growth | None = None
    smoothness: Smoothness | None = None
    failures: tuple[str, ...] = ()
    cost: float = 0.0
    verification: str = ""
    prospect: Prospect | None = None

    @classmethod
    def of(
        cls,
        hypergradients: Sequence[Hypergradient],
        schedule: Schedule,
        steps: int,
        *,
        smoothness: Smoothness | None = None,
        failures: Sequence[str] = (),
        cost: float = 0.0,
        verification: str = "",
        prospect: Prospect | None = None,
    ) -> Trust:
        """Of hypergradients of the same schedule, one for each seed.

        Raises:
            ValueError: None of them and no failure; names or sizes that are not the schedule's.
        """
        if not hypergradients and not failures:
            raise ValueError("`hypergradients` is empty. Give those of one seed at least.")
        names = hypergradients[0].gradients if hypergradients else ()
        curves = {name: _curve(name, schedule, hypergradients, steps) for name in names}
        signals = {n: signal_of(hypergradients, n, c.basis, steps) for n, c in curves.items()}
        sharing = {
            name: Sharing.of(torch.stack([h.per_step[name] for h in hypergradients]))
            for name, curve in curves.items()
            if isinstance(curve.basis, TimeBasis)
            and all(name in h.per_step for h in hypergradients)
        }
        return cls(
            steps, len(hypergradients), curves, signals, sharing, growth_of(hypergradients),
            smoothness, tuple(failures), cost, verification, prospect,
        )  # fmt: skip

    @property
    def verdict(self) -> Verdict:
        """``trustworthy``, ``noisy`` or ``chaotic``; its value is a help text.

        Chaotic if a run or sweep diverged, or adjoints grew a hundredfold, or tenfold where the step
        is rough, too; noisy if fewer than half of the coefficients, each hyperparameter counting the
        same, are clear.
        """
        if self.failures or self._explosive:
            return Verdict.chaotic
        clear = [float(signal.clear.double().mean()) for signal in self.signals.values()]
        return Verdict.trustworthy if sum(clear) >= len(clear) / 2 else Verdict.noisy

    @property
    def advice(self) -> list[str]:
        """What to change, with the numbers at hand; nothing where nothing is amiss."""
        advice, verdict = [*self._calming()], self.verdict
        if verdict is Verdict.noisy:
            advice += self._quieting()
        return advice if verdict is Verdict.chaotic else [*advice, *self._widening()]

    def __repr__(self) -> str:
        return f"Trust({self.verdict.name}; {count(self.seeds, 'seed')}, {self.steps} steps)"

    def __str__(self) -> str:
        lines = [f"{self.verdict.name}: {self.verdict.value}"]
        lines += [f"  {line}" for line in self.advice]
        if self.prospect is not None and self.verdict is not Verdict.chaotic:
            lines.append(self.prospect.words)
        lines.append("")
        lines += signal_table(self.signals, self.curves, self.growth)
        lines += itertools.starmap(sharing_line, self.sharing.items())
        if (growth := self.growth) is not None:
            lines.append(
                f"adjoints: grow {growth.overall:.3g} times, {growth.worst:.3g} in the worst seed"
            )
        if (smooth := self.smoothness) is not None:
            lines.append(
                f"{smooth.step:g} outer steps downhill: metasmoothness {smooth.metasmoothness:.2f}, "
                f"the loss changes {smooth.linearity:.2f} times as predicted"
            )
        seeds = f"{self.seeds} seed{'s' if self.seeds != 1 else ''}"
        return "\n".join(
            [*lines, *filter(None, [self.verification]), f"{seeds}, {self.steps} steps"]
        )

    @property
    def _rough(self) -> bool:
        return self.smoothness is not None and self.smoothness.metasmoothness < _ROUGH

    @property
    def _explosive(self) -> bool:
        limit = _SUSPECT if self._rough else _CHAOTIC
        return self.growth is not None and self.growth.overall > limit

    def _calming(self) -> Iterator[str]:
        quoted = list(dict.fromkeys(self.failures))[:_FAILURES]
        yield from quoted
        if len(self.failures) > len(quoted):
            every = len(self.failures) + self.seeds
            yield f"and so on: {len(self.failures)} of {every} seeds diverged."
        if self._explosive and self.growth is not None:
            rate = math.expm1(self.growth.rate)
            yield (
                f"adjoints grow {self.growth.overall:.1e} times, by {rate:.1%} per step: lower the "
                "learning rate."
            )
        if self._rough and (smooth := self.smoothness) is not None:
            yield (
                f"{smooth.step:g} outer steps on, the weights do not move on as they began (metasmoothness "
                f"{smooth.metasmoothness:.2f}): take shorter outer steps, or lower the learning rate."
            )

    def _quieting(self) -> Iterator[str]:
        for name, signal in self.signals.items():
            needed = signal.seeds_for()
            if float(signal.clear.double().mean()) < 0.5 and self.seeds < needed:
                many = (
                    f"about {math.ceil(needed)} seeds" if needed < 1000 else "more than 1000 seeds"
                )
                yield f"{name}: at this noise, {many} would make half of its values stand out."

    def _widening(self) -> Iterator[str]:
        """Wider windows, or what wider windows cannot mend."""
        for name, sharing in self.sharing.items():
            size = len(self.signals[name].mean)
            if sharing.windows < size:
                yield (
                    f"{name}: its {size} windows are narrower than {sharing.best:.0f} steps; with "
                    f"{sharing.windows}, per-step hypergradients would have the least error."
                )
            if sharing.correlation > _COMMON:
                yield (
                    f"{name}: {sharing.correlation:.0%} of the noise is common to all steps, which no "
                    "sharing averages away: more seeds, or a larger validation set."
                )


def _curve(
    name: str, schedule: Schedule, hypergradients: Sequence[Hypergradient], steps: int
) -> Curve:
    if name not in schedule.curves:
        raise ValueError(f"The hypergradients are of {name!r}, which the schedule does not have.")
    curve = schedule.curves[name]
    sizes = {len(h.gradients[name]) for h in hypergradients}
    if sizes != {curve.basis.size(steps)}:
        raise ValueError(
            f"The hypergradients of {name!r} have {sorted(sizes)} entries, but the schedule has "
            f"{curve.basis.size(steps)} coefficients of it at {steps} steps."
        )
    return curve
