"""What a search returns: the schedule, its history, why it ended, what it cost."""

from __future__ import annotations

import enum
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .._extras import optional
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..task import Task
from ._gain import Gain
from ._outer_step import OuterStep
from ._words import count, number, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..schedules._drawing._chart import Chart


class Status(enum.Enum):
    """Why the outer loop ended; the value is a help text."""

    completed = "All outer steps were taken. More of them may improve the schedule further."
    converged = "Every hyperparameter settled: further outer steps would hardly move it."
    stalled = (
        "No proposal improved on the best schedule any more. It may be the optimum for this noise; "
        "more seeds or finer windows may still improve it."
    )
    rejected = (
        "Too many proposals in a row diverged, and the best schedule before them is returned. Lower "
        "the upper bound of the learning rate, or start lower."
    )
    budget_spent = "The budget, or the time, is spent. Raise it, or start again from this schedule."
    interrupted = "The search was interrupted; this is the best schedule that it had evaluated."


@dataclass(frozen=True)
class Result:
    """What :func:`nongreedy.tune` returns.

    Attributes:
        schedule: The best schedule among the evaluated ones, judged on validation data only.
        validation_loss: Its mean validation loss over the seeds it was judged on.
        validation_accuracy: Likewise, or None.
        history: One row per outer step.
        status: Why the search ended.
        cost: Plain training runs' worth of gradients that were spent.
        settings: What a repetition needs.
        runs: Plain runs that were begun, hypergradients not counted.
        unfinished: Those of them that diverged.
        parameters: Name -> parameter of the network that an online run has trained; empty for
            searches, which end with a schedule.
        validation_metrics: The task's own, by name, over the same seeds as the loss.
        gain: Over the schedule that the search started from, on common fresh seeds, which says so where
            nothing was compared; None of online runs.
        unmoved: Name -> why it has its first value, of learned hyperparameters that have.
        task: What was trained, with what was added to it.
        optimizer: What the schedule is for: the given one, with an average where one was chosen.
    """

    schedule: Schedule
    validation_loss: float
    validation_accuracy: float | None
    history: list[OuterStep]
    status: Status
    cost: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0
    unfinished: int = 0
    parameters: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    validation_metrics: Mapping[str, float] = field(default_factory=dict)
    gain: Gain | None = None
    unmoved: Mapping[str, str] = field(default_factory=dict)
    task: Task | None = field(default=None, repr=False, compare=False)
    optimizer: Optimizer | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Result({', '.join(self._told)}; {self.schedule!r})"

    def __str__(self) -> str:
        lines = [f"{', '.join(self._told)}.", self.schedule.describe()]
        return "\n".join([*lines, *([self.gain.verdict] if self.gain else [])])

    @property
    def _told(self) -> list[str]:
        """What it came to, in a few words each."""
        accuracy = self.validation_accuracy
        return [
            spaced(self.status.name),
            f"validation loss {number(self.validation_loss, 3)}",
            *([] if accuracy is None else [f"accuracy {100 * accuracy:.1f} %"]),
            count(len(self.history), "outer step"),
            f"{self.cost:.1f} plain runs",
        ]

    def _repr_html_(self) -> str:
        """Words and a picture in notebooks."""
        from ..schedules._drawing._sketch import sketches

        verdict = f" {self.gain.verdict}" if self.gain else ""
        words = html.escape(f"{', '.join(self._told)}.{verdict}")
        charts = self._charts
        return f"<p>{words[:1].upper()}{words[1:]}</p>{sketches(charts) if charts else ''}"

    @property
    def _charts(self) -> list[Chart]:
        from ._figure import charts

        steps = int(self.settings.get("steps") or 0) or None
        return charts(self.schedule, self.history, steps)

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> NDArray[Any]:
        """Draw the schedule that was returned over those on the way, and the loss of each outer step.

        Args:
            ax: Matplotlib axes to draw in, as many as there are panels; by default those of a new
                pyplot figure.

        Returns:
            The axes, an array of shape (panels,).

        Raises:
            ValueError: Another number of axes than panels.

        Cannot: draw hyperparameters that hold throughout a run, such as a :class:`Variable`.

        Example:
            >>> import nongreedy as ng
            >>> schedule = ng.Schedule.of(learning_rate=[0.1, 0.05])
            >>> result = ng.Result(schedule, 0.5, None, [], ng.Status.completed, cost=0.0)
            >>> [panel.get_title("left") for panel in result.plot()]
            ['learning rate', 'validation loss']
        """
        from ..schedules._drawing._plot import plotted

        return plotted(self._charts, ax, what="returned schedule")

    def history_dataframe(self) -> Any:
        """The history as a pandas data frame: a row for each outer step.

        Columns are those of :class:`OuterStep`, with one for each coefficient (``learning_rate[0]``)
        and each metric of the task (``metric:f1``).

        Example:
            >>> import nongreedy as ng
            >>> row = ng.OuterStep(0, 0.5, 0.9, {"momentum": [0.8]}, {}, 1.0, 2.0, accepted=True)
            >>> schedule = ng.Schedule.of(momentum=0.8)
            >>> result = ng.Result(schedule, 0.5, 0.9, [row], ng.Status.completed, cost=2.0)
            >>> result.history_dataframe()["momentum[0]"].tolist()
            [0.8]
        """
        return optional("A data frame", "pandas").DataFrame([row.flat() for row in self.history])
