"""What the trust report is worth: its estimates against closed forms, chaos, automatic windows.

    python -m benchmarks.trust --what noise chaos windows digits

- noise: MSE_1, drift and W* (arXiv:2007.07869, theorem 4.1) estimated from K seeds of a noisy
  quadratic, relative to their exact values.
- chaos: the verdict on a small tanh network from calm to chaotic learning rates.
- windows: ``Windows("auto")`` against fixed numbers of windows, each found by `tune`, on a task whose
  best schedule is flat and on one that needs decay; judged by the exact expected loss.
- digits: the same for an MLP on handwritten digits; judged by test accuracy of fresh runs.

All methods of one row have the same budget in plain runs, the same outer seeds and the same start.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.statistics import Sharing

from ._noisy import NoisyQuadratic, Walk, exact_sharing

STEPS, RATE, SEEDS = 48, 0.1, 64  # of the noisy quadratic
QUADRATIC = NoisyQuadratic(copies=512)
COUNTS: tuple[int | str, ...] = (1, 2, 4, 8, 16, "auto")
RATES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)


def per_step(task: ng.Task, rates: Tensor, seeds: int) -> Tensor:
    """Hypergradients of per-step learning rates of plain gradient descent, shape (seeds, T)."""
    schedule = ng.Schedule.of(learning_rate=rates.tolist(), momentum=0.0, weight_decay=0.0)
    optimizer, found = ng.SGD(ng.Windows(len(rates)), momentum=0.0, weight_decay=0.0), []
    for seed in range(seeds):
        h = ng.hypergradient(
            task, optimizer, steps=len(rates), schedule=schedule, seed=seed, dtype=torch.float64
        )
        found.append(h.per_step["learning_rate"])
    return torch.stack(found)


def estimates() -> tuple[tuple[float, float, float, float], Tensor]:
    """Exact (MSE_1, c, L, W*) of the noisy quadratic, and hypergradients to estimate them from."""
    rates = torch.full((STEPS,), RATE, dtype=torch.float64)
    return exact_sharing(*QUADRATIC.moments(rates)), per_step(QUADRATIC.task(), rates, SEEDS)


def print_noise() -> None:
    exact, found = estimates()
    print(f"\nexact: MSE_1 {exact[0]:.4g}, c {exact[1]:.3f}, L {exact[2]:.4g}, W* {exact[3]:.3g}")
    print("\n| seeds | groups | MSE_1 / exact | L / exact | W* / exact |\n|---|---|---|---|---|")
    for count in (4, 8, 16, 32, 64):
        rows = [Sharing.of(part) for part in found.split(count)]
        columns = [
            [r.mse_1 / exact[0] for r in rows],
            [r.drift / exact[2] for r in rows],
            [r.width / exact[3] for r in rows],
        ]
        ranges = " | ".join(f"{min(c):.2f} to {max(c):.2f}" for c in columns)
        print(f"| {count} | {len(rows)} | {ranges} |", flush=True)


def tanh_task(data: tuple[Tensor, Tensor]) -> ng.Task:
    """A network that becomes chaotic at high learning rates."""

    def network() -> nn.Module:
        first, second, third = (nn.Linear(a, b) for a, b in itertools.pairwise([64, 50, 20, 10]))
        return nn.Sequential(nn.Flatten(), first, nn.Tanh(), second, nn.Tanh(), third)

    inputs, targets = data
    return ng.Task(
        network,
        functional.cross_entropy,
        (inputs[:400], targets[:400]),
        (inputs[400:800], targets[400:800]),
        batch_size=100,
    )


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's handwritten digits, shuffled."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    images = torch.as_tensor(found.images, dtype=torch.float64)[:, None] / 16
    return images[order], torch.as_tensor(found.target)[order]


def at_rate(rate: float, steps: int = 60, seeds: int = 3) -> ng.Trust:
    """Trust of the tanh network at a learning rate."""
    basis = ng.Windows(2, initial=rate, bounds=(1e-6, 100.0))
    task = tanh_task(digits())
    return ng.trust(
        task, ng.SGD(basis, momentum=0.9), steps=steps, seeds=seeds, dtype=torch.float64
    )


def print_chaos() -> None:
    print("\n| learning rate | verdict | adjoints grow | metasmoothness | linearity |")
    print("|---|---|---|---|---|")
    for rate in RATES:
        found = at_rate(rate)
        grown = "outgrown" if found.growth is None else f"{found.growth.overall:.2g}"
        smooth = found.smoothness
        cells = "| |" if smooth is None else f"{smooth.metasmoothness:.2f} | {smooth.linearity:.2f}"
        print(f"| {rate:g} | {found.verdict.name} | {grown} | {cells} |", flush=True)


def found_by_tuning(
    task: ng.Task,
    count: int | str,
    seed: int,
    *,
    steps: int,
    budget: float,
    momentum: ng.Windows | float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> ng.Result:
    """The schedule of a search over a number of windows, or automatic ones."""
    decay = 0.0 if momentum == 0.0 else ng.Windows(1)
    optimizer = ng.SGD(ng.Windows(count), momentum=momentum, weight_decay=decay)
    return ng.tune(
        task, optimizer, steps=steps, outer_steps=40, budget=budget, seed=seed, dtype=dtype
    )


def print_windows(outer_seeds: Sequence[int], budget: float) -> None:
    for problem, steps in ((Walk(), 64), (NoisyQuadratic(), 64)):
        best = problem.expected(problem.best(steps))
        print(
            f"\n{type(problem).__name__}, {steps} steps, budget {budget:g}; best possible {best:.5f}"
        )
        print(
            "\n| windows | expected loss, mean | each outer seed | windows found |\n|---|---|---|---|"
        )
        for count in COUNTS:
            losses, found = [], []
            for seed in outer_seeds:
                result = found_by_tuning(problem.task(), count, seed, steps=steps, budget=budget)
                values = result.schedule.values(steps)["learning_rate"].tolist()
                losses.append(problem.expected(values))
                found.append(len(result.schedule["learning_rate"]))
            each = ", ".join(f"{loss:.5f}" for loss in losses)
            print(f"| {count} | {statistics.fmean(losses):.5f} | {each} | {found} |", flush=True)


def print_digits(outer_seeds: Sequence[int], budget: float, steps: int = 200) -> None:
    inputs, targets = (part for part in digits())
    inputs = inputs.float()
    task = ng.Task(
        ng.models.build("mlp", (1, 8, 8), 10),
        functional.cross_entropy,
        (inputs[:700], targets[:700]),
        (inputs[700:1100], targets[700:1100]),
        (inputs[1100:], targets[1100:]),
        batch_size=32,
    )
    print(
        f"\nMLP on digits, {steps} steps, budget {budget:g}; test accuracy, mean of 20 fresh runs"
    )
    print("\n| windows | mean | each outer seed | windows found |\n|---|---|---|---|")
    for count in COUNTS:
        accuracies, found = [], []
        for seed in outer_seeds:
            result = found_by_tuning(
                task, count, seed, steps=steps, budget=budget,
                momentum=ng.Windows(1), dtype=torch.float32,
            )  # fmt: skip
            fresh = [
                ng.retrain(task, result.schedule, steps=steps, seed=1000 + k) for k in range(20)
            ]
            accuracies.append(100 * statistics.fmean(r.test_accuracy or 0.0 for r in fresh))
            found.append(len(result.schedule["learning_rate"]))
        each = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
        print(f"| {count} | {statistics.fmean(accuracies):.2f} | {each} | {found} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["noise", "chaos", "windows", "digits"]
    parser.add_argument("--what", nargs="+", choices=parts, default=parts)
    parser.add_argument("--outer-seeds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=150.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, begin = range(options.outer_seeds), time.perf_counter()
    printers: dict[str, Callable[[], None]] = {
        "noise": print_noise,
        "chaos": print_chaos,
        "windows": lambda: print_windows(seeds, options.budget),
        "digits": lambda: print_digits(seeds, options.budget),
    }
    for part in options.what:
        printers[part]()
    print(f"\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
