"""The command ``nongreedy``: tune a training run, and judge what was found."""

from __future__ import annotations

import io
import sys

import typer

import nongreedy as ng

from ._check import check
from ._compare import compare
from ._datasets import datasets
from ._plan import plan
from ._report import report
from ._resume import resume
from ._tune import tune

app = typer.Typer(
    name="nongreedy",
    help="Gradient-based hyperparameter optimization over whole training runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(tune)
app.command()(resume)
app.command()(report)
app.command()(plan)
app.command()(compare)
app.command()(check)
app.command()(datasets)


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
