"""Black-box searches that start from what people do: a falling learning rate whose peak is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from ..engines import Problem
from ..schedules import Schedule, TimeBasis
from ._black_box import BlackBox
from ._meter import Meter
from ._peaks import bracketed, linear
from ._practice import by_hand, grouped, over_time
from ._ranges import Range, labels, peaks

SHARE = 0.2  # of the budget, for the peak
LEAST = 0.02  # of the peak: where a schedule that falls to nothing ends, in logarithms


@final
@dataclass(frozen=True)
class FromPractice(BlackBox):
    """A fifth of the budget brackets the peak of a rate that falls to nothing in a straight line; the
    sampler then searches a decade around that schedule, which is its first trial.

    Momentum and weight decay are those of :data:`PRACTICE`, and have a decade of their own. What has no
    scale in decades has all of its range. The runs of the bracket are candidates of the final.
    """

    def refused(self, problem: Problem) -> str | None:
        return grouped(problem) or over_time(problem) or super().refused(problem)

    def space(
        self, problem: Problem, meter: Meter
    ) -> tuple[Mapping[str, Range], Mapping[str, float]]:
        limits, runs = peaks(problem), max(1, int(SHARE * meter.limit))
        peak = bracketed(problem, meter, linear, limits, runs)
        schedule = by_hand(problem, linear(peak))
        ranges, space, first = self.ranges(problem), {}, {}
        for name, those in labels(problem).items():
            values = on_basis(problem, schedule, name)
            for label, value in zip(those, values, strict=True):
                if name == "learning_rate":
                    value = max(value, LEAST * peak)
                value, space[label] = ranges[name].around(value)
                first |= [space[label].spelled(label, value)]
        return space, first


def on_basis(problem: Problem, schedule: Schedule, name: str) -> list[float]:
    """What the problem's own basis makes of one hyperparameter of a schedule."""
    basis, curve = problem.learned[name].basis, schedule.curves[name]
    assert isinstance(basis, TimeBasis)  # over_time
    return curve.on(basis, problem.steps).coefficients.tolist()
