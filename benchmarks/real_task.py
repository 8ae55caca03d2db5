"""Learned schedules against hand-tuned cosine schedules on CIFAR-10, from three starting points.

Every piece of work (one search, one retraining) is one line of a JSON-lines file, so that a killed
benchmark goes on where it stopped, and two processes may share the work (``--part 0/2``, ``1/2``).

    python -m benchmarks.real_task --net lenet --out results/lenet.jsonl
    python -m benchmarks.real_task --net lenet --out results/lenet.jsonl --table

The baselines' peak is chosen by its *test* accuracy, which favours them; the searches see
further images, which the baselines do not train on either. Both train on the same images and are
judged on all 10,000 test images by plain ``torch.optim`` runs on the same five seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch

import nongreedy as ng

PEAKS = (0.01, 0.02, 0.03, 0.05, 0.1)
STARTS = (1e-5, 1e-3, 1e-1)
OUTER_SEEDS = (0, 1, 2)
RETRAIN_SEEDS = tuple(range(1000, 1005))


@dataclasses.dataclass(frozen=True)
class Setting:
    """One network and how long it trains."""

    model: str
    train_examples: int
    validation_examples: int
    steps: int
    knots: int = 5  # of the learning rate, by our rule: four straight pieces
    windows: int = 4  # of the learning rate, by the paper's
    budget: float = 80.0
    batch_size: int = 128


SETTINGS = {
    "lenet": Setting("lenet", 10_000, 2_000, 390),
    "convnet": Setting("convnet", 5_000, 2_000, 195),  # three conv layers with BatchNorm
}


def make_task(setting: Setting, data: Path) -> ng.Task:
    """CIFAR-10 from the zip, decoded once and kept beside the results."""
    cache = Path("results") / f"cifar-{setting.train_examples}-{setting.validation_examples}.pt"
    if cache.exists():
        splits = torch.load(cache, weights_only=True)
    else:
        loaded = ng.data.load(
            data,
            train_examples=setting.train_examples,
            validation_examples=setting.validation_examples,
        )
        splits = {k: getattr(loaded, k) for k in ("train", "validation", "test")}
        cache.parent.mkdir(exist_ok=True)
        torch.save(splits, cache)
    shape = tuple(splits["train"][0].shape[1:])
    return ng.Task(
        ng.models.build(setting.model, shape, 10),
        torch.nn.functional.cross_entropy,
        **splits,
        batch_size=setting.batch_size,
    )


class Log:
    """Finished pieces of work, by key."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, dict]:
        """Every finished piece."""
        if not self.path.exists():
            return {}
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        return {row["key"]: row for row in rows}

    def write(self, key: str, **row: object) -> None:
        """Append one piece as one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"key": key, "date": time.strftime("%F"), **row}) + "\n")


class Progress(ng.Callback):
    """One line per outer step."""

    def on_outer_step(self, row: ng.OuterStep) -> None:
        values = {k: [float(f"{v:.3g}") for v in vs] for k, vs in row.values.items()}
        print(
            f"  {row.index} loss {row.validation_loss:.4f} acc {row.validation_accuracy} cost "
            f"{row.cost:.1f} {row.seconds:.0f}s {row.note} {row.signs} {values}",
            flush=True,
        )


def work() -> list[str]:
    """Keys of all pieces; those of the first outer seed, which make a first table, come first."""
    pieces = []
    for seed in OUTER_SEEDS:
        pieces += [f"default|{start:g}|{seed}" for start in STARTS] + [f"paper|0|{seed}"]
        pieces += [f"cosine|{peak:g}|0" for peak in PEAKS] if seed == OUTER_SEEDS[0] else []
    return pieces


def search(task: ng.Task, setting: Setting, rule: str, start: str, seed: int) -> ng.Result:
    """One search from one starting point."""
    if rule == "paper":
        learning_rate = ng.Windows(setting.windows)
    else:
        learning_rate = ng.Linear(setting.knots, initial=float(start))
    optimizer = ng.SGD(learning_rate, ng.Windows(1), ng.Windows(1))
    return ng.tune(
        task,
        optimizer,
        steps=setting.steps,
        outer_steps=10 if rule == "paper" else 30,
        outer=rule,
        seed=seed,
        budget=setting.budget,
        callbacks=[Progress()],
    )


def piece(task: ng.Task, setting: Setting, key: str, log: Log) -> None:
    """Do one piece of work: find or make the schedule, retrain it on fresh seeds."""
    kind, parameter, seed = key.split("|")
    print(key, flush=True)
    begin, extra = time.perf_counter(), {}
    if kind == "cosine":
        schedule = ng.cosine_schedule(float(parameter))
    else:
        result = search(task, setting, kind, parameter, int(seed))
        schedule = result.schedule
        extra = {
            "cost": result.cost,
            "status": result.status.name,
            "schedule": {n: c.coefficients.tolist() for n, c in schedule.curves.items()},
            "history": [row.to_json() for row in result.history],
        }
    seconds = time.perf_counter() - begin
    tests = [
        ng.retrain(task, schedule, steps=setting.steps, seed=s).test_accuracy for s in RETRAIN_SEEDS
    ]
    log.write(key, test=tests, seconds=seconds, **extra)
    print(
        f"  -> test {100 * statistics.fmean(tests):.2f} in {seconds:.0f}s {extra.get('schedule')}"
    )


def table(log: Log) -> str:
    """Markdown, from what is finished."""
    groups: dict[str, list[dict]] = {}
    for key, row in log.read().items():
        groups.setdefault(key.rpartition("|")[0], []).append(row)
    lines = [
        "| schedule | test accuracy (%) | per outer seed | plain runs spent |",
        "|---|---|---|---|",
    ]
    for group, rows in groups.items():
        means = [100 * statistics.fmean(row["test"]) for row in rows]
        every = [100 * value for row in rows for value in row["test"]]
        error = statistics.stdev(every) / len(every) ** 0.5
        costs = ", ".join(f"{row['cost']:.0f}" for row in rows if "cost" in row) or "0"
        each = ", ".join(f"{mean:.2f}" for mean in means)
        lines.append(
            f"| {group} | {statistics.fmean(means):.2f} ± {error:.2f} | {each} | {costs} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=sorted(SETTINGS), default="lenet")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cifar10.zip"))
    parser.add_argument("--out", type=Path, default=Path("results/lenet.jsonl"))
    parser.add_argument("--part", default="0/1", help="this process' share of the work, i/n")
    parser.add_argument("--only", default="", help="keys that start with this")
    parser.add_argument("--budget", type=float, help="plain runs per search")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    options = parser.parse_args()
    log, setting = Log(options.out), SETTINGS[options.net]
    if options.budget:
        setting = dataclasses.replace(setting, budget=options.budget)
    if not options.table:
        torch.set_num_threads(1)
        task = make_task(setting, options.data)
        index, parts = map(int, options.part.split("/"))
        wanted = [key for key in work() if key.startswith(options.only)]
        for key in wanted[index::parts]:
            if key not in log.read():
                piece(task, setting, key, log)
    print(table(log))


if __name__ == "__main__":
    main()
