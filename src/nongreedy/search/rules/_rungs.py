"""Bases from coarse to fine: by a fixed ladder, or where the evidence calls for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ...engines import Hypergradient
from ...schedules import Basis, Curve, Hyperparameter, Schedule, TimeBasis, Windows
from ...statistics import Sharing, cuts

Hyperparameters = Mapping[str, Hyperparameter]


def automatic(basis: Basis) -> bool:
    """Whether the number of windows is to be found: ``Windows("auto")``."""
    return isinstance(basis, Windows) and basis.auto


def ladder(hyper: Hyperparameter) -> list[Basis]:
    """Coarse to fine; a schedule that the user gave coefficient by coefficient stays as it is."""
    if automatic(hyper.basis):
        return [Windows(1)]  # finer ones are found on the way
    return hyper.basis.ladder() if len(hyper.initial.unique()) == 1 else [hyper.basis]


def on_rung(
    schedule: Schedule, hyperparameters: Hyperparameters, level: int, steps: int
) -> Schedule:
    """The same curves on the bases of a rung; those that were split by evidence stay."""
    curves = dict(schedule.curves)
    for name, hyper in hyperparameters.items():
        rungs, old = ladder(hyper), curves[name]
        basis = rungs[min(level, len(rungs) - 1)]
        begun = automatic(hyper.basis) and not automatic(old.basis)
        if isinstance(basis, TimeBasis) and not begun:
            curves[name] = old.on(basis, steps)
    return Schedule(curves, schedule.settings)


def refined(
    schedule: Schedule,
    hyperparameters: Hyperparameters,
    sweeps: Sequence[Hypergradient],
    steps: int,
) -> tuple[Schedule, list[str]]:
    """The same values on automatic windows that are halved where seeds call for it, and which were.

    Args:
        sweeps: Hypergradients of this schedule, one for each seed (:func:`cuts`).

    Raises:
        ValueError: Automatic windows, but no per-step hypergradients.
    """
    curves, notes = dict(schedule.curves), []
    for name, hyper in hyperparameters.items():
        curve = curves[name]
        if not automatic(hyper.basis) or not isinstance(curve.basis, Windows):
            continue
        if any(name not in h.per_step for h in sweeps):
            raise ValueError(
                f"{name}=Windows('auto') is split by per-step hypergradients, which this engine does "
                "not give. Use Reverse or Reversible, or a number of windows such as Windows(4)."
            )
        values = curve.basis.expand(curve.coefficients, steps)
        slopes = [hyper.gradient_in_coordinate(values, h.per_step[name]) for h in sweeps]
        positions = cuts(torch.stack(slopes), curve.basis)
        if positions:
            curves[name] = cut(curve, positions)
            notes.append(f"{name} in {len(curves[name].coefficients)} windows")
    return Schedule(curves, schedule.settings), notes


def cut(curve: Curve, positions: Sequence[float]) -> Curve:
    """The same values with further edges between windows."""
    assert isinstance(curve.basis, Windows)
    basis = curve.basis.cut(positions)
    inner = torch.tensor(curve.basis.borders()[1:-1], dtype=torch.float64)
    begins = torch.tensor(basis.borders()[:-1], dtype=torch.float64)
    old = torch.bucketize(begins, inner, right=True)
    return replace(curve, basis=basis, coefficients=curve.coefficients[old])


def advised(sweeps: Sequence[Hypergradient], name: str) -> float:
    """W*, the width of windows with the least error, in steps; 0 where too little is known."""
    if len(sweeps) < 2 or any(name not in h.per_step for h in sweeps):
        return 0.0
    return Sharing.of(torch.stack([h.per_step[name] for h in sweeps])).width
