"""What a study has to say, as one page and as a figure for papers."""

from ..schedules._export import export
from ..search._figure import schedule_figure
from ._live import ReportCallback
from ._report import report

__all__ = ["ReportCallback", "report", "schedule_figure"]

export(globals())
