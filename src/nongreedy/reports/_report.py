"""``report``: a study in, a page and two images out."""

import os
from pathlib import Path

from .._extras import needed
from ..schedules._files import make_writable, replace_file
from ..studies import Study

PAGE = "report.html"


def report(
    study: str | os.PathLike[str] | Study,
    out: str | os.PathLike[str] | None = None,
    *,
    refresh: float | None = None,
) -> Path:
    r"""Write what a study has to say: a page for the browser, and images for a paper.

    ``report.html`` is one file that needs no network: schedules over training and how they grew,
    validation loss of each outer step, training curves, hypergradients :math:`dJ/dh_t` (mean over
    seeds, and a band of a standard deviation), what was spent on what, how far the hypergradients
    stand out of their noise, settings, and code to paste. ``report.png`` and ``report.svg`` show the
    main figures. Axes are in training steps, in plain training runs, or in the hyperparameters' own
    units. An unfinished study is reported as far as it is.

    Args:
        study: A :class:`Study`; or the path or URL of a database, of which it is the study named
            ``nongreedy``, as :func:`tune` names it, or else the newest.
        out: Directory for the files, made if need be; by default that of the study's file, or the
            current one for databases on servers.
        refresh: Seconds after which a browser reads the page again, of a search that goes on
            (:class:`ReportCallback` writes it anew); images are left out then.

    Returns:
        Path of the page.

    Raises:
        StudyError: No such study, not one of ours, or no outer step of it is finished.
        OSError: The directory cannot be written.

    Source: none; figures by Plotly and Matplotlib.

    Cannot: show derivatives step by step that the engine does not compute; tell which data the search
    was run on.

    Example:
        >>> report("nowhere.db")
        Traceback (most recent call last):
        ...
        nongreedy.errors.NoStudyError: No study file 'nowhere.db'.
    """
    needed("A report", "optuna", "matplotlib")
    # Drawing is imported when something is drawn: it takes as long as torch's import.
    from ..schedules._drawing._matplotlib import panels, write_figure
    from ._page import page
    from ._reader import read

    study = _found(study)
    record = read(study)
    folder = folder_of(study, out)
    make_writable(folder, "the report to")
    content, charts = page(record, refresh)
    target = folder / PAGE
    replace_file(target, content)
    if refresh is not None:
        return target
    main = [chart.still() for chart in charts if chart.main]
    figure = panels(main, f"{record.what} schedule")
    for name in ("report.png", "report.svg"):
        write_figure(figure, folder / name)
    return target


def _found(given: str | os.PathLike[str] | Study) -> Study:
    """The study itself, or that of a database: the command line gives its own other names."""
    study = Study.of(given)
    if isinstance(given, Study):
        return study
    names = Study.names(given)
    return study if study.name in names or not names else Study(given, names[-1])


def folder_of(study: Study, out: str | os.PathLike[str] | None) -> Path:
    """Where the files go: beside the study's file, or in the current directory."""
    return Path(out) if out is not None else (study.address.path or Path("study.db")).parent
