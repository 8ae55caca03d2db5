"""The command ``nongreedy``: tune a training run, and judge what was found."""

from __future__ import annotations

import io
import sys
import textwrap

import typer

import nongreedy as ng

from ._bandit import bandit
from ._check import check
from ._cite import cite
from ._compare import compare
from ._exit import reported
from ._nas import nas_command
from ._plan import plan
from ._prefer import prefer
from ._show import show
from ._study import report
from ._trust import trust
from ._tune import resume, tune

app = typer.Typer(
    name="nongreedy",
    help="Gradient-based hyperparameter optimization over whole training runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def datasets() -> None:
    """List the data that --data takes, by name or by path."""
    with reported():
        for name, recognised_by in ng.data.describe():
            print(name)
            print(textwrap.fill(recognised_by, 76, initial_indent="    ", subsequent_indent="    "))


for command in (
    tune, resume, report, show, plan, trust, compare, prefer, check, bandit, datasets, cite,
):  # fmt: skip
    app.command()(command)
app.command("nas")(nas_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"nongreedy {ng.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    show: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del show


def main() -> None:
    """Run the command line."""
    # A console that cannot show a plus-minus sign must not stop hours of computing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
