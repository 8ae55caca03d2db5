"""Figure 4 of arXiv:2007.07869: schedules learned from zero, beside hypergradient descent.

    python -m experiments.figure4                    # a small net with BatchNorm, part of CIFAR-10
    python -m experiments.figure4 --scale full --device cuda --minutes 10

Five learning rates, one momentum and one weight decay, all from zero, in ten outer steps:

- paper: its rule, the first outer step a short run, steps 0.1, 0.3 and 4e-4;
- default: this library's rule at its own start (1e-3, no momentum, 1e-4), at the cost of those ten;
- hypergradient descent: one value each, changed at every step of ten runs by one-step hypergradients; the
  best of ten pairs of an initial learning rate and an outer one, by validation loss;
- by hand: half cosines with momentum 0.9 and weight decay 5e-4, the best of eight peaks by *test*
  accuracy, which favours it.

Test accuracy of plain trainings on five fresh seeds, mean ± standard error over searches.

Outcome at the CPU scale (seeds 0 to 2; 2 cores of an AMD EPYC, one thread for each of two processes
beside a third, 28 minutes; 2026-11-25): paper 47.14 ± 0.14 with 49 plain runs, default 46.99 ± 0.12
with 39, hypergradient descent 36.76 ± 0.48 with 49, best by hand 45.72 ± 0.23 (peak 0.5). The full
scale has not been run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import nongreedy as ng
from nongreedy.schedules._drawing._palette import FAINT, INK, PAPER, RETURNED, of_step

from ._work import Scale, Stopped, Work, begun, conduct, spread

SCALES = {
    "cpu": Scale("convnet", 5_000, 2_000, 128, 195, seeds=3),
    "full": Scale("wrn-16-1", 47_500, 2_500, 256, 9_250, seeds=3, augmented=True),
}
FIRST = 0.2  # of a run is the length of the paper's first one
STEPS, WINDOWS, GREEDY_BATCH = 10, 5, 500
PEAKS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
BUDGET = 4.0 * STEPS + 10
Found = tuple[ng.Result, float]  # and what it cost, in plain runs
STARTS, OUTER_RATES = (0.01, 0.1), (0.1, 1.0, 10.0, 100.0, 1000.0)


def zeros(rates: Any = 0.0, momentum: Any = 0.0, decay: Any = 0.0) -> ng.SGD:
    """The paper's search from these values."""
    plain = {"transform": None}
    return ng.SGD(
        ng.Windows(WINDOWS, initial=rates, outer_step=0.1, bounds=(0.0, 10.0), **plain),
        ng.Windows(1, initial=momentum, outer_step=0.3, bounds=(0.0, 0.99), **plain),
        ng.Windows(1, initial=decay, outer_step=4e-4, bounds=(0.0, 0.1), **plain),
    )


def paper(work: Work, task: ng.Task, seed: int) -> Found:
    """A short first outer step from zero, then nine long ones from where it led."""
    length = round(FIRST * work.scale.steps)
    first = work.search(
        f"paper-first|{seed}", task, zeros(),
        steps=length, outer="paper", outer_steps=1, seed=seed,
    )  # fmt: skip
    at = {name: curve.coefficients.tolist() for name, curve in first.schedule.curves.items()}
    start = zeros(at["learning_rate"], at["momentum"], at["weight_decay"])
    rest = work.search(
        f"paper|{seed}", task, start,
        steps=work.scale.steps, outer="paper", outer_steps=STEPS - 1, seed=seed + 100,
    )  # fmt: skip
    return rest, FIRST * first.cost + rest.cost


def default(work: Work, task: ng.Task, seed: int) -> Found:
    """This library's rule."""
    optimizer = ng.SGD(ng.Windows(WINDOWS), ng.Windows(1), ng.Windows(1))
    result = work.search(
        f"default|{seed}", task, optimizer,
        steps=work.scale.steps, outer_steps=30, seed=seed, budget=BUDGET,
    )  # fmt: skip
    return result, result.cost


def descent(work: Work, task: ng.Task, seed: int) -> Found:
    """The best of ten runs that change their hyperparameters on the way."""
    found = []
    for start in STARTS:
        for rate in OUTER_RATES:
            if work.clock.over:
                raise Stopped
            optimizer = ng.SGD(ng.Constant(initial=start), ng.Constant(), ng.Constant())
            try:
                found.append(
                    ng.train_online(
                        task, optimizer, steps=work.scale.steps, seed=seed,
                        engine=ng.Greedy(batch=GREEDY_BATCH), outer_learning_rate=rate,
                    )
                )  # fmt: skip
            except ng.DivergedError:
                continue
    best = min(found, key=lambda result: result.validation_loss)
    return best, sum(result.cost for result in found)


