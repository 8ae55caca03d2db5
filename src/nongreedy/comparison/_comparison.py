"""A comparison: a table, and its files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._extras import needed
from ..schedules._files import plain, replace_file
from ..search._words import count, spaced
from ..studies import Study
from ._piece import Piece
from ._table import Table


@dataclass(frozen=True)
class Comparison(Table):
    """What :func:`nongreedy.compare` returns.

    Attributes:
        pieces: One per method and outer seed.
        settings: What a repetition needs.
        skipped: Name of a method that did not take part -> why.
    """

    @classmethod
    def load(cls, study: str | os.PathLike[str] | Study) -> Comparison:
        """From the study of a comparison, finished or not; none of it where there is no such study.

        Raises:
            ValueError: It is of something else than a comparison.
        """
        pieces = [Piece.from_json(row) for row in Study.of(study).notes().values()]
        return cls(pieces, pieces[0].settings if pieces else {})

    def to_json(self) -> dict[str, Any]:
        """Settings, the table, and every piece."""
        return plain(
            {
                "format": "nongreedy.comparison",
                "version": 1,
                "settings": dict(self.settings),
                "measure": self.measure,
                "rows": [asdict(row) for row in self.rows()],
                "skipped": dict(self.skipped),
                "pieces": [piece.to_json() for piece in self.pieces],
            }
        )

    def save(self, directory: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
        """Write ``compare.json``, ``compare.png`` and ``compare.html``, a page that works offline."""
        # Drawing is imported when something is drawn: it takes as long as torch's import.
        needed("The page of a comparison", "matplotlib")
        from ..schedules._drawing._matplotlib import single, write_figure
        from ._page import page
        from ._regret_chart import regret_chart

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        numbers, whole = directory / "compare.json", directory / "compare.html"
        replace_file(numbers, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        chart, picture = regret_chart(self.regret()), directory / "compare.png"
        write_figure(single(chart), picture, 160)
        replace_file(whole, page(self, chart))
        return numbers, picture, whole

    def __repr__(self) -> str:
        if not self.pieces:
            return "Comparison(no search is finished)"
        rows, cells = self.rows(), self.cells()
        told = f"{count(len(rows), 'method')}, {len(self.pieces)} searches"
        best = f"best {rows[0].method}, {spaced(self.measure)} {cells[0][1]}"
        return f"Comparison({told}; {best})"

    def __str__(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        """The table in notebooks."""
        from ..reports._markup import table

        return table(self.head(), self.cells())
