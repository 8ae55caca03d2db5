"""What every engine costs at 1, 9, 100 and 10,000 hyperparameters, as a Markdown table.

Hyperparameters of the optimizer are windows of the learning rate, for more than one also momentum
and weight decay; those of the loss are weights of groups of training examples, 10,000 groups of one
each. Windows finer than the steps of the run do not all act. That does not matter to the engines that
are measured at so many: a reverse sweep and random directions cost the same for any schedule.

Tangents and finite differences cost thousands of plain runs at 10,000 hyperparameters. There the
engine is measured at a few, and a straight line is drawn through one and a few: the abscissa is the
engine's own count of gradients (``sweep_cost``), at last for a run so long that every window acts. Such
cells say from how many they come, and the arithmetic follows the table. Forward engines push 32 tangents
together, so that more of them are more of the same.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

import nongreedy as ng

from ._cost_cases import Case, Problem, make_task, of_loss, of_optimizer, plain
from ._cost_turns import Body, Timing, take_turns

COUNTS = (1, 9, 100, 10_000)
DEAR = 8.0  # plain runs: what costs more takes one turn
# These runs do not end at a minimum, so that the equation needs damping. It does not change the cost.
_IMPLICIT = ng.Implicit(ng.engines.Neumann(scale=0.001), damping=100.0)


@dataclass(frozen=True)
class Row:
    """An engine, and the most hyperparameters that it is measured at."""

    engine: ng.Engine
    most: int = max(COUNTS)
    loss_only: bool = False


ROWS = {
    "Forward": Row(ng.Forward(chunk=32), most=32),
    "Reverse, graphs": Row(ng.Reverse("graphs")),
    "Reverse, device": Row(ng.Reverse("device")),
    "Reverse, host": Row(ng.Reverse("host")),
    "Reverse, disk": Row(ng.Reverse("disk")),
    "Reverse, checkpoints": Row(ng.Reverse("checkpoint")),
    "Reversible": Row(ng.Reversible()),
    "FiniteDifference": Row(ng.FiniteDifference(), most=9),
    "RandomDirections, 8": Row(ng.RandomDirections(8)),
    "Greedy, one step": Row(ng.Greedy()),
    "Greedy, discounted by 0.9": Row(ng.Greedy(mu=0.9, chunk=32), most=32),
    "EvoGrad": Row(ng.EvoGrad(), loss_only=True),
    "Implicit, 100 products": Row(_IMPLICIT, loss_only=True),
}


@dataclass(frozen=True)
class Block:
    """Hyperparameters of one owner."""

    title: str
    problem: Callable[[Case, int], Problem]
    of_loss: bool

    def counts(self, row: Row) -> list[int]:
        """The numbers of hyperparameters at which an engine is measured."""
        if row.loss_only and not self.of_loss:
            return []
        return sorted({min(count, row.most) for count in COUNTS})


BLOCKS = Block("optimizer", of_optimizer, False), Block("loss", of_loss, True)
Key = tuple[str, str, int]  # owner, engine, number of hyperparameters


def engines_table(case: Case, repetitions: int) -> None:
    """Measure, and print the table with its arithmetic."""
    case = dataclasses.replace(case, examples=max(COUNTS))
    _measured(dataclasses.replace(case, steps=4), 1, at_most=1)  # first calls load and allocate
    unit, found = _measured(case, repetitions)
    print(
        f"\n{case.model}, {case.steps} steps of {case.batch_size}, {torch.get_num_threads()} threads. "
        f"In plain `torch.optim.SGD` runs of the same turn ({statistics.median(unit.seconds):.2f} s, "
        f"{unit.span} of the turn's median): medians over {repetitions} turns with their range, or of one "
        f"turn what costs more than {DEAR:g}. {_how_many_act(case)}\n"
    )
    print("| hyperparameters of the | engine | " + " | ".join(f"{n:,}" for n in COUNTS) + " |")
    print("|---|---|" + "---|" * len(COUNTS))
    arithmetic: list[str] = []
    for block in BLOCKS:
        for name in ROWS:
            cells = [_cell(case, block, name, count, found, arithmetic) for count in COUNTS]
            print(f"| {block.title} | {name} | {' | '.join(cells)} |")
    print("\nFrom few hyperparameters (one + (few - one) x ratio of further gradients):\n")
    print("\n".join(f"- {line}" for line in arithmetic), flush=True)


def _measured(
    case: Case, repetitions: int, at_most: int = max(COUNTS)
) -> tuple[Timing, dict[Key, Timing]]:
    """Time every engine at every number of hyperparameters up to `at_most`."""
    task = make_task(case)
    groups: list[dict[Key, Body]] = []
    for block in BLOCKS:
        problem = functools.cache(functools.partial(block.problem, case))
        for name, row in ROWS.items():
            bodies: dict[Key, Body] = {
                (block.title, name, count): functools.partial(
                    problem(count).hypergradient, row.engine
                )
                for count in block.counts(row)
                if count <= at_most
            }
            groups += [bodies] if bodies else []
    return take_turns(lambda: plain(task, case.steps), groups, repetitions, DEAR)


def _cell(
    case: Case, block: Block, name: str, count: int, found: dict[Key, Timing], arithmetic: list[str]
) -> str:
    """What the table says, and a line of arithmetic where it is no measurement."""
    row = ROWS[name]
    if not block.counts(row):
        return "cannot: not in the training loss"
    if count <= row.most:
        timing = found[block.title, name, count]
        several = len(timing.ratios) > 1
        return _number(timing.median) + (f" ({timing.span})" if several else "")
    one, few = (found[block.title, name, n].median for n in (1, row.most))
    least, some = (_gradients(case, block, row, n) for n in (1, row.most))
    long = dataclasses.replace(case, steps=max(case.steps, count))  # so that every window acts
    all_ = _gradients(long, block, row, count)
    cost = one + (few - one) * (all_ - least) / (some - least)
    arithmetic.append(
        f"{name}, {count:,} of the {block.title}: {one:.2f} + ({few:.2f} - {one:.2f}) x "
        f"({all_:,.1f} - {least:.1f}) / ({some:.1f} - {least:.1f}) = {cost:,.0f}"
    )
    return f"≈ {cost:,.0f} (from {row.most})"


def _gradients(case: Case, block: Block, row: Row, count: int) -> float:
    """What the engine itself says that it adds to a plain run."""
    problem = block.problem(case, count)
    return row.engine.sweep_cost(problem.run, problem.schedule, problem.learn)


def _how_many_act(case: Case) -> str:
    seen = min(case.steps * case.batch_size, case.examples)
    windows = min(case.steps, max(COUNTS) - 2)
    return (
        f"Of {max(COUNTS):,} hyperparameters, {windows + 2:,} of the optimizer and {seen:,} of the loss "
        "act on a run of this length."
    )


def _number(cost: float) -> str:
    return f"{cost:.2f}" if cost < 100 else f"{cost:,.0f}"
