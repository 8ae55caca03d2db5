"""Near-optimal shapes of a learning rate: our search from a flat start against black boxes over shapes.

    python -m benchmarks.search.shapes --part judged --seeds 3
    python -m benchmarks.search.shapes --part judged --table --figure results/shapes.png

The CIFAR-10 workload of arXiv:2603.10301 in small. From the code that its authors published: two 3x3
convolutions, each with ReLU and max-pooling, a hidden layer, Adam, batches of 32; what is minimized is how
training images are fitted, on all of them; base rates from 0.001 to 0.1 (batches and rates are those of
its test configuration). Ours, because the text could not be had or for size: a quarter of the channels
and hidden units, 300 images of 16x16, 150 steps (runs as short over more images differed on
`development` by seeds more than by shapes), the end of the run instead of its best moment, the loss,
which has a derivative, instead of the error, which is told beside it. Adam's betas are the usual ones,
fixed for all.

`random-`, as in that code: random shapes of a family, each at every base rate; five of them here. There
the median over seeds counts; here all trials have one seed, and the best few meet again on common fresh
seeds, as with every method, so that more shapes are seen for the price. `tpe-`: Optuna's
TPE over shape and base rate jointly. `ours-K`: ``ng.tune`` on ``ng.Linear(K)`` from one constant rate,
that of PyTorch's Adam, 0.001; eight knots were worse than five on `development`. Averaged weights, which
the default search tries, too, are left out: only shapes are compared.

Each budget is a search of its own, final comparison included, in plain runs' worth of gradients; searches
of one method and seed share what is the same in them, which is computed once and paid in each. What a
search returns is trained afresh five times, on seeds that are common to all methods; that counts for
nobody. One JSON line per search; what is in ``--out`` already is not repeated.
"""

from __future__ import annotations

import statistics
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from ._data import Data
from ._options import data_of, parser_of
from ._reached import draw, markdown
from ._rows import append, read
from ._shape_searches import searches

IMAGES, STEPS = 300, 150
BUDGETS = "10,20,40,80,160,320"
METHODS = "ours-5,random-spline,random-smooth,tpe-cosine,tpe-spline"


def network() -> nn.Module:
    """Two convolutions and a hidden layer."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def task_of(data: Data) -> ng.Task:
    """Images that are fitted; that they judge, too, is on purpose."""
    images = data.cifar.shortened(train=IMAGES).train
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*are the same data")
        return ng.Task(network, functional.cross_entropy, images, images, batch_size=32)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--budgets", default=BUDGETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/shapes.jsonl"))
    parser.add_argument("--table", action="store_true", help="of what is there; search nothing")
    parser.add_argument("--figure", type=Path, help="likewise; the suffix chooses the format")
    options = parser.parse_args()
    rows = read(options.out, options.part)
    if not options.table and not options.figure:
        torch.set_num_threads(1)
        budgets = [float(budget) for budget in options.budgets.split(",")]
        task = task_of(data_of(options))
        done = {(row["method"], row["seed"], row["budget"]) for row in rows}
        for seed in range(options.seeds):
            for method in options.methods.split(","):
                missing = [b for b in budgets if (method, seed, b) not in done]
                for row in searches(task, STEPS, method, missing, seed):
                    append(options.out, options.part, row)
                    words = "{method}, seed {seed}, budget {budget:g}: cost {cost}, {seconds} s"
                    loss = statistics.fmean(row["losses"])
                    print(words.format(**row), f"loss {loss:.4f}", sep=", ", flush=True)
        rows = read(options.out, options.part)
    print(markdown(rows))
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
