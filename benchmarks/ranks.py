"""One search by several processes: how much faster, and what happens when one of them dies.

torchrun --standalone --nproc-per-node 2 -m benchmarks.ranks        # speed, on free cores
python -m benchmarks.ranks --deaths 10                              # processes killed at random instants
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import nongreedy as ng
from nongreedy.parallel import Ranks, ranks

from ._cost_cases import CASES, make_task

SCRIPT = Path(__file__).parents[1] / "tests" / "ranks_search.py"
SEARCHES = {
    "paper, 4 seeds": {"outer": "paper", "seeds": 4, "outer_steps": 6},
    "default, 2 seeds": {"outer": "auto", "seeds": 2, "budget": 40},
    "default, 1 seed": {"outer": "auto", "budget": 40},
}


MODELS = ("mlp", "lenet")


def seconds(task, steps, settings, team):
    """Of one search, and of its outer steps alone, without what comes before and the final."""
    begin = time.perf_counter()
    result = ng.tune(
        task,
        ng.SGD(ng.Windows(3), ng.Windows(1)),
        steps=steps,
        progress=False,
        ranks=team,
        **settings,
    )
    return torch.tensor([time.perf_counter() - begin, sum(row.seconds for row in result.history)])


def speed(models, searches, steps, turns):
    """In turns: a search by the first rank alone, while the others wait; one on each rank, which shows what
    the cores allow; and one by all of them."""
    with ranks(patience=600) as team:
        for model, search in itertools.product(models, searches):
            task, settings, rows = make_task(CASES[model]), SEARCHES[search], []
            for _ in range(turns + 1):  # the first warms up
                alone = seconds(task, steps, settings, Ranks()) if team.first else torch.ones(2)
                team.gather(None)
                apart = seconds(task, steps, settings, Ranks())
                team.gather(None)
                rows.append(torch.stack([alone, apart, seconds(task, steps, settings, team)]))
            if team.first:
                alone, apart, together = torch.stack(rows[1:], 1)  # each (turns, 2)
                faster, most = alone / together, team.size * alone / apart
                print(
                    f"{model}, {search}: {float(alone[:, 0].median()):.2f} s alone; by {team.size} ranks "
                    f"{spread(faster, 0)} times as fast, its outer steps {spread(faster, 1)}; so many "
                    f"searches apart {spread(most, 0)}",
                    flush=True,
                )


def spread(ratios, column):
    """Median and range."""
    row = ratios[:, column]
    return f"{float(row.median()):.2f} ({float(row.min()):.2f} to {float(row.max()):.2f})"


def death(index, size, expected):
    """Kill a rank at a random instant; who was named, after how long, and whether the study went on."""
    draw = random.Random(index)
    with tempfile.TemporaryDirectory() as folder:
        study, command = (
            f"{folder}/study.db",
            [sys.executable, "-m", "torch.distributed.run", "--standalone"],
        )
        command += ["--nproc-per-node", str(size), SCRIPT, folder, "auto", study]
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file)
        while not (alive := _children(process.pid, size)):
            time.sleep(0.05)
        time.sleep(draw.uniform(2, 6))
        rank = draw.randrange(size)
        begin, killed = time.perf_counter(), False
        with contextlib.suppress(ProcessLookupError):  # it was faster
            os.kill(alive[rank], signal.SIGKILL)
            killed = True
        process.wait(120)
        took, named = time.perf_counter() - begin, f"rank      : {rank} " in log.read_text()
        subprocess.run([sys.executable, SCRIPT, folder, "auto", study], check=True)
        same = json.loads((Path(folder) / "rank0of1.json").read_text()) == expected
    return {"rank": rank, "killed": killed, "named": named, "seconds": round(took, 1), "same": same}


def _children(process, size):
    """Process ids of the ranks, in their order; none until all are there."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout
    found = sorted(map(int, found.split()))
    return found if len(found) == size else []


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--deaths", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=2, help="for --deaths")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--searches", default=";".join(SEARCHES), help="joined by semicolons")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.deaths:
        speed(options.models.split(","), options.searches.split(";"), options.steps, options.turns)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, SCRIPT, folder, "auto"], check=True)
        expected = json.loads((Path(folder) / "rank0of1.json").read_text())
    for index in range(options.deaths):
        print(json.dumps(death(index, options.ranks, expected)), flush=True)


if __name__ == "__main__":
    main()
