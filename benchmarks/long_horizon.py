"""One hypergradient through 100,000 steps: from checkpoints, and from a run that is undone.

    python -m benchmarks.long_horizon                  # about ten minutes of one thread
    python -m benchmarks.long_horizon --steps 3000
    python -m benchmarks.long_horizon --folder results/long    # goes on with what is not yet there

A network of 2,410 parameters learns scikit-learn's digits in float64: batches of 16, noise added to
the images anew at each step, momentum 9/10, and a learning rate that decays in ten windows, which
are differentiated together with momentum and weight decay. Three ways, each in a process of its own:

* **undone**: ``Reversible``, which trains in integers and keeps no state.
* **integer checkpoints**: the same integer run, swept from every k-th of its integer states; the
  others are computed again. Written for this benchmark. It meets the same states as *undone*, so that
  everything it finds must have **the same bits**: the loss, the derivative of every value at every
  step, and that of the initial weights.
* **checkpoints**: ``Reverse("checkpoint")``, on the run in float64, at the same momentum. An integer
  has 52 bits after the point and a float64 has 53 significant ones, so that the two runs round
  differently from their first step on. Their hypergradients agree to the **relative error** that is
  printed: the largest difference over the largest derivative.

Peak memory is that of the process, and its growth over the same with ten steps. The growth also
holds what every way needs for each step: the hyperparameters' values and derivatives, the losses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import nongreedy as ng
from nongreedy.engines import Rollout
from nongreedy.engines._integers import Reversal
from nongreedy.engines._trajectory import Checkpointed
from nongreedy.planning._peak import peak_memory

from ._integer_checkpoints import IntegerCheckpoints, checkpointed_integers

# Name -> a run whose states can be had again, last first. The sweep is the same for all.
METHODS: dict[str, Callable[[ng.Run, ng.Schedule], Rollout]] = {
    "undone": lambda run, schedule: ng.Reversible().rollout(run, schedule, keep=True),
    "integer checkpoints": checkpointed_integers,
    "checkpoints": lambda run, s: ng.Reverse("checkpoint").rollout(run, s, keep=True),
}
OPTIMIZER = ng.SGD(
    # Stable: at 0.01 a change of the initial weights grows sevenfold in 6,000 steps. At 0.05 it grows
    # a million times in 2,000, and the derivatives of two runs that round differently part.
    learning_rate=ng.Windows(10, initial=[0.01 * 0.6**k for k in range(10)]),
    momentum=ng.Constant(initial=0.9),  # 9/10, also of the integer run
    weight_decay=ng.Constant(initial=1e-4),
)
LEARN = list(OPTIMIZER.learnable)
FEW = 10  # steps of the run that memory is compared with: one for each window


def make_run(steps: int) -> tuple[ng.Run, ng.Schedule]:
    """1,222 digits to train on, and those of the validation split to judge by."""
    digits = ng.data.load("digits")

    def model() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))

    def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
        return images + 0.5 * torch.randn(images.shape, generator=generator, dtype=images.dtype)

    loss = nn.functional.cross_entropy
    task = ng.Task(model, loss, digits.train, digits.validation, batch_size=16, augment=noisy)
    run = ng.Run(task, OPTIMIZER, steps, dtype=torch.float64)
    return run, ng.Schedule.initial(OPTIMIZER.hyperparameters(steps))


@dataclass(frozen=True)
class Kept:
    """What a finished run holds in order to go back.

    Attributes:
        states: At most, while going back: the checkpoints, and one segment that is computed again.
        bytes: Of these, or of integers, buffers and checksums.
    """

    states: int
    bytes: int


def kept(rollout: Rollout) -> Kept:
    """Counted before the sweep begins."""
    trajectory = rollout.trajectory
    if isinstance(trajectory, Reversal):
        memory = trajectory.memory
        buffers = memory.parameters * memory.buffer_bytes_per_parameter
        return Kept(0, memory.state_bytes + buffers + memory.checksum_bytes)
    checkpoints = trajectory.kept if isinstance(trajectory, IntegerCheckpoints) else trajectory
    assert isinstance(checkpoints, Checkpointed)
    states = len(checkpoints.kept) + checkpoints.interval
    return Kept(states, states * checkpoints.kept[0].nbytes)


def same_bits(one: ng.Hypergradient, other: ng.Hypergradient) -> bool:
    """Whether loss and every derivative are the same numbers."""
    theirs = tensors(other)
    same = all(torch.equal(value, theirs[name]) for name, value in tensors(one).items())
    return same and one.value == other.value


def relative_errors(found: ng.Hypergradient, exact: ng.Hypergradient) -> dict[str, float]:
    """Name -> largest difference over the largest derivative."""
    theirs = tensors(exact)
    return {
        name: ((value - theirs[name]).abs().max() / theirs[name].abs().max()).item()
        for name, value in tensors(found).items()
    }


def tensors(found: ng.Hypergradient) -> dict[str, Tensor]:
    """Every derivative: of the coefficients, of each step's values, of the initial weights."""
    assert found.initial is not None
    steps = {f"{name}, step by step": value for name, value in found.per_step.items()}
    return {**found.gradients, **steps, "initial weights": found.initial}


