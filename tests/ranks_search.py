"""Small searches under torchrun: ranks_search.py FOLDER RULE,... [STUDY]; each rank writes what came out."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

import nongreedy as ng
from nongreedy.parallel import ranks, sharded

RULES = {
    "auto": {"outer": "auto", "seeds": 2, "budget": 40},
    "late": {"outer": "paper", "seeds": 2, "outer_steps": 1000, "timeout": 4.0},
    "paper": {"outer": "paper", "seeds": 3, "outer_steps": 3},
    "agreement": {"outer": "agreement", "seeds": 2, "budget": 40},
}


def problem(loss):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(96, 4, generator=draw)
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()

    def model():
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))

    return ng.Task(model, loss, (x[:64], y[:64]), (x[64:], y[64:]), batch_size=16)


class Loss:
    """Cross-entropy. At one of its calls, once, this process dies, stops, hangs or fails."""

    def __init__(self, kind, at, mark):
        self.kind, self.left, self.mark = kind, at, mark

    def __call__(self, output, target):
        self.left -= 1
        if self.left == 0 and not self.mark.exists():
            self.mark.write_text(self.kind)
            if self.kind == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "stops":
                os.kill(os.getpid(), signal.SIGSTOP)
            if self.kind == "hangs":
                time.sleep(1000)
            if self.kind == "fails":
                raise ZeroDivisionError("a loss of somebody's own")
        return torch.nn.functional.cross_entropy(output, target)


def searched(rule, team, study, loss):
    task = problem(loss)
    if rule == "late":  # a rank that comes later has no other time
        time.sleep(2.0 * team.rank)
    if rule == "spread":  # every run by all ranks
        task, rule = sharded(task, team), "paper"
    optimizer = ng.SGD(learning_rate=ng.Windows(3), momentum=ng.Windows(1))
    result = ng.tune(
        task, optimizer, steps=24, study=study, dtype=torch.float64, progress=False,
        ranks=team, **RULES[rule],
    )  # fmt: skip
    return {
        "schedule": {n: c.coefficients.tolist() for n, c in result.schedule.curves.items()},
        "loss": result.validation_loss,
        "cost": result.cost,
        "history": [[row.validation_loss, row.cost, row.note] for row in result.history],
    }


def main(folder, rules, study=None):
    folder = Path(folder)
    with ranks(patience=float(os.environ.get("PATIENCE", "20"))) as team:
        rank, kind, at = os.environ.get("TROUBLE", "-1 none 0").split()  # "1 dies 100": at call 100
        loss = Loss(kind, int(at) if int(rank) == team.rank else 0, folder / "trouble")
        said = {rule: searched(rule, team, study, loss) for rule in rules.split(",")}
    (folder / f"rank{team.rank}of{team.size}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
