"""Learned schedules against hand-tuned cosine schedules on CIFAR-10, from three starting points.

Every piece of work (one search, one retraining) is a note of a study, so that a killed benchmark
goes on where it stopped, and two processes may share the work (``--part 0/2``, ``1/2``).

    python -m benchmarks.real_task --net lenet --out results/lenet.db
    python -m benchmarks.real_task --net lenet --out results/lenet.db --table

The baselines' peak is chosen by its *test* accuracy, which favours them; the searches see
further images, which the baselines do not train on either. Both train on the same images and are
judged on all 10,000 test images by plain ``torch.optim`` runs on the same five seeds.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import torch

import nongreedy as ng

from ._pieces import Progress, arguments, done, table

PEAKS = (0.01, 0.02, 0.03, 0.05, 0.1)
STARTS = (1e-5, 1e-3, 1e-1)
OUTER_SEEDS = (0, 1, 2)


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


def find(task: ng.Task, setting: Setting, key: str) -> ng.Result | ng.Schedule:
    """The schedule of a piece of work: searched for, or made."""
    kind, parameter, seed = key.split("|")
    if kind == "cosine":
        return ng.cosine_schedule(float(parameter))
    return search(task, setting, kind, parameter, int(seed))


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], "../shared/data/cifar10.zip", "results/lenet.db")
    parser.add_argument("--net", choices=sorted(SETTINGS), default="lenet")
    options = parser.parse_args()
    setting = SETTINGS[options.net]
    if options.budget:
        setting = dataclasses.replace(setting, budget=options.budget)
    task = functools.cache(lambda: make_task(setting, options.data))

    def judge(schedule: ng.Schedule, seed: int) -> float | None:
        return ng.retrain(task(), schedule, steps=setting.steps, seed=seed).test_accuracy

    study = done(options, work(), lambda key: find(task(), setting, key), judge)
    print(table(study, "test accuracy (%)", scale=100, digits=2))


if __name__ == "__main__":
    main()