def measure(method: str, steps: int, path: Path) -> None:
    """In a process of its own: one hypergradient and what it took, written to a file."""
    torch.set_num_threads(1)  # sums in the same order in every process
    keep, (run, schedule) = METHODS[method], make_run(steps)
    with peak_memory(run.task.device) as few:
        ng.Reverse().differentiate(keep(*make_run(FEW)), LEARN)
    begin = time.process_time()
    with peak_memory(run.task.device) as peak:
        rollout = keep(run, schedule)
        held = kept(rollout)
        found = ng.Reverse().differentiate(rollout, LEARN)
    row = {
        "found": found, "states": held.states, "bytes": held.bytes, "peak": peak.bytes,
        "growth": peak.bytes - few.bytes, "seconds": time.process_time() - begin,
    }  # fmt: skip
    part = path.with_suffix(".part")
    torch.save(row, part)
    part.rename(path)  # there as a whole, or not at all


def table(steps: int, folder: Path) -> None:
    """Measure the methods whose rows are not in the folder; print what they took and how they agree."""
    run, _ = make_run(steps)
    count = sum(run.module.sizes)
    print(f"{steps:,} steps, {count:,} parameters; all states would take "
          f"{_mib(steps * run.state_bytes)}", flush=True)  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for method in METHODS:
        path = folder / f"{method} {steps}.pt"
        if not path.exists():
            command = [sys.executable, "-m", "benchmarks.long_horizon", "--steps", str(steps)]
            subprocess.run([*command, "--only", method, str(path)], check=True)
        # Written by this very module; a hypergradient is more than tensors.
        rows[method] = row = torch.load(path, weights_only=False)
        print(f"  {method:<20} {row['seconds']:5.0f} s of CPU; states kept {row['states']:>4}, in all "
              f"{_mib(row['bytes'])}; peak memory {_mib(row['peak'])}, growth "
              f"{_mib(row['growth'])}", flush=True)  # fmt: skip
    undone, same_run, floating = (rows[method]["found"] for method in METHODS)
    print(f"\nvalidation loss {undone.value:.6f}, accuracy {undone.accuracy:.4f}")
    for name, gradient in undone.gradients.items():
        print(f"  d loss / d {name}: {' '.join(f'{v:.4g}' for v in gradient.tolist())}")
    print(f"  d loss / d initial weights: largest {undone.initial.abs().max():.4g}")
    print(f"\nundone = integer checkpoints, bit for bit: {same_bits(undone, same_run)}")
    print("undone against checkpoints in float64, relative error:")
    print(f"  loss: {abs(undone.value / floating.value - 1):.1e}")
    for name, error in relative_errors(undone, floating).items():
        print(f"  {name}: {error:.1e}")


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keeps the rows of finished methods")
    parser.add_argument("--only", nargs=2, metavar=("METHOD", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps < FEW:
        parser.error(f"--steps must be at least {FEW}, but got {options.steps}.")
    if options.only:
        return measure(options.only[0], options.steps, Path(options.only[1]))
    print(f"torch {torch.__version__}, {time.strftime('%F')}")
    with tempfile.TemporaryDirectory() as passing:
        return table(options.steps, options.folder or Path(passing))


if __name__ == "__main__":
    main()
