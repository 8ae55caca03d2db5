"""Charts in pyplot's figures, or in axes of one's own, as `plot` methods draw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._extras import needed
from ._chart import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def plotted(
    charts: Sequence[Chart], ax: Axes | Sequence[Axes] | None = None, what: str = ""
) -> NDArray[Any]:
    """The axes with the charts in them: those given, or of a new figure that pyplot shows.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ValueError: As many axes as there are charts were not given.
    """
    needed("A plot", "matplotlib")
    from matplotlib import pyplot

    from ._matplotlib import draw, panels

    if ax is None:
        return np.array(panels(charts, what, new=pyplot.figure).axes)
    axes = np.ravel(np.array(ax, dtype=object))
    if len(axes) != len(charts):
        names = ", ".join(chart.title for chart in charts)
        raise ValueError(
            f"`ax` has {len(axes)} axes for {len(charts)} panels ({names}). Give one for each: "
            f"plt.subplots(1, {len(charts)})[1]."
        )
    for axis, chart in zip(axes, charts, strict=True):
        draw(axis, chart)
    return axes
