"""Planning: time and memory of every engine on the user's own task, before anything is spent."""

from ..schedules._export import export
from ._choice import Choice, settle
from ._forecast import Forecast
from ._plan import Plan, plan
from ._threads import fastest_threads, free_cores

__all__ = ["Choice", "Forecast", "Plan", "fastest_threads", "free_cores", "plan", "settle"]

export(globals())
