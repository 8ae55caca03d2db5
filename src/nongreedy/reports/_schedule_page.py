"""The page of a schedule alone."""

from ..schedules import Schedule, spelled
from ..schedules._drawing._schedules import drawn
from ..search._words import spaced
from ._document import document, places
from ._markup import pairs, section, text


def schedule_page(schedule: Schedule, called: str, total_steps: int | None) -> str:
    """The whole document: a figure for each hyperparameter, its values, and what produced them.

    Args:
        called: The name of its file.
        total_steps: Length of a run; None shows percent of it.
    """
    charts = drawn(schedule.curves, total_steps)
    values = pairs({spaced(name): curve.describe() for name, curve in schedule.curves.items()})
    body = [
        f"<h1>{text(called)}</h1>\n",
        places(charts) if charts else "",
        section("Values", values),
    ]
    if schedule.settings:
        told = {spaced(name): spelled(said) for name, said in schedule.settings.items()}
        body.append(section("What produced it", pairs(told)))
    beside = "a picture is written by nongreedy show --out schedule.png"
    return document(f"Schedule {called}", body, charts, beside)