SEARCHES = {"paper": paper, "default": default, "hypergradient descent": descent}


def piece(work: Work, task: ng.Task, key: str) -> Mapping[str, Any]:
    """One search, or one schedule set by hand, and fresh trainings."""
    kind, parameter = key.split("|")
    if kind == "cosine":
        return {"test": work.judged(task, ng.cosine_schedule(float(parameter)))}
    result, cost = SEARCHES[kind](work, task, int(parameter))
    history = result.history if kind != "hypergradient descent" else result.history[-1:]
    return {
        "test": work.judged(task, result.schedule),
        "cost": round(cost, 1),
        "final": {n: v.tolist() for n, v in result.schedule.values(work.scale.steps).items()},
        "history": [row.to_json() for row in history],
    }


def tell(work: Work) -> None:
    """Print the table."""
    cosines = {row["key"].split("|")[1]: row["test"] for row in work.rows("cosine")}
    print("\n| schedule | test accuracy (%) | each | plain runs spent |\n|---|---|---|---|")
    for kind in SEARCHES:
        if rows := work.rows(kind):
            each = [statistics.fmean(row["test"]) for row in rows]
            costs = ", ".join(f"{row['cost']:.0f}" for row in rows)
            listed = ", ".join(f"{value:.2f}" for value in each)
            print(f"| {kind} | {spread(each)} | {listed} | {costs} |")
    for peak, values in cosines.items():
        print(f"| cosine from {peak} (five trainings) | {spread(values)} | | 0 |")
    if cosines:
        best = max(cosines, key=lambda peak: statistics.fmean(cosines[peak]))
        print(f"\nBest by hand: cosine from {best}, {statistics.fmean(cosines[best]):.2f}")


def draw(work: Work, path: Path) -> None:
    """Learning rates over outer steps for each kind of search, and what they end with."""
    kinds = [kind for kind in SEARCHES if work.rows(kind)]
    figure = Figure(figsize=(4 * len(kinds) + 4, 3.8), facecolor=PAPER, layout="constrained")
    *panels, last = figure.subplots(1, len(kinds) + 1, squeeze=False)[0]
    for axis, kind in zip(panels, kinds, strict=True):
        row = work.rows(kind)[0]
        history = [step["values"]["learning_rate"] for step in row["history"]][:-1]
        for number, values in enumerate(history):
            if len(values) <= 50:  # of hypergradient descent there is one run, not a history
                shade = of_step(number, len(history))
                edges = [k / len(values) * work.scale.steps for k in range(len(values) + 1)]
                axis.stairs(values, edges, color=shade, baseline=None)
        rates = row["final"]["learning_rate"]
        axis.plot(rates, color=RETURNED, linewidth=2, drawstyle="steps-post")
        axis.set_title(f"{kind}, seed 0: learning rate", loc="left", color=INK, fontsize=10)
        axis.set_xlabel("training step")
    for kind, colour in zip(kinds, (FAINT, RETURNED, "#5b3f8c"), strict=False):
        for row in work.rows(kind):
            spent = [step["cost"] for step in row["history"]]
            last.plot(
                spent
                if len(spent) > 1
                else [row["cost"]],  # of one run of ten, all ten were paid for
                [step["validation_loss"] for step in row["history"]],
                "o-",
                color=colour,
                label=kind,
            )
    last.set(xlabel="cost so far (plain training runs)")
    last.set_title("Validation loss", loc="left", color=INK, fontsize=10)
    handles, labels = last.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    last.legend(unique.values(), unique.keys(), frameon=False)
    for axis in (*panels, last):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def show(work: Work, path: Path) -> None:
    """Table and figure."""
    tell(work)
    draw(work, path)


def main() -> None:
    work, options = begun(str(__doc__).splitlines()[0], "figure4", SCALES)
    keys = [f"{kind}|{seed}" for seed in range(work.scale.seeds) for kind in SEARCHES]
    keys += [f"cosine|{peak:g}" for peak in PEAKS]
    conduct(work, options, keys, piece, show)


if __name__ == "__main__":
    main()
