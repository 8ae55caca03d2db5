"""Figure 2 of arXiv:2007.07869: the noise of hypergradients against the width of windows.

    python -m experiments.figure2                    # CIFAR-10 instead of SVHN, 40 seeds
    python -m experiments.figure2 --scale full --device cuda --minutes 10

LeNet, learning rate half a cosine from 0.01 to 0, momentum 0.9, T = 250. For every seed (network,
order of batches) the hypergradient of every step's learning rate is computed. With mu the mean over
seeds, the mean squared error of sharing over windows of W steps is

    MSE_W = mean over t and seeds of (mean of g over the window of t - mu_t)^2

where mu is that of the other seeds, and what is left of their noise in it, MSE_1 / (K - 1), is
subtracted. Beside it: the theorem's curve and its W*, the width that the library advises, from all
seeds and from fewer, and the error of greedy hypergradients (hypergradient descent), which is bias.
Validation images are of the training part: the paper used test images.

Outcome at the CPU scale (2 cores of an AMD EPYC, two processes of one thread, 12 minutes; 2026-11-25):
MSE_1 0.142, least 0.075 at W = 125; advised 125; W* of the theorem 7, as hypergradients blow up over
the last 30 steps; greedy 3.5, of which 0.74 bias. The full scale has not been run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import nongreedy as ng
from nongreedy.schedules._drawing._palette import FAINT, INK, PAPER, RETURNED
from nongreedy.statistics import measured_error

from ._work import Scale, Work, begun, conduct

SCALES = {
    "cpu": Scale("lenet", 10_000, 2_000, 128, 250, seeds=40),
    "full": Scale("lenet", None, 2_000, 128, 250, seeds=100),
}
GREEDY = 0.25  # of the seeds have a greedy hypergradient, too
OPTIMIZER = ng.SGD(ng.PerStep(), momentum=0.9, weight_decay=0.0)


def cosine(steps: int) -> list[float]:
    """From 0.01 towards 0."""
    return [0.005 * (1 + math.cos(math.pi * t / steps)) for t in range(steps)]


def piece(work: Work, task: ng.Task, key: str) -> Mapping[str, Any]:
    """The hypergradients of one seed."""
    kind, seed = key.split("|")
    rates = {"learning_rate": cosine(work.scale.steps), "momentum": 0.9, "weight_decay": 0.0}
    found = ng.hypergradient(
        task,
        OPTIMIZER,
        steps=work.scale.steps,
        schedule=ng.Schedule.of(**rates),
        engine=ng.Reverse() if kind == "whole" else ng.Greedy(),
        seed=int(seed),
    )
    return {"value": found.value, "per_step": found.gradients["learning_rate"].tolist()}


def advised(g: Tensor) -> Any:
    """What the library's trust report says of these seeds."""
    found = [
        ng.Hypergradient(0.0, None, {"learning_rate": row}, {"learning_rate": row}) for row in g
    ]
    rates = cosine(g.shape[1])
    return ng.Trust.of(found, ng.Schedule.of(learning_rate=rates), g.shape[1]).sharing[
        "learning_rate"
    ]


def widths(steps: int) -> list[int]:
    """Those that divide the run."""
    return [width for width in range(1, steps + 1) if steps % width == 0]


def tell(whole: Tensor, greedy: Tensor) -> dict[str, Any]:
    """Print the table; what the figure shows."""
    steps, all_, four = whole.shape[1], advised(whole), advised(whole[:4])
    errors = {width: measured_error(whole, steps // width) for width in widths(steps)}
    best = min(errors, key=errors.__getitem__)
    print(
        f"\n{len(whole)} seeds. MSE_1 {errors[1]:.4g}; least MSE {errors[best]:.4g} at W = {best}"
    )
    print(
        "\n| W | measured MSE_W | theorem, all seeds | theorem, first four seeds |\n|---|---|---|---|"
    )
    for width, error in errors.items():
        print(f"| {width} | {error:.4g} | {all_.mse(width):.4g} | {four.mse(width):.4g} |")
    for size in (len(whole), 8, 4):
        groups = [advised(part) for part in whole.split(size) if len(part) == size]
        said = (", ".join(f"{getattr(g, name):.0f}" for g in groups) for name in ("best", "width"))
        print("\nOf {} seeds: advised width {}; W* of the theorem {}".format(size, *said))
    bias = math.nan
    if len(greedy):
        mean, truth = greedy.mean(0), whole.mean(0)
        bias = float((mean - truth).square().mean())
        error = float((greedy - truth).square().mean())
        same = float((mean.sign() == truth.sign()).double().mean())
        print(
            f"greedy: mean squared error {error:.4g}, of which bias {bias:.4g}; the sign of its mean is "
            f"the true one at {same:.0%} of the steps"
        )
    return {"errors": errors, "all": all_, "bias": bias, "best": best}


def draw(whole: Tensor, found: Mapping[str, Any], path: Path) -> None:
    """Hypergradients of the seeds on the left, errors on the right."""
    figure = Figure(figsize=(10, 4.2), facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    for row in whole:
        left.plot(row, color=FAINT, alpha=0.25, linewidth=0.8)
    left.plot(whole.mean(0), color=RETURNED, linewidth=2, label="mean over seeds")
    low, high = (float(whole.quantile(part)) for part in (0.002, 0.998))
    left.set_ylim(low, high)
    left.set_xlabel("training step")
    left.set_title("Hypergradient of each step's learning rate", loc="left", color=INK)
    errors: Mapping[int, float] = found["errors"]
    every = range(1, max(errors) + 1)
    right.plot(errors.keys(), errors.values(), "o", color=RETURNED, label="measured")
    right.plot(every, [found["all"].mse(w) for w in every], color=FAINT, label="theorem 4.1")
    right.axvline(found["all"].width, color=FAINT, linestyle=":", label="W* of the theorem")
    right.axvline(found["all"].best, color=RETURNED, linestyle=":", label="advised")
    if not math.isnan(found["bias"]):
        right.axhline(found["bias"], color="#b3362b", linestyle="--", label="bias of greedy")
    right.set(xscale="log", yscale="log", xlabel="width of windows W, steps")
    right.set_title("Mean squared error", loc="left", color=INK)
    for axis in (left, right):
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def tensor(rows: Sequence[Mapping[str, Any]]) -> Tensor:
    """Shape (seeds, T)."""
    return torch.tensor([row["per_step"] for row in rows], dtype=torch.float64)


def show(work: Work, path: Path) -> None:
    """Table and figure, of five seeds or more."""
    whole, greedy = tensor(work.rows("whole")), tensor(work.rows("greedy"))
    if len(whole) < 5:
        return print("Too few seeds for a figure: go on with the same command.")
    return draw(whole, tell(whole, greedy), path)


def main() -> None:
    work, options = begun(str(__doc__).splitlines()[0], "figure2", SCALES)
    seeds = work.scale.seeds
    keys = [f"whole|{seed}" for seed in range(seeds)]
    keys += [f"greedy|{seed}" for seed in range(round(GREEDY * seeds))]
    conduct(work, options, keys, piece, show)


if __name__ == "__main__":
    main()
