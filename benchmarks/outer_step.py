"""One outer step as in Figure 1 of arXiv:2007.07869: the paper's algorithm against ours, taking turns.

    python -m benchmarks.outer_step                  # WRN-16-1, 7 + 1 + 1 windows, 14 steps of 128
    python -m benchmarks.outer_step --net lenet --steps 70

Both train once and differentiate the end by the same nine values. The paper's algorithm does one double
backward for each started window at each step: six on average, where the steps are a multiple of seven
(over fewer steps than windows it would have less to do than in the paper). It is written in
`paper_algorithm` and skips windows that have not started.

Agreement is of each hyperparameter's hypergradient: the largest difference relative to the largest entry. In
float32 the paper's algorithm is also compared with itself on one thread, which sums in another order: no
two programs can be expected to agree better than one does with itself.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import nongreedy as ng

from ._cost_cases import CASES, Case, Problem, make_task, of_optimizer, plain
from ._cost_turns import take_turns
from .paper_algorithm import paper_hypergradient

ENGINES = {
    "graphs": ng.Reverse("graphs"),
    "stored": ng.Reverse("device"),
    "checkpoints": ng.Reverse("checkpoint"),
}
NINE = 9
Method = Callable[[ng.Run, Problem], dict[str, Tensor]]


def agreement(case: Case) -> Iterator[str]:
    """Lines of a table: how far the two, in both precisions, are from each other."""
    single, double = torch.float32, torch.float64
    ours = {dtype: _hypergradient(case, dtype, _ours) for dtype in (single, double)}
    paper = {dtype: _hypergradient(case, dtype, _paper) for dtype in (single, double)}
    with _one_thread():
        again = _hypergradient(case, single, _paper)
    pairs = {
        "ours to paper's, float64": (ours[double], paper[double]),
        "ours to paper's, float32": (ours[single], paper[single]),
        "paper's to itself on one thread, float32": (again, paper[single]),
        "ours in float32 to float64": (ours[single], ours[double]),
        "paper's in float32 to float64": (paper[single], paper[double]),
    }
    yield "| relative difference | " + " | ".join(ours[double]) + " |"
    yield "|---|" + "---|" * len(ours[double])
    for label, (one, other) in pairs.items():
        yield f"| {label} | " + " | ".join(f"{_apart(one[n], other[n]):.1e}" for n in one) + " |"


def _hypergradient(case: Case, dtype: torch.dtype, method: Method) -> dict[str, Tensor]:
    problem = of_optimizer(case, NINE)
    run = ng.Run(make_task(case), ng.SGD(), case.steps, dtype=dtype)
    return method(run, problem)


def _ours(run: ng.Run, problem: Problem) -> dict[str, Tensor]:
    return ENGINES["stored"].hypergradient(run, problem.schedule, problem.learn).gradients


def _paper(run: ng.Run, problem: Problem) -> dict[str, Tensor]:
    return paper_hypergradient(run, problem.schedule)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=sorted(CASES), default="wrn-16-1")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--turns", type=int, default=3, help="of the timing; 0: agreement alone")
    options = parser.parse_args()
    case = dataclasses.replace(CASES[options.net], steps=options.steps)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {time.strftime('%F')}: "
          f"{options.net}, {case.steps} steps of {case.batch_size}, {options.turns} turns")  # fmt: skip
    for line in agreement(case):
        print(line, flush=True)
    if not options.turns:
        return
    problem, task = of_optimizer(case, NINE), make_task(case)
    bodies = {name: lambda e=engine: problem.hypergradient(e) for name, engine in ENGINES.items()}
    bodies["paper"] = lambda: paper_hypergradient(problem.run, problem.schedule)
    groups = [{name: body} for name, body in bodies.items()]
    _, found = take_turns(lambda: plain(task, case.steps), groups, options.turns, dear=1e9)
    for name, timing in found.items():
        print(f"  {name:<12} {timing.median:6.2f} plain runs ({timing.span}; "
              f"{statistics.median(timing.seconds):.1f} s)")  # fmt: skip
    for name in ENGINES:
        pairs = zip(found["paper"].seconds, found[name].seconds, strict=True)
        ratios = [theirs / mine for theirs, mine in pairs]
        print(
            f"  paper / {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
