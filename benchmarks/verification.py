"""What verifying a task costs, as a share of a search of 40 plain runs of 300 steps.

    python -m benchmarks.verification

Verification and a plain ``torch.optim`` run take turns in one process; the share is of the medians.
The first time, PyTorch imports what its optimizers need, as they do for anyone: not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import nongreedy as ng

from ._cost_cases import CASES, Case, make_task

TURNS, LENGTH, RUNS = 7, 300, 40  # three turns where a step takes half a second


def seconds(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def share(case: Case) -> tuple[float, float]:
    """Seconds of a verification, and of a plain step, in this process."""
    optimizer = ng.SGD(learning_rate=ng.Windows(7, initial=0.05), momentum=0.9, weight_decay=5e-4)
    schedule = ng.Schedule.of(learning_rate=0.05, momentum=0.9, weight_decay=5e-4)

    def verify() -> None:
        ng.Problem(make_task(case), optimizer, LENGTH).verified()

    def plain(steps: int) -> float:
        task = make_task(case)
        return seconds(lambda: ng.retrain(task, schedule, steps=steps))

    verify()
    verified, step = [], []
    for _ in range(TURNS if case.steps > 10 else 3):
        verified.append(seconds(verify) - seconds(lambda: make_task(case)))
        # The difference leaves judging out.
        few = min(case.steps, 60)
        step.append((plain(2 * few) - plain(few)) / few)
    return statistics.median(verified), statistics.median(step)


def main() -> None:
    print(
        f"{torch.get_num_threads()} threads, {TURNS} turns, a search of {RUNS} runs of {LENGTH} steps"
    )
    print("| network | verification, s | plain step, ms | in steps | share of the search |")
    print("|---" * 5 + "|")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    for case in map(CASES.__getitem__, parser.parse_args().models):
        verified, step = share(case)
        print(
            f"| {case.model} | {verified:.3f} | {1e3 * step:.2f} | {verified / step:.0f} "
            f"| {verified / (step * RUNS * LENGTH):.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
