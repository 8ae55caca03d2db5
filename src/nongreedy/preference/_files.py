"""What a finished dialogue leaves: a page, and the numbers."""

from __future__ import annotations

import json
from pathlib import Path

from ..schedules._files import plain, replace_file
from ._dialogue import Dialogue
from ._recommendation import Recommendation


def save(dialogue: Dialogue, found: Recommendation, directory: Path) -> tuple[Path, Path]:
    """Write ``prefer.html``, a page that works offline, and ``prefer.json``."""
    from ._page import page

    directory.mkdir(parents=True, exist_ok=True)
    whole, numbers = directory / "prefer.html", directory / "prefer.json"
    content = {
        "format": "nongreedy.recommendation",
        "version": 1,
        **found.to_json(),
        "belief": dialogue.belief.to_json(),
        "scaling": dialogue.items.scaling(),
        "given": [answer.to_json() for answer in dialogue.answers],
    }
    replace_file(numbers, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")
    replace_file(whole, page(dialogue, found))
    return whole, numbers
