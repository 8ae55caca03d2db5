"""How far the hypergradients of a study can be trusted: their size against their noise over seeds."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from ..engines import Hypergradient
from ..schedules import Linear
from ..search._words import number, spaced
from ..statistics import CLEAR, signal_of
from ..trust import Trust
from ._markup import section, table, text
from ._record import Record, Step

_MOST = 100  # rows of the table


class Coefficient(NamedTuple):
    """One coefficient of one hyperparameter, differentiated on several seeds."""

    name: str
    place: str
    mean: float
    deviation: float  # of one seed
    ratio: float  # the mean over its standard error
    same: int  # how many seeds have the sign of the mean
    verdict: str


def trust_section(record: Record) -> str:
    """What the seeds say of the last outer step that has several of them: HTML."""
    several = [step for step in record.steps if len(step.hypergradients) > 1]
    if not several:
        return section(
            "Trust",
            "<p>No outer step has hypergradients of more than one seed, so that nothing can be said "
            "of their noise. <code>ng.tune(..., seeds=2)</code> or more would show it.</p>",
        )
    step = several[-1]
    rows, seeds = list(coefficients(record, step)), len(step.hypergradients)
    if not rows:
        said = "The study does not keep coefficients of its hypergradients: there are too many."
        return section("Trust", f"<p>{said}</p>")
    agreed = sum(c.verdict in ("clear", "agree, but noisy") for c in rows)
    lead = (
        f"Outer step {step.row.index} has the hypergradients of {seeds} seeds. Of {len(rows)} "
        f"coefficients, {agreed} have the same sign for all of them (pure noise would give one "
        f"in {2 ** (seeds - 1)}), and {sum(c.verdict == 'clear' for c in rows)} of these lie "
        f"{CLEAR:g} standard errors or more from zero. Of so few seeds a standard error is a rough "
        "estimate itself."
    )
    cells = [
        [c.name, c.place, *map(number, c[2:5]), f"{c.same} of {seeds}", c.verdict]
        for c in rows[:_MOST]
    ]
    head = [
        "hyperparameter", "coefficient", "mean", "deviation over seeds", "mean / its standard error",
        "seeds of this sign", "verdict",
    ]  # fmt: skip
    more = f"<p>{len(rows) - _MOST} more are left out.</p>" if len(rows) > _MOST else ""
    listed = table(head, cells, numeric=(2, 3, 4))
    return section("Trust", _verdict(record, step), f"<p>{text(lead)}</p>", listed, more)


def _verdict(record: Record, step: Step) -> str:
    """The verdict of the trust report and its advice, where nothing of the hypergradients is lost."""
    if not all(math.isfinite(h.value) for h in step.hypergradients):
        return ""
    try:
        trust = Trust.of(step.hypergradients, step.schedule, record.horizon)
    except ValueError:  # the schedule that was differentiated had other windows than its successor
        return ""
    advice = "".join(f"<li>{text(line)}</li>" for line in trust.advice)
    verdict = f"<p><strong>{text(trust.verdict.name)}</strong>: {text(trust.verdict.value)}</p>"
    return verdict + (f"<ul>{advice}</ul>" if advice else "")


def coefficients(record: Record, step: Step) -> Iterator[Coefficient]:
    """Every coefficient that all seeds of a step have."""
    seeds = len(step.hypergradients)
    for name in record.learned:
        gradients = [h.gradients[name].double() for h in step.hypergradients if name in h.gradients]
        if len(gradients) < seeds or len({len(gradient) for gradient in gradients}) != 1:
            continue
        bare = [Hypergradient(0.0, None, {name: gradient}) for gradient in gradients]
        signal = signal_of(bare, name, record.schedule.curves[name].basis, record.horizon)
        columns = (signal.mean, signal.noise, signal.ratio * seeds**0.5, signal.agreement * seeds)
        for index, row in enumerate(torch.stack(columns, 1).tolist()):
            mean, deviation, ratio, same = *row[:3], round(row[3])
            verdict = "clear" if ratio >= CLEAR else "agree, but noisy"
            verdict = "seeds disagree" if same < seeds else verdict if mean else "zero"
            place = _place(record, name, index, len(gradients[0]))
            yield Coefficient(spaced(name), place, mean, deviation, ratio, same, verdict)


def _place(record: Record, name: str, index: int, count: int) -> str:
    """Where in the run a coefficient acts."""
    if name not in record.curves:
        return f"entry {index}"
    if count == 1:
        return "whole run"
    if isinstance(record.schedule.curves[name].basis, Linear):
        return f"knot at step {int(Linear(count).positions(record.horizon)[index])}"
    low, high = (-(-part * record.horizon // count) for part in (index, index + 1))
    return f"steps {low} to {high - 1}"
