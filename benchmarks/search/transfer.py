"""Whether a schedule that short runs taught serves runs that are longer.

    python -m benchmarks.search.transfer --tasks digits,mnist-mlp,tabular --factor 4 --seeds 3

What is trained in the end has ``--factor`` times the task's steps. `stretched`: searched for at the task's
own length. `carried on`: the search goes on at the long one from there (``start=``). `there`, and `cosine`
with a tuned peak: searched for at the long one from the beginning. The last three cost the same, a budget
of long runs; `stretched` costs a share of that. Test loss of fresh trainings, times 100.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import torch

import nongreedy as ng
from nongreedy.comparison import METHODS

from ._entry import Entry
from ._fresh import FRESH, fresh
from ._options import data_of, parser_of
from ._scores import Score
from ._table import lines, spread
from ._tasks import TASKS


@dataclass(frozen=True)
class Long:
    """A task whose runs are to be longer than those of the suite.

    Args:
        entry, task: Of the suite.
        factor: How much longer.
        budget: In long runs.
    """

    entry: Entry
    task: ng.Task
    factor: int
    budget: float

    @property
    def steps(self) -> int:
        """Of a long run."""
        return self.factor * self.entry.steps

    def tuned(
        self, steps: int, budget: float, seed: int, start: ng.Result | None = None
    ) -> ng.Result:
        return ng.tune(
            self.task, self.entry.optimizer, steps=steps, budget=budget, seed=seed, start=start,
            progress=False,
        )  # fmt: skip

    def searched(self, seed: int) -> Mapping[str, float]:
        """Way of searching -> mean loss of fresh long trainings."""
        short = self.tuned(self.entry.steps, self.budget, seed)
        left = self.budget - self.budget / self.factor
        found = {
            "stretched": short,
            "carried on": self.tuned(self.steps, left, seed, start=short),
            "there": self.tuned(self.steps, self.budget, seed),
        }
        losses = {
            way: [trained.test_loss for trained in fresh(result, self.steps, seed)]
            for way, result in found.items()
        }
        return {
            way: statistics.fmean(each)
            for way, each in {**losses, "cosine": self.cosine(seed)}.items()
        }

    def cosine(self, seed: int) -> list[float]:
        """Its peak tuned at the long length."""
        compared = ng.compare(
            self.task, self.entry.optimizer, steps=self.steps, budget=self.budget,
            methods={"cosine": METHODS["cosine"]}, seeds=1, seed=seed, retrain_seeds=FRESH,
            curve_seeds=0,
        )  # fmt: skip
        return compared.pieces[0].fresh["test_loss"]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tasks", default="digits,mnist-mlp,tabular")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--budget", type=float, default=40, help="in long runs")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = data_of(options)
    for name in options.tasks.split(","):
        entry = TASKS[name]
        long = Long(entry, entry.make(data), options.factor, options.budget)
        found = [long.searched(seed) for seed in range(options.seeds)]
        scores = [
            Score({seed: 100 * row[way] for seed, row in enumerate(found)}) for way in found[0]
        ]
        cells = [spread(score.mean, score.error) for score in scores]
        print(lines(["", *found[0]], [[name, *cells]]), flush=True)


if __name__ == "__main__":
    main()
