"""Learning rate, momentum, weight decay and a weight for each example at once, where labels are wrong.

    python -m benchmarks.search.joint_weights --part judged --seeds 3 --budget 160

The task is ``noisy-labels`` of the suite: 40 % of the labels that are trained on are redrawn, a tenth of
which by chance as they were. One search by the default rule learns the schedule together with 2,000
weights; at the same cost, a cosine and a schedule-free optimizer have their peaks tuned. All are judged by
fresh trainings on clean test images. The AUC says how well the weights tell wrong labels from right ones:
among all examples, and with every redrawn label called wrong, which no weight can know of those that came
out right. With ``--half-steps`` weights move half as far at a time.
"""

from __future__ import annotations

import json
import statistics

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

import nongreedy as ng

from ._data import Data
from ._fresh import FRESH, fresh
from ._images import NOISE
from ._options import data_of, parser_of
from ._tasks import TASKS

BASELINES = ("cosine", "schedule-free")
WEIGHTS = "example_weights"


def told_apart(weights: Tensor, wrong: Tensor) -> float:
    """Area under the curve: how often a right label weighs more than a wrong one."""
    return float(roc_auc_score((~wrong).numpy(), weights.numpy()))


def redrawn(labels: Tensor, seed: int) -> Tensor:
    """Which labels the task has drawn anew."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(len(labels), generator=source) < NOISE


def weighted(task: ng.Task, data: Data, labels: Tensor) -> ng.Task:
    """The same task with weights of one's own, which move half as far in an outer step as a recipe's."""

    def loss(output: Tensor, target: Tensor, hypers: ng.Hypers) -> Tensor:
        losses = functional.cross_entropy(output, target, reduction="none")
        weights = hypers[WEIGHTS]
        return (losses * weights[hypers.index] / weights.mean()).mean()

    first = torch.ones(len(labels))
    basis = ng.Variable(initial=first, bounds=(0.0, 5.0), transform=None, outer_step=0.15)
    split = data.mnist
    return ng.Task(
        task.model, loss, (split.train[0], labels), split.validation, split.test,
        validation_loss=functional.cross_entropy,
        batch_size=task.batch_size, hyperparameters={WEIGHTS: basis},
    )  # fmt: skip


def learned(data: Data, budget: float, seed: int, half_steps: bool) -> dict[str, float]:
    """One search for everything at once: test accuracy of fresh trainings, AUC, cost."""
    entry = TASKS["noisy-labels"]
    task, clean = entry.make(data), data.mnist.train[1]
    given = torch.stack([task.train.fetch(slice(k, k + 1))[1][0] for k in range(task.train.count)])
    if half_steps:
        task, learn = weighted(task, data, given), None
    else:
        learn = WEIGHTS
    result = ng.tune(
        task,
        entry.optimizer,
        steps=entry.steps,
        budget=budget,
        seed=seed,
        progress=False,
        learn=learn,
    )
    trained = fresh(result, entry.steps, seed)
    weights = result.schedule[WEIGHTS]
    return {
        "accuracy": statistics.fmean(t.test_accuracy or 0.0 for t in trained),
        "auc": told_apart(weights, given != clean),
        "auc_redrawn": told_apart(weights, redrawn(clean, data.index)),
        "cost": result.cost,
    }


def tuned(data: Data, budget: float, seed: int) -> dict[str, float]:
    """What hand-tuned schedules come to at the same cost."""
    entry = TASKS["noisy-labels"]
    compared = ng.compare(
        entry.make(data), entry.optimizer, steps=entry.steps, budget=budget, methods=BASELINES,
        seeds=1, seed=seed, retrain_seeds=FRESH, curve_seeds=0,
    )  # fmt: skip
    return {piece.method: piece.score("test_accuracy") for piece in compared.pieces}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--half-steps", action="store_true", help="of the weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = data_of(options)
    rows = []
    for seed in range(options.seeds):
        ours = learned(data, options.budget, seed, options.half_steps)
        rows.append({**ours, **tuned(data, options.budget, seed)})
        print(json.dumps(rows[-1]), flush=True)
    for name in rows[0]:
        values = [row[name] for row in rows]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(f"| {name} | {statistics.fmean(values):.4f} | ± {error:.4f} |")


if __name__ == "__main__":
    main()
