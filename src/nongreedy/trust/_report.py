"""The trust report: what several seeds' hypergradients say of themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..engines import Hypergradient
from ..schedules import Curve, Schedule, TimeBasis
from ..statistics import Growth, Sharing, Signal, growth_of, signal_of
from ._smoothness import Smoothness
from ._verdict import Verdict, advise, judge

_ROWS = 12  # of one hyperparameter; further ones are left out of the table


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

    Source: arXiv:2007.07869, theorem 4.1 (:cite:`micaelli2021gradient`); arXiv:2503.13751, metasmoothness
    (:cite:`engstrom2025optimizing`).

    Cannot: compare with what another engine or another schedule would say.

    Example:
        >>> import torch, nongreedy as ng
        >>> rise = [torch.linspace(-1, 2, 40).double() + 0.1 * k for k in range(4)]
        >>> found = [ng.Hypergradient(1.0, None, {"learning_rate": g.sum()[None]},
        ...                        {"learning_rate": g}) for g in rise]
        >>> ng.Trust.of(found, ng.Schedule.of(learning_rate=0.1), steps=40).verdict.name
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
    ) -> Trust:
        """Of hypergradients of the same schedule, one for each seed.

        Raises:
            ValueError: None of them and no failure; names or sizes that are not the schedule's.
        """
        found = list(hypergradients)
        if not found and not failures:
            raise ValueError("`hypergradients` is empty. Give those of one seed at least.")
        names = list(found[0].gradients) if found else []
        curves = {name: _curve(name, schedule, found, steps) for name in names}
        return cls(
            steps,
            len(found),
            curves,
            {n: signal_of(found, n, curve.basis, steps) for n, curve in curves.items()},
            dict(_shared(found, curves)),
            growth_of(found),
            smoothness,
            tuple(failures),
            cost,
        )

    @property
    def verdict(self) -> Verdict:
        """``trustworthy``, ``noisy`` or ``chaotic``; its value is a help text."""
        return judge(self)

    @property
    def advice(self) -> list[str]:
        """What to change, with the numbers at hand."""
        return advise(self)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.verdict.name}: {self.verdict.value}",
                *(f"  {line}" for line in self.advice),
                "",
                *_table(self),
                *_lines(self),
            ]
        )


def _curve(name: str, schedule: Schedule, found: Sequence[Hypergradient], steps: int) -> Curve:
    if name not in schedule.curves:
        raise ValueError(f"The hypergradients are of {name!r}, which the schedule does not have.")
    curve = schedule.curves[name]
    sizes = {len(h.gradients[name]) for h in found}
    if sizes != {curve.basis.size(steps)}:
        raise ValueError(
            f"The hypergradients of {name!r} have {sorted(sizes)} entries, but the schedule has "
            f"{curve.basis.size(steps)} coefficients of it at {steps} steps."
        )
    return curve


def _shared(
    found: Sequence[Hypergradient], curves: Mapping[str, Curve]
) -> Iterator[tuple[str, Sharing]]:
    for name, curve in curves.items():
        if isinstance(curve.basis, TimeBasis) and all(name in h.per_step for h in found):
            yield name, Sharing.of(torch.stack([h.per_step[name] for h in found]))


_HEAD = ("coefficient", "hypergradient", "noise", "signal/noise", "signs agree", "adjoints grow")


def _table(trust: Trust) -> Iterator[str]:
    if not trust.signals:
        return
    widths = [max(len(word), 12) for word in _HEAD]
    widths[0] = max(widths[0], *(len(name) + 8 for name in trust.signals))
    yield _row(_HEAD, widths)
    for name, signal in trust.signals.items():
        grown = trust.growth.over(trust.curves[name].basis) if trust.growth else None
        size = len(signal.mean)
        for j in range(min(size, _ROWS)):
            cells = (signal.mean[j], signal.noise[j], signal.ratio[j])
            growth = "" if grown is None else _short(float(grown[j]))
            agreed = f"{float(signal.agreement[j]):.0%}"
            label = name if size == 1 else f"{name} {j + 1}/{size}"
            yield _row((label, *(_short(float(c)) for c in cells), agreed, growth), widths)
        if size > _ROWS:
            clear = int(signal.clear.sum())
            yield f"{name}: {size - _ROWS} more; {clear} of {size} stand out of their noise"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]).rstrip()


def _lines(trust: Trust) -> Iterator[str]:
    for name, sharing in trust.sharing.items():
        neighbors = sharing.neighbor_correlation
        known = "" if math.isnan(neighbors) else f", of neighbours {neighbors:.2f}"
        yield (
            f"{name}: MSE_1 {sharing.mse_1:.3g}, drift {sharing.drift:.2g} per step, correlation "
            f"{sharing.correlation:.2f}{known}: W* = {sharing.width:.0f} steps, "
            f"measured {sharing.best:.0f}, {sharing.windows} window{'s' if sharing.windows > 1 else ''}"
        )
    if trust.growth is not None:
        grown = trust.growth
        yield f"adjoints: grow {_short(grown.overall)} times, {_short(grown.worst)} in the worst seed"
    if trust.smoothness is not None:
        smooth = trust.smoothness
        yield (
            f"{smooth.step:g} outer steps downhill: metasmoothness {smooth.metasmoothness:.2f}, "
            f"the loss changes {smooth.linearity:.2f} times as predicted"
        )
    yield f"{trust.seeds} seed{'s' if trust.seeds != 1 else ''}, {trust.steps} steps"


def _short(value: float) -> str:
    return f"{value:.3g}"
