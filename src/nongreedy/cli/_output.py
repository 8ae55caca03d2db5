"""The output directory: checked before anything is computed, filled with what was found."""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy._extras import needed
from nongreedy.schedules._files import make_writable, plain, replace_file

from ._exit import Mistake

SCHEDULE, HISTORY, FIGURE = "schedule.json", "history.json", "schedule.png"


def prepare(directory: Path) -> None:
    """Create the directory and write in it before anything is computed, with what is installed."""
    needed("What is written to --out", "optuna", "filelock", "plotly", "matplotlib")
    try:
        make_writable(directory, "to --out")
    except OSError as error:
        raise Mistake(str(error)) from error


def write_history(
    directory: Path,
    result: ng.Result,
    steps: int,
    settings: Mapping[str, Any],
    comparison: Sequence[Mapping[str, Any]],
) -> None:
    """Write everything that the search knows: settings, versions, every row, the comparison."""
    versions = {"nongreedy": ng.__version__, "torch": torch.__version__}
    content = {
        "format": "nongreedy.history",
        "version": 1,
        "settings": dict(settings),
        "versions": {**versions, "python": platform.python_version()},
        "steps": steps,
        "status": result.status.name,
        "cost_in_plain_runs": result.cost,
        "validation_loss": result.validation_loss,
        "validation_accuracy": result.validation_accuracy,
        "validation_metrics": dict(result.validation_metrics),
        "gain": result.gain and {**result.gain.to_json(), "verdict": result.gain.verdict},
        "rows": [row.to_json() for row in result.history],
        "comparison": list(comparison),
    }
    text = json.dumps(plain(content), indent=2, allow_nan=False, default=str) + "\n"
    replace_file(directory / HISTORY, text)


def summary(directory: Path, steps: int, interrupted: bool, study: str) -> str:
    """The files, and what a user puts into their own training loop."""
    head = "Interrupted: what was found so far is written." if interrupted else "Written:"
    place = (directory / SCHEDULE).as_posix()
    return f"""\
{head}
  {place}
  {(directory / HISTORY).as_posix()}
  {(directory / FIGURE).as_posix()}
  {study} (every outer step; `optuna-dashboard` shows it)

In your own training loop, with any number of steps:

    import nongreedy as ng

    schedule = ng.Schedule.load({json.dumps(place)})
    scheduler = schedule.attach(optimizer, total_steps={steps})

    optimizer.step()
    scheduler.step()  # after every optimizer step"""
