"""The output directory: checked before anything is computed, filled with what was found."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy._extras import needed
from nongreedy.schedules._files import make_writable, plain, read_json, replace_file

from . import _config
from ._exit import Mistake

SCHEDULE, HISTORY, FIGURE = "schedule.json", "history.json", "schedule.png"
FILES = (SCHEDULE, HISTORY, FIGURE, _config.FILE)


def prepare(directory: Path) -> None:
    """Create the directory and write in it before anything is computed, with what is installed."""
    needed("What is written to --out", "optuna", "filelock", "matplotlib")
    try:
        make_writable(directory, "to --out")
    except OSError as error:
        raise Mistake(str(error)) from error


def set_aside(directory: Path, study: ng.Study) -> Path | None:
    """Move the files of another search into a folder beside them, named after it; None where there are
    none, or they are of this study's search, which goes on."""
    files = [file for name in FILES if (file := directory / name).exists()]
    try:
        earlier = read_json(directory / HISTORY)["study"]
    except (OSError, ValueError, KeyError, TypeError):
        earlier = {}  # of an earlier release
    if not files or earlier == _said(study):
        return None
    stem = re.sub(r"\W+", "-", str(earlier.get("name", "earlier"))) if earlier else "earlier"
    number, folder = 1, directory / stem
    while folder.exists():
        number += 1
        folder = directory / f"{stem}-{number}"
    folder.mkdir()
    for file in files:
        file.rename(folder / file.name)
    return folder


def _said(study: ng.Study) -> dict[str, str]:
    return {"storage": study.address.shown, "name": study.name}


def write_history(
    directory: Path,
    study: ng.Study,
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
        "study": _said(study),
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


def write_config(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write the options of `nongreedy tune`, to be given again."""
    replace_file(directory / _config.FILE, _config.content("tune", settings))


def summary(directory: Path, steps: int, interrupted: bool, study: str) -> str:
    """The files, and what a user puts into their own training loop."""
    head = "Interrupted: what was found so far is written." if interrupted else "Written:"
    place, *others = ((directory / name).as_posix() for name in FILES)
    files = "\n  ".join([place, *others])
    return f"""\
{head}
  {files}
  {study} (every outer step; `optuna-dashboard` shows it)

In your own training loop, with any number of steps:

    import nongreedy as ng

    schedule = ng.Schedule.load({json.dumps(place)})
    scheduler = schedule.attach(optimizer, total_steps={steps})

    optimizer.step()
    scheduler.step()  # after every optimizer step"""
