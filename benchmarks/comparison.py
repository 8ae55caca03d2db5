"""Many searches at equal cost on a part of CIFAR-10: ours, Optuna's, hypergradient descent, peaks.

Every search is a study in ``compare.db`` in --out, so that a killed benchmark goes on where it stopped;
the table, and ``compare.html``, ``.json`` and ``.png``, are written whenever the command ends.

    python -m benchmarks.comparison --data cifar10.zip --net lenet --out results/compare-lenet
    python -m benchmarks.comparison --net lenet --out results/compare-lenet --table

Networks, images and steps are those of ``benchmarks.real_task``. Searches choose on validation images;
what they chose is trained afresh by ``torch.optim`` and judged on all 10,000 test images.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import nongreedy as ng

from .real_task import SETTINGS, make_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cifar10.zip"))
    parser.add_argument("--net", choices=sorted(SETTINGS), default="lenet")
    parser.add_argument("--out", type=Path, default=Path("results/compare-lenet"))
    parser.add_argument("--budget", type=float, default=60.0, help="plain runs per search")
    parser.add_argument("--seeds", type=int, default=3, help="searches per method")
    parser.add_argument("--retrain-seeds", type=int, default=5)
    parser.add_argument("--curve-seeds", type=int, default=2)
    parser.add_argument("--methods", default="all", help="all, or names joined by commas")
    parser.add_argument("--steps", type=int, help="of a run, instead of the setting's")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    options = parser.parse_args()

    study, setting = options.out / "compare.db", SETTINGS[options.net]
    if options.table:
        print(ng.Comparison.load(study).markdown())
        return
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        ng.compare(
            make_task(setting, options.data),
            ng.SGD(ng.Linear(setting.knots), ng.Windows(1), ng.Windows(1)),
            steps=options.steps or setting.steps,
            budget=options.budget,
            methods="all" if options.methods == "all" else options.methods.split(","),
            seeds=options.seeds,
            retrain_seeds=options.retrain_seeds,
            curve_seeds=options.curve_seeds,
            study=study,
            started=lambda name: print(f"{time.strftime('%T')}  {name}", flush=True),
            finished=lambda piece: print(
                f"  -> test {100 * piece.score('test_accuracy'):.2f} %, {piece.cost:.1f} plain runs, "
                f"{piece.seconds:.0f} s",
                flush=True,
            ),
        )
    finally:
        found = ng.Comparison.load(study)
        if found.pieces:
            found.save(options.out)
            print(f"\n{found.markdown()}\n\n{time.perf_counter() - began:.0f} s in this process")


if __name__ == "__main__":
    main()
