"""The suite: ways of searching at equal cost on ten small tasks, in pieces.

A piece is a task, a method, a budget and an outer seed: one search, three fresh trainings of its choice,
one file in ``OUT/PART/TASK/METHOD``. What is done is skipped, so that a killed command goes on where it
stopped, with one piece lost. Rules are chosen on the part ``development``; the part ``judged``, of other
images, texts and tables, is for final tables.

    python -m benchmarks.search --budget 40 --seeds 3 --out results/search
    python -m benchmarks.search --tasks digits,text --methods default,cosine --budget 16,40
    python -m benchmarks.search --table --out results/search
    python -m benchmarks.search --times

Every search is measured in plain runs' worth of gradients, chooses on validation data alone, and is judged
on test data by plain ``torch.optim`` trainings on seeds that it has not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from nongreedy.comparison import METHODS
from nongreedy.errors import nearest_name

from ._options import data_of, parser_of
from ._pieces import Suite, places, run
from ._table import markdown
from ._tasks import TASKS, seconds

BASELINES = ("cosine", "linear", "one-cycle", "constant-average", "schedule-free", "prodigy")
TAKING = (
    *("default", "recipe", "agreement", "paper", *BASELINES),
    *("tpe", "gp", "bohb", "tpe-practice", "gp-practice", "bohb-practice"),
)


def main(given: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, "python -m benchmarks.search")
    parser.add_argument("--tasks", default="all", help=f"all, or some of {', '.join(TASKS)}")
    parser.add_argument("--methods", default="all", help=f"all, or some of {', '.join(TAKING)}")
    parser.add_argument(
        "--budget", default="40", help="plain runs per search; or several, 16,40,100"
    )
    parser.add_argument("--seeds", type=int, default=3, help="searches per task and method")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=Path("results/search"))
    parser.add_argument("--table", action="store_true", help="print the tables and stop")
    parser.add_argument(
        "--times", action="store_true", help="time a plain run of each task and stop"
    )
    options = parser.parse_args(given)

    tasks = chosen("task", options.tasks, TASKS, tuple(TASKS))
    suite = Suite(data_of(options), options.out, TASKS)
    if options.times:
        torch.set_num_threads(1)
        for name in tasks:
            taken = seconds(TASKS[name], suite.data)
            print(
                f"{name:<16} {taken:.2f} s  {TASKS[name].steps} steps  {TASKS[name].words}",
                flush=True,
            )
        return
    if not options.table:
        methods = chosen("method", options.methods, METHODS, TAKING)
        budgets = [float(budget) for budget in options.budget.split(",")]
        wanted = [*places(tasks, methods, budgets, options.seeds)]
        failed = run(suite, wanted, options.jobs)
        print(f"\n{failed} failed\n")
    print(markdown(suite.pieces(), TASKS))


def chosen(kind: str, words: str, known: Mapping[str, object], usual: Sequence[str]) -> list[str]:
    """Names joined by commas, or all that usually take part."""
    if words == "all":
        return [*usual]
    names = words.split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"Unknown {kind} {name!r}.{nearest_name(name, known)}")
    return names


if __name__ == "__main__":
    main()
