"""What a reader takes along: code to paste, and settings."""

import json

from ..schedules import spelled
from ..search._words import spaced
from ._document import settings
from ._markup import pairs, section, text
from ._record import Record

_MOST_VALUES = 64  # of a schedule are written into code


def use(record: Record) -> str:
    lead = "In your own training loop, with any number of steps:"
    return section("Use it", f"<p>{lead}</p><pre><code>{text(code(record))}</code></pre>")


def code(record: Record) -> str:
    """What a user pastes into their own training loop."""
    content = record.schedule.with_settings({}).to_json()
    curves = content.pop("hyperparameters")
    if sum(len(curve["coefficients"]) for curve in curves.values()) > _MOST_VALUES:
        load = 'schedule = ng.Schedule.load("schedule.json")  # written by `nongreedy tune`'
    else:  # JSON of texts and numbers is Python, too
        rows = [f"        {json.dumps(n)}: {json.dumps(c)},\n" for n, c in curves.items()]
        head = "".join(f"    {json.dumps(k)}: {json.dumps(v)},\n" for k, v in content.items())
        inner = f'    "hyperparameters": {{\n{"".join(rows)}    }},\n'
        load = f"schedule = ng.Schedule.from_json({{\n{head}{inner}}})"
    return (
        f"import nongreedy as ng\n\n{load}\n"
        f"scheduler = schedule.attach(optimizer, total_steps={record.horizon})\n\n"
        "optimizer.step()\nscheduler.step()  # after every optimizer step\n"
    )


def settings_section(record: Record) -> str:
    """What was asked for, and how the page was made."""
    rows = {"study": record.place, **record.settings}
    if engine := [spelled(record.engine[k]) for k in ("engine", "reason") if record.engine.get(k)]:
        rows["engine that was used"] = ": ".join(engine)
    if record.engine.get("verification"):
        rows["verification"] = record.engine["verification"]
    command = ""
    if record.command:
        command = "<h3>Options of <code>nongreedy tune</code></h3>"
        named = {"target": "task", "column": "target"}  # as `--help` calls them
        command += pairs({named.get(k) or spaced(k): value for k, value in record.command.items()})
    return settings(rows, command)
