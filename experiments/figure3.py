"""Figure 3 of arXiv:2007.07869: sharing and long horizons, one without the other, and both.

    python -m experiments.figure3                                  # LeNet on a part of CIFAR-10
    python -m experiments.figure3 --data ../shared/data/mnist --out results/figure3-mnist
    python -m experiments.figure3 --scale full --device cuda --minutes 10

The learning rate alone is learned, everything else is fixed (momentum 0.9, weight decay 5e-4):

- FDS: ten windows, hypergradients through the whole run, ten outer steps of the paper's rule from zero;
- unshared: the same with one value for each step;
- greedy: the same ten windows, hypergradients that look one step ahead (hypergradient descent);
- default: ten windows by this library's rule, at the cost of the ten steps of FDS;
- cosine from 0.03, 0.1 and 0.3.

Test accuracy of plain trainings on five fresh seeds, mean ± standard error over searches. The paper has
SVHN, and neither its momentum nor its outer steps are known. The outer step of 0.1 that it takes elsewhere
leads a LeNet with momentum 0.9 from zero beyond the edge of stability at once, where signs are those of
chaos (``--outer-step 0.1``); here it is 0.02.

Outcome at the CPU scale (outer seeds 0 to 2; 2 cores of an AMD EPYC, two processes of one thread beside
a third, 39 minutes; 2026-11-25): FDS 43.98 ± 0.71 (44.49 ± 0.68 with ``--outer-step 0.01``), default
44.86 ± 0.22 at 38 plain runs instead of 51, unshared 42.67, greedy 42.62; cosine 44.86 ± 0.77 from
0.03, 39.17 from 0.1, 14.18 from 0.3. The full scale has not been run.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import nongreedy as ng
from nongreedy.schedules._drawing._palette import FAINT, INK, PAPER, RETURNED

from ._work import Scale, Work, begun, conduct, spread

SCALES = {
    "cpu": Scale("lenet", 8_000, 2_000, 128, 234, seeds=3),
    "full": Scale("lenet", None, 2_500, 128, 468, seeds=3),
}
WINDOWS, OUTER_STEPS, OUTER_STEP, PEAKS = 10, 10, 0.02, (0.03, 0.1, 0.3)
FIXED = {"momentum": 0.9, "weight_decay": 5e-4}
GREEDY_BATCH = 500  # validation images that a greedy look sees

_COLOURS = {"FDS": "#3f86c0", "default": RETURNED, "unshared": "#b5651d", "greedy": "#5b3f8c"}


def searches(scale: Scale, outer_step: float) -> dict[str, tuple[ng.Optimizer, dict[str, Any]]]:
    """What is learned, and how."""
    paper = {"outer": "paper", "outer_steps": OUTER_STEPS}
    shared = ng.SGD(ng.Windows(WINDOWS, outer_step=outer_step), **FIXED)
    greedy = ng.Greedy(batch=min(GREEDY_BATCH, int(scale.validation_examples)))
    # A run and a sweep (3) at each of the ten steps, and a final.
    budget = 4.0 * OUTER_STEPS + 10
    return {
        "FDS": (shared, paper),
        "unshared": (ng.SGD(ng.PerStep(outer_step=outer_step), **FIXED), paper),
        "greedy": (shared, {**paper, "engine": greedy}),
        "default": (ng.SGD(ng.Windows(WINDOWS), **FIXED), {"outer_steps": 30, "budget": budget}),
    }


def piece(work: Work, task: ng.Task, key: str, outer_step: float) -> Mapping[str, Any]:
    """One search, or one cosine, and fresh trainings."""
    kind, parameter = key.split("|")
    if kind == "cosine":
        schedule = ng.cosine_schedule(float(parameter), **FIXED)
        return {"test": work.judged(task, schedule)}
    optimizer, settings = searches(work.scale, outer_step)[kind]
    result = work.search(
        key, task, optimizer, steps=work.scale.steps, seed=int(parameter), **settings
    )
    return {
        "test": work.judged(task, result.schedule),
        "cost": round(result.cost, 1),
        "status": result.status.name,
        "rates": result.schedule.values(work.scale.steps)["learning_rate"].tolist(),
    }


def tell(work: Work) -> None:
    """Print the table."""
    print("\n| learning rate | test accuracy (%) | each | plain runs spent |\n|---|---|---|---|")
    for kind in _COLOURS:
        if rows := work.rows(kind):
            each = [statistics.fmean(row["test"]) for row in rows]
            costs = ", ".join(f"{row['cost']:.0f}" for row in rows)
            listed = ", ".join(f"{value:.2f}" for value in each)
            print(f"| {kind} | {spread(each)} | {listed} | {costs} |")
    for row in work.rows("cosine"):
        peak = row["key"].split("|")[1]
        listed = ", ".join(f"{value:.2f}" for value in row["test"])
        print(f"| cosine from {peak} (five trainings) | {spread(row['test'])} | {listed} | 0 |")


def draw(work: Work, path: Path) -> None:
    """Learned learning rates on the left, accuracies on the right."""
    figure = Figure(figsize=(10, 4.2), facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [kind for kind in _COLOURS if work.rows(kind)]
    for kind in names:
        for number, row in enumerate(work.rows(kind)):
            style = {"linewidth": 0.5, "alpha": 0.6} if kind == "unshared" else {"linewidth": 1.8}
            label = kind if number == 0 else None
            left.plot(
                row["rates"], color=_COLOURS[kind], label=label, drawstyle="steps-post", **style
            )
    left.set_xlabel("training step")
    left.set_title("Learning rates", loc="left", color=INK)
    if names:
        left.legend(frameon=False)
    bars = {kind: [statistics.fmean(r["test"]) for r in work.rows(kind)] for kind in names}
    bars |= {f"cosine {row['key'].split('|')[1]}": row["test"] for row in work.rows("cosine")}
    for name, values in bars.items():
        colour = _COLOURS.get(name, FAINT)
        right.bar(name, statistics.fmean(values), color=colour, alpha=0.75)
        right.plot([name] * len(values), values, "o", color=INK, markersize=3)
    right.set_title("Test accuracy (%)", loc="left", color=INK)
    right.tick_params(axis="x", rotation=35)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def show(work: Work, path: Path) -> None:
    """Table and figure."""
    tell(work)
    draw(work, path)


def main() -> None:
    more = {"--outer-step": {"type": float, "default": OUTER_STEP, "help": "of the paper's rule"}}
    work, options = begun(str(__doc__).splitlines()[0], "figure3", SCALES, more=more)
    keys = [f"cosine|{peak:g}" for peak in PEAKS]
    keys += [f"{kind}|{seed}" for seed in range(work.scale.seeds) for kind in _COLOURS]
    conduct(work, options, keys, functools.partial(piece, outer_step=options.outer_step), show)


if __name__ == "__main__":
    main()
