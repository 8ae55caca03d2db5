"""``nongreedy bandit``: policies on a planted bandit, regret against theory's line."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nongreedy.errors import check_name

from ._exit import Mistake, reported
from ._names import POLICIES

if TYPE_CHECKING:
    from nongreedy import bandits
    from nongreedy.search.progress._screen import Screen

_DEFAULT = "power,printed,moments,random"


def bandit(
    policies: Annotated[
        str, typer.Option(help=f"Names joined by commas: {', '.join(POLICIES)}.")
    ] = _DEFAULT,
    dimension: Annotated[int, typer.Option(min=2, help="Of the action.")] = 8,
    eigenvalues: Annotated[
        str, typer.Option(help="Of the planted matrix, joined by commas; the others are 0.")
    ] = "1.0",
    noise: Annotated[float, typer.Option(help="Standard deviation of a reward.")] = 1.0,
    rounds: Annotated[int, typer.Option(min=1000, help="Plays of each policy.")] = 300_000,
    seeds: Annotated[int, typer.Option(min=2, help="Problems, each with a seed.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first of the seeds.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for the results.")] = Path("runs/bandit"),
) -> None:
    """Let policies play a planted quadratic bandit, a'Ma with noise, and show their regret.

    Writes bandit.html, bandit.json and bandit.png to --out: regret curves against the theorem's square
    root, slopes with confidence intervals. Example:

        nongreedy bandit --dimension 12 --eigenvalues 1,0.5 --policies power,moments
    """
    asked = {**locals(), "out": str(out)}
    with reported():
        import torch

        from nongreedy import bandits
        from nongreedy.search._words import duration
        from nongreedy.search.progress._screen import Screen

        from . import _output

        chosen = _chosen(policies)
        values = _eigenvalues(eigenvalues, dimension)
        bandits.QuadraticBandit.planted(dimension, values, seed, noise)
        _output.prepare(out)
        torch.set_num_threads(1)  # arrays are small
        screen, started = Screen(), time.perf_counter()
        screen.say(f"Playing {len(chosen)} policies, {rounds} plays each, on {seeds} problems.")
        with screen.bar(len(chosen)) as begun:
            courses = bandits.race(
                lambda one: bandits.QuadraticBandit.planted(dimension, values, one, noise),
                chosen, rounds, range(seed, seed + seeds), begun,
            )  # fmt: skip
        _write(courses, asked, out, _theory(values, dimension), screen)
        screen.say(f"It took {duration(time.perf_counter() - started)}.")


def learners() -> dict[str, bandits.Policy]:
    """What each name plays."""
    from nongreedy import bandits

    return {
        "power": bandits.NoisyPower(),
        "printed": bandits.NoisyPower(estimator=bandits.zeroth.OnePoint()),  # as in the paper
        "subspace": bandits.SubspaceIteration(rank=1),  # no gap needed
        "moments": bandits.Moments(),  # random actions, nothing adapted
        "random": bandits.Uniform(),  # random actions, nothing learned
        "thompson": bandits.LowRankThompson(),  # slow: 1 ms a play
        "linucb": bandits.LinearUCB(),  # on lifted features; slow: 0.5 ms a play
        "nevergrad": bandits.Nevergrad(),  # the extra rivals; slow: 1 ms a play
        "botorch": bandits.BoTorch(),  # the extra rivals; 1,000 plays are a minute, more soon hours
    }


def _chosen(names: str) -> dict[str, bandits.Policy]:
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in wanted:
        check_name("policies", name, POLICIES)
    known = learners()
    return {name: known[name] for name in wanted}


def _eigenvalues(words: str, dimension: int) -> list[float]:
    try:
        values = [float(word) for word in words.split(",")]
    except ValueError:
        raise Mistake(f"--eigenvalues takes numbers joined by commas, but got {words!r}.") from None
    if not all(map(math.isfinite, values)):
        raise Mistake(f"--eigenvalues takes finite numbers, but got {words!r}.")
    if len(values) > dimension:
        raise Mistake(f"{len(values)} eigenvalues do not fit into --dimension {dimension}.")
    if not max(values) > 0:
        raise Mistake(
            "No eigenvalue is positive: the best action is 0, and there is no curve to show."
        )
    return values


def _theory(values: list[float], dimension: int) -> str:
    best, *others = sorted([*values, *[0.0] * (dimension - len(values))], reverse=True)
    gap = best - max(abs(value) for value in others)
    begin = f"Rewards a'Ma with noise on the unit ball of {dimension} dimensions. "
    if gap > 1e-9:
        kappa = best / gap
        return begin + (
            f"The theorem (arXiv:2107.04518) bounds the regret of the noisy power method by the order of "
            f"√(κ³d²T), here with κ = {kappa:.3g}; no policy does better than the order of √(d²T), and "
            "optimistic ones are proved √(d³T). Constants and logarithms are not in these."
        )
    return begin + (
        "The largest eigenvalue has no gap in magnitude: the theorem (arXiv:2107.04518) has T^(2/3) for "
        "subspace iteration, and the lower bound is √(d²T)."
    )


def _write(
    courses: list[bandits.Course], asked: dict[str, Any], out: Path, theory: str, screen: Screen
) -> None:
    from rich.table import Table

    from nongreedy.bandits._page import HEAD, chart, page, rows  # draws, as does what follows
    from nongreedy.schedules._drawing._matplotlib import single, write_figure
    from nongreedy.schedules._files import plain, replace_file
    from nongreedy.search.progress._screen import make_console

    content = {"format": "nongreedy.bandit", "version": 1, "settings": asked,
               "courses": [course.to_json() for course in courses]}  # fmt: skip
    files = [out / f"bandit.{kind}" for kind in ("html", "json", "png")]
    replace_file(files[0], page(courses, asked, theory))
    replace_file(files[1], json.dumps(plain(content), indent=1, allow_nan=False) + "\n")
    write_figure(single(chart(courses)), files[2], 160)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(HEAD):
        table.add_column(title, justify="right" if place else "left")
    for row in rows(courses):
        table.add_row(*row)
    screen.say()
    make_console(width=120).print(table)
    screen.say("Written:\n" + "\n".join(f"  {file.as_posix()}" for file in files))
