"""The main charts of a search in one image, by Matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._extras import needed
from ..schedules import Schedule
from ..schedules._drawing._chart import Chart
from ..schedules._drawing._schedules import FINE, drawn, origin
from ._losses import losses
from ._outer_step import OuterStep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def schedule_figure(schedule: Schedule, history: Sequence[OuterStep], steps: int) -> Figure:
    """Draw the returned schedule over its predecessors, and the validation loss of each.

    Args:
        schedule: What the search returned; drawn dark.
        history: Rows of the search; drawn lighter the earlier they are.
        steps: Length of a training run, for the horizontal axis.

    Returns:
        A Matplotlib figure, to show or to save. No pyplot state is touched, so that it can be made in
        a notebook, a server or a thread.

    Source: none; drawn by Matplotlib.

    Cannot: draw hyperparameters that hold throughout a run, such as a :class:`Variable`.

    Example:
        >>> import nongreedy as ng
        >>> figure = schedule_figure(ng.Schedule.of(learning_rate=[0.1, 0.05]), [], steps=100)
        >>> [axis.get_title("left") for axis in figure.axes]
        ['learning rate', 'validation loss']
    """
    needed("A figure", "matplotlib")
    # Imported when something is drawn: it takes as long as torch.
    from ..schedules._drawing._matplotlib import panels

    return panels(charts(schedule, history, steps), "returned schedule")


def charts(schedule: Schedule, history: Sequence[OuterStep], steps: int | None) -> list[Chart]:
    """Of each hyperparameter, and of the losses; over percent of a run whose length is not known."""
    curves = drawn(schedule.curves, steps, history, "returned")
    return [*curves, losses(history, origin(schedule.curves, history, steps or FINE))]
