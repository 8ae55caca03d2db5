"""Figure 1 of arXiv:2007.07869: regret against cost, beside black-box searches.

    python -m experiments.figure1                    # a small net with BatchNorm, part of CIFAR-10
    python -m experiments.figure1 --part 0/2 & python -m experiments.figure1 --part 1/2
    python -m experiments.figure1 --budget 160 --methods tpe       # what that gets to with four times as much
    python -m experiments.figure1 --scale full --device cuda --minutes 10

Seven learning rates, one momentum and one weight decay. Each search may spend as many gradients as the
paper's ten outer steps; it chooses on validation images, and every schedule that it would have returned
on the way is trained afresh, so that the regret is one of test accuracy. The black boxes search
positive ranges on logarithmic scales (`nongreedy compare`; there are more methods, by name). At the full
scale a training run has ten epochs, as in the paper's search; the paper retrains for fifty.

Outcome at the CPU scale (outer seeds 0 to 2; 2 cores of an AMD EPYC, two processes of one thread beside
others, 43 minutes; 2026-11-25), test accuracy: the paper's rule 47.27 ± 0.15, default 45.98 ± 0.39 (at
31 plain runs), TPE 43.41 ± 1.46 and with 160 plain runs 45.28 ± 1.29, BOHB 43.41, random search 41.22.
Half a point of regret: 39 plain runs by the paper's rule; no other search gets there. The full scale
has not been run.
"""

from __future__ import annotations

import argparse
import time

import nongreedy as ng
from benchmarks._pieces import share
from nongreedy.comparison import METHODS

from ._work import Scale, Work, begun

SCALES = {
    "cpu": Scale("convnet", 5_000, 2_000, 128, 195, seeds=3),
    "full": Scale("wrn-16-1", 47_500, 2_500, 256, 1_850, seeds=3, augmented=True),
}
OPTIMIZER = ng.SGD(ng.Windows(7), ng.Windows(1), ng.Windows(1))
BUDGET = 40  # plain runs: ten outer steps of a run and a sweep
BLACK_BOXES = "random,tpe,tpe-hyperband,bohb"
LEVELS = (0.02, 0.01, 0.005)  # of regret, in shares of the test images


def tell(found: ng.Comparison) -> None:
    """Print the tables."""
    print(f"\n{found.markdown()}\n\nCost, in plain runs, from which on the regret is at most\n")
    costs = {level: found.cost_to_reach(level, "test_accuracy") for level in LEVELS}
    print("| method | " + " | ".join(f"{100 * level:g} points" for level in LEVELS) + " |")
    print("|---|" + "---|" * len(LEVELS))
    for row in found.rows():
        cells = (costs[level].get(row.method) for level in LEVELS)
        print(
            f"| {row.method} | {' | '.join('never' if c is None else f'{c:.0f}' for c in cells)} |"
        )


def search(work: Work, options: argparse.Namespace) -> None:
    """This process' share of the methods, until its time is over."""
    names = sorted(METHODS) if options.methods == "all" else options.methods.split(",")
    chosen = share(names, options.part, options.only)
    if not chosen:  # fewer methods than parts
        return
    name = f"compare-{options.budget:g}-{options.part.split('/')[0]}.db"
    try:
        ng.compare(
            work.task(),
            OPTIMIZER,
            steps=work.scale.steps,
            budget=options.budget,
            methods=chosen,
            seeds=work.scale.seeds,
            study=work.folder / name,
            started=lambda name: print(f"{time.strftime('%T')}  {name}", flush=True),
            callbacks=[work.clock],
        )
    except KeyboardInterrupt:
        if not work.clock.over:
            raise
        print("The time is over; the same command goes on from here.")


def whole(work: Work) -> ng.Comparison:
    """All that is finished; of a method with searches of several budgets, those of the largest."""
    studies = sorted(work.folder.glob("compare-*.db"))
    pieces = [piece for study in studies for piece in ng.Comparison.load(study).pieces]
    largest = {}
    for piece in pieces:
        spent = piece.settings["budget"]
        largest[piece.method] = max(spent, largest.get(piece.method, spent))
    kept = [piece for piece in pieces if piece.settings["budget"] == largest[piece.method]]
    return ng.Comparison(kept, kept[0].settings if kept else {})


def main() -> None:
    work, options = begun(
        str(__doc__).splitlines()[0],
        "figure1",
        SCALES,
        more={
            "--budget": {"type": float, "default": BUDGET, "help": "plain runs for each search"},
            "--methods": {
                "default": f"default,paper,{BLACK_BOXES}",
                "help": "all, or names joined by commas",
            },
        },
    )
    if not options.table:
        search(work, options)
    found = whole(work)
    if not found.pieces:
        return print("Nothing is finished yet: go on with the same command.")
    tell(found)
    return print("\n" + "\n".join(str(path) for path in found.save(work.folder)))


if __name__ == "__main__":
    main()
