"""``nongreedy tune`` and ``resume``: search for a schedule, judge it, write it down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

import nongreedy as ng

from . import _config, _study
from . import _target as options
from ._exit import Mistake, reported
from ._names import PEAKS

# Options that studies of earlier releases lack, and what these searches did.
_LATER = {
    "timeout": None, "start": None, "live": False, "learn": None, "column": None, "drop": None,
    "config": None,
}  # fmt: skip


def tune(
    target: options.Argument = None,
    data: options.Data = None,
    column: options.Column = None,
    drop: options.Drop = None,
    model: options.Model = None,
    epochs: options.Epochs = 10,
    outer_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Improvements to try.",
            show_default="10, or as many as --budget or --timeout pay for",
        ),
    ] = None,
    batch_size: options.BatchSize = None,
    engine: Annotated[
        str,
        typer.Option(
            help="auto, forward, reverse, reverse:graphs, reverse:checkpoint, reversible."
        ),
    ] = "auto",
    outer: Annotated[
        str,
        typer.Option(
            help="Outer rule: auto (a model of all runs, from practice), agreement (line searches where "
            "seeds agree), or paper (sign steps from zero)."
        ),
    ] = "auto",
    knots: options.Knots = None,
    windows: options.Windows = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for what is found.")] = Path("runs/latest"),
    device: options.Device = None,
    train_examples: options.TrainExamples = None,
    threads: options.Threads = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Stop the search after this cost, in plain training runs. The comparison at the end is "
            "not part of it."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Stop the search after so many seconds; a resumed one has them anew."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Where it begins: practice, zero, or the file of a schedule.",
            show_default="practice; zero with --outer agreement or paper",
        ),
    ] = None,
    learn: Annotated[
        str | None,
        typer.Option(
            help="What is learned besides: recipe, or parts of one joined by commas, such as "
            "augmentation,noise,groups. Compared is with training without."
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            help=f"Compare with {len(PEAKS)} hand-tuned schedules at the end: "
            f"{1 + len(PEAKS)} x --compare-seeds plain runs, outside --budget and --timeout."
        ),
    ] = True,
    compare_seeds: Annotated[int, typer.Option(min=1, help="Fresh trainings for each.")] = 5,
    study: Annotated[
        str | None,
        typer.Option(help="SQLite file or database URL.", show_default="study.db in --out"),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Write report.html to --out after each outer step, for an open browser."
        ),
    ] = False,
    config: _config.Option = None,
) -> None:
    """Find learning rate, momentum and weight decay over a whole training run, and more with --learn.

    Writes schedule.json, history.json, schedule.png and config.toml (its options)
    to --out. Whatever is computed is kept in a study at once: after Ctrl-C or a
    kill, `nongreedy resume` goes on.

    By several processes: `torchrun --standalone --nproc-per-node 2 -m nongreedy tune`.
    """
    settings = dict(locals())
    with reported():
        from nongreedy.parallel import ranks

        from . import _output
        from ._search import Search, located

        with ranks() as team:
            settings["start"] = located(start)
            _output.prepare(out)
            search = Search(settings, team)  # what cannot be is refused before there is a study
            with _study.begun(study or out / _study.FILE, team.first) as begun:
                search.conduct(begun)


def resume(
    study: _study.Argument,
    target: options.Argument = None,
    name: Annotated[
        str | None, typer.Option(help="Of the study.", show_default="the newest unfinished one")
    ] = None,
    outer_steps: Annotated[
        int | None, typer.Option(min=1, help="More than before.", show_default="as before")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Larger than before; inf is none.", show_default="as before"),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds, from now on.", show_default="as before")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory for what is found.", show_default="that of the study's file"),
    ] = None,
) -> None:
    """Go on with a search where it was interrupted or killed, to the same result; or extend it.

    With more --outer-steps or a larger --budget a search goes on for longer, by all that it knows.

    A search of your own task names no code by itself: give the task again, as in
    `nongreedy resume runs/latest/study.db my_task.py:task`.
    """
    with reported():
        from nongreedy.parallel import ranks

        from . import _output
        from ._search import Search

        with ranks() as team:
            unfinished = _study.unfinished(study, name)
            settings = _same(unfinished, target)
            settings["out"] = _place(unfinished, settings["out"], out)
            settings |= _raised(settings, outer_steps=outer_steps, budget=budget)
            settings |= {} if timeout is None else {"timeout": timeout}
            _output.prepare(settings["out"])
            Search(settings, team).conduct(unfinished)


def _same(study: ng.Study, target: str | None) -> dict[str, Any]:
    """The options of the first command. A study is data: the code to run is named by who resumes."""
    from nongreedy.search._settings import LIMITS

    begun, known = _study.command(study), tune.__annotations__.keys() - {"return"}
    settings = {**_LATER, **begun}
    if unknown := sorted(set(settings) ^ known):
        release = (study.read("settings") or {}).get("nongreedy", "that began it")
        raise Mistake(
            f"The study was begun with other options of `nongreedy tune` ({', '.join(unknown)}) than "
            f"release {ng.__version__} has. Install release {release}."
        )
    _check_kinds(begun)
    if (of := settings["target"]) != target:
        again = f"it again: nongreedy resume STUDY {of}" if of else "none"
        raise Mistake(f"The study is of target {of!r}, not {target!r}. Give {again}.")
    kept = study.read("settings") or {}  # which may have been extended by `ng.tune` meanwhile
    settings = {name: settings[name] for name in tune.__annotations__ if name in known}
    limits = {name: kept[name] for name in LIMITS if name in kept}
    return {**settings, **limits, "out": Path(settings["out"])}


def _place(study: ng.Study, kept: Path, out: Path | None) -> Path:
    """Where to write. A study is data, maybe a stranger's: it does not choose a directory elsewhere."""
    if out is None and not study.address.is_beside(kept):
        raise Mistake(
            f"The study was begun with --out {str(kept)!r}, which is not where its file is. Say where to "
            f"write: {study.address.resume_command(study.name, out=kept)}"
        )
    return kept if out is None else out


def _check_kinds(begun: Mapping[str, Any]) -> None:
    """Raise Mistake unless options have the types that `tune` gives them."""
    for name, kind in get_type_hints(tune).items():
        value, kinds = begun.get(name), get_args(kind) or (kind,)
        real = isinstance(value, int) and float in kinds and not isinstance(value, bool)
        text = isinstance(value, str) and Path in kinds
        if name in begun and not (real or text or type(value) in kinds):
            raise Mistake(
                f"The study is damaged: it was begun with {name}={value!r:.60}. Name another."
            )


def _raised(settings: Mapping[str, Any], **limits: float | None) -> dict[str, Any]:
    """Larger limits than before; infinity is none."""
    from nongreedy.search._settings import LIMITS

    raised = {name: limit for name, limit in limits.items() if limit is not None}
    for name, limit in raised.items():
        before = LIMITS[name]({**settings, "timeout": None})
        if limit < before:
            raise Mistake(
                f"--{name.replace('_', '-')} {limit} is less than the study's "
                f"{'none' if before == math.inf else before}. A search may be extended, not cut short."
            )
    return {name: None if limit == math.inf else limit for name, limit in raised.items()}
