"""How a search shows what it does: a table and a bar for people, lines for logs."""

from ...schedules._export import export
from ._choice import shown
from ._columns import Columns
from ._lines import Lines
from ._time_left import TimeLeft

__all__ = ["Columns", "Lines", "TimeLeft", "shown"]

export(globals())
