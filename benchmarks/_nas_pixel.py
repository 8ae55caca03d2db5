"""The published table of costs on a Pixel 1, read from its file: it is not part of this repository.

Get ``nas-search/pixel1_runtime_model.json`` of github.com/dstamoulis/single-path-nas (Apache 2.0), and
name it in NONGREEDY_PIXEL1.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from nongreedy import nas

from ._nas_strangers import PUBLISHED

PIXEL = Path(os.environ.get("NONGREEDY_PIXEL1", "/nowhere/pixel1_runtime_model.json"))
FIXED = 19.5999  # stem, head, and the two layers that are not searched, by the same authors


def pixel_table(file: Path) -> nas.CostTable:
    """Of the file's layers 1 to 20, whose entries 0 to 3 are (3, 3), (3, 6), (5, 3), (5, 6)."""
    content = json.loads(file.read_text("utf-8"))
    space = nas.search_space(width=0.25, resolution=32).space
    rows = []
    for place, options in enumerate(space.layers):
        own = [content[str(place + 1)][str(k)] for k in range(4)]
        rows.append((*([0.0] if options.skippable else []), *own))
    return nas.CostTable(space, tuple(rows), FIXED, made_with={"machine": "Pixel 1, TFLite"})


def totals(table: nas.CostTable) -> dict[str, float]:
    """Of the uniform networks and of the published one, in ms."""
    uniform = {str(each.choices[0]): table.total(each) for each in table.space.uniform()}
    return {**uniform, "published": table.total(PUBLISHED)}
