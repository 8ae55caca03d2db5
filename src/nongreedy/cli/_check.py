"""``nongreedy check``: is every hypergradient the derivative that it claims to be?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nongreedy as ng
from nongreedy.errors import nearest_name

from . import _load
from ._exit import FAILED, INTERRUPTED, Mistake, reported

if TYPE_CHECKING:
    from nongreedy.testing import Cell, Finding, Table

# What --quick checks: each kind of state, data and dropout once.
QUICK = {
    "engine": ["forward", "reverse", "reverse:checkpoint", "greedy", "random_directions"],
    "optimizer": ["sgd", "adamw"],
    "model": ["mlp", "conv_net"],
}
Names = list[str] | None


def check(
    target: Annotated[
        str | None,
        typer.Argument(
            help="Your task (my_task.py:task), engine or optimizer (my_file.py:MyEngine())."
        ),
    ] = None,
    engine: Annotated[Names, typer.Option(help="Only this engine; may be repeated.")] = None,
    optimizer: Annotated[Names, typer.Option(help="Only this optimizer; likewise.")] = None,
    model: Annotated[Names, typer.Option(help="Only this model; likewise.")] = None,
    quick: Annotated[bool, typer.Option(help="A small part of the table, in 20 seconds.")] = False,
    cells: Annotated[bool, typer.Option(help="One row per hyperparameter.")] = False,
) -> None:
    """Compare every engine with finite differences: the conformance table, in about two minutes.

    Engine x optimizer x hyperparameter x model, in float64: exact to 1e-6, or skipped with a reason.
    Exit code 1 if any cell is wrong. Of a task: whether it trains as in plain torch.optim, and its
    gradients have the derivatives that searches rest on.
    """
    with reported():
        only = {"engine": engine, "optimizer": optimizer, "model": model}
        own = _load.own_part(target) if target is not None else None
        if own is not None and isinstance(own[1], _load.Target):
            _verify(own[1], [name for name, given in only.items() if given])
            return
        import torch
        from rich.progress import track

        from nongreedy.search._words import duration
        from nongreedy.search.progress._screen import in_terminal, make_console

        from ._check_report import print_report

        table = _table(target, own, only, quick)
        console = make_console(width=110)
        planned = table.cells()
        console.print(
            f"Checking {len(planned)} cells: {len(table.engines)} engines x {len(table.optimizers)} "
            f"optimizers x {len(table.models)} models x their hyperparameters."
        )
        torch.set_num_threads(1)  # the runs are tiny
        started = time.perf_counter()
        findings: list[Finding] = []
        shown = {"console": console, "transient": True, "disable": not in_terminal()}
        try:
            for cell in track(planned, "", **shown):
                findings.append(_checked(table, cell))
        except KeyboardInterrupt:
            console.print("Interrupted: what was found so far.")
        print_report(console, table, findings, cells, duration(time.perf_counter() - started))
        if not all(finding.passed for finding in findings):
            raise typer.Exit(FAILED)
        if len(findings) < len(planned):
            raise typer.Exit(INTERRUPTED)


def _verify(target: _load.Target, given: list[str]) -> None:
    """Print what verification finds of a task."""
    from nongreedy.search._words import duration

    for option in given:
        raise Mistake(f"--{option} does not apply to {target.name!r}, which is a task.")
    optimizer, started = target.optimizer or ng.SGD(), time.perf_counter()
    try:
        print(ng.Problem(target.task, optimizer, 3).verified())
    except ng.VerificationError as error:
        print(f"{target.name} with {type(optimizer).__name__}: {error}")
        raise typer.Exit(FAILED) from error
    print(
        f"{target.name} with {type(optimizer).__name__}, {duration(time.perf_counter() - started)}"
    )


def _table(
    target: str | None, own: tuple[str, Any] | None, only: Mapping[str, Names], quick: bool
) -> Table:
    """The table of these names, each checked before anything is computed."""
    from nongreedy import testing

    whole = {"engine": testing.ENGINES, "optimizer": testing.OPTIMIZERS, "model": testing.MODELS}
    known = {**whole, "model": {**testing.MODELS, **testing.EDGE_MODELS}}
    parts = dict[str, dict[str, Any]]()
    for kind, names in only.items():
        chosen = list(names or (QUICK if quick else whole)[kind])
        for name in chosen:
            if name not in known[kind]:
                raise Mistake(f"No {kind} is called {name!r}.{nearest_name(name, known[kind])}")
        parts[kind] = {name: known[kind][name] for name in chosen}
    if own is not None:
        name, part = own
        kind = "engine" if isinstance(part, ng.Engine) else "optimizer"
        if only[kind]:
            raise Mistake(f"--{kind} does not apply to {target!r}, which is the {kind} itself.")
        parts[kind] = {name: part}
    return testing.Table(parts["engine"], parts["optimizer"], list(parts["model"]))


def _checked(table: Table, cell: Cell) -> Finding:
    """One cell; what a stranger's code raises is a finding, not the end of the table."""
    from nongreedy.testing import Finding, Grade

    try:
        return table.check(cell)
    except Exception as error:
        reason = f"Raised {type(error).__name__}: {error}"
        return Finding(cell, Grade.wrong, math.inf, reason)
