"""A report that is written again while a search runs."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import final

from ..errors import StudyError, check_number
from ..schedules._files import make_writable, replace_file
from ..search import Callback, OuterStep
from ..search._outlook import Outlook
from ..studies import Study
from ._report import PAGE, folder_of, report


@final
class ReportCallback(Callback):
    """Writes the report of a search again after every outer step, for a browser that stays open.

    The page tells the browser to read it again every `refresh` seconds, until the search has ended;
    then it is written for the last time, with its images, as :func:`report` does. A page that cannot be
    written is a warning: the search goes on.

    Args:
        study: That of the search.
        out: Directory for the page, as of :func:`report`.
        refresh: Seconds.

    Raises:
        ValueError: `refresh` is not positive.
        OSError: The directory cannot be written; before anything is computed.

    Source: none.

    Cannot: tell a browser that the process was killed; its last page goes on being read.

    Example:
        >>> import tempfile, torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> study = ng.Study(tempfile.mkdtemp() + "/study.db")
        >>> live = ReportCallback(study)
        >>> result = ng.tune(task, ng.SGD(), steps=8, outer_steps=2, study=study, callbacks=[live])
        >>> live.page.name, "refresh" in live.page.read_text()[:600]
        ('report.html', False)
    """

    def __init__(
        self,
        study: str | os.PathLike[str] | Study,
        out: str | os.PathLike[str] | None = None,
        refresh: float = 5.0,
    ):
        check_number("refresh", refresh)
        self.study, self.refresh = Study.of(study), refresh
        self.folder = folder_of(self.study, out)
        make_writable(self.folder, "the report to")

    @property
    def page(self) -> Path:
        """Where it is."""
        return self.folder / PAGE

    def on_begin(self, outlook: Outlook) -> None:
        """A page that waits, so that a browser may be opened at once."""
        from ._document import document

        del outlook
        words = "<h1>The first outer step is being taken</h1>\n<p>This page will show it.</p>"
        replace_file(self.page, document("Search begins", [words], [], "", self.refresh))

    def on_outer_step(self, row: OuterStep) -> None:
        self._write(self.refresh)

    def on_end(self) -> None:
        self._write(None)

    def _write(self, refresh: float | None) -> None:
        try:
            report(self.study, self.folder, refresh=refresh)
        except (OSError, StudyError) as error:
            warnings.warn(f"The live report is not written: {error}", stacklevel=3)
