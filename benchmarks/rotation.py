"""An angle learned while a network trains: upright training images, turned validation images.

    python -m benchmarks.rotation

EvoGrad's study (arXiv:2106.10575) in small: MNIST's t10k images at 14 x 14, 4,000 upright to train on,
1,000 turned by 30 degrees to learn the angle by, and 5,000 to test on, both upright and turned. LeNet
with narrower layers, Adam 1e-3, batch 100 and the angle by Adam 1e-2 from 0, once per step. The paper
has 40,000 training images, LeNet at 28 x 28, batch 128 and 1,565 steps.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import Rademacher

from . import mnist

TRAIN, TURNED, BATCH, DEGREES = 4000, 1000, 100, 30.0
SEEDS = (1, 23, 345, 4567, 56789)  # the paper's

Data = tuple[Tensor, Tensor]
Network = Callable[[], nn.Module]

ENGINES = {
    "upright images": None,
    "EvoGrad, K = 2": ng.EvoGrad(Rademacher(copies=2), batch=BATCH, execution="vectorized"),
    "EvoGrad, K = 8": ng.EvoGrad(Rademacher(copies=8), batch=BATCH, execution="vectorized"),
    "EvoGrad along the validation gradient": ng.EvoGrad(batch=BATCH, execution="vectorized"),
}


def rotated(images: Tensor, angle: Tensor) -> Tensor:
    """Images turned by an angle in radians, differentiably."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])])
    shape = (len(images), 2, 3)
    grid = functional.affine_grid(matrix.expand(shape), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def turned(inputs: Tensor, targets: Tensor, hypers: ng.Hypers) -> tuple[Tensor, Tensor]:
    """Training images at the angle that is learned."""
    return rotated(inputs, hypers["angle"]), targets


def lenet() -> nn.Module:
    """LeNet for 14 x 14: as many layers and channels, of which the second sees 3 x 3 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


def make_task(data: Data, network: Network, seed: int, learned: bool) -> tuple[ng.Task, Data]:
    """The task, and its upright test images."""
    images, labels = functional.avg_pool2d(data[0], 2), data[1]
    order = mnist.shuffled(labels, seed)
    train, held, test = order.tensor_split([TRAIN, TRAIN + TURNED])
    thirty = torch.tensor(math.radians(DEGREES))
    task = ng.Task(
        network,
        functional.cross_entropy,
        train=(images[train], labels[train]),
        validation=(rotated(images[held], thirty), labels[held]),
        batch_size=BATCH,
        hyperparameters={"angle": ng.Constant(initial=0.0) if learned else 0.0},
        prepare=turned,
    )
    return task, (images[test], labels[test])


def trained(
    task: ng.Task, engine: ng.EvoGrad | None, rate: float, steps: int, seed: int
) -> tuple[Mapping[str, Tensor], Tensor]:
    """Parameters at the end, and the angle at each step: learned by this engine, or left alone."""
    optimizer = ng.Adam(learning_rate=rate)
    if engine is None:
        run = ng.Run(task, optimizer, steps, seed)
        table = {**optimizer.hyperparameters(steps), **task.hyperparameters(steps)}
        final = ng.Reverse().rollout(run, ng.Schedule.initial(table)).final[0]
        return run.module.unflatten(final), torch.zeros(steps)
    result = ng.train_online(
        task, optimizer, steps=steps, engine=engine, seed=seed,
        outer_optimizer=torch.optim.Adam, outer_learning_rate=0.01,
    )  # fmt: skip
    assert result.parameters is not None
    return result.parameters, result.schedule["angle"]


def accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    with torch.no_grad():
        return (module(images).argmax(1) == labels).float().mean().item()


def study(
    data: Data,
    engine: ng.EvoGrad | None,
    steps: int,
    seed: int,
    network: Network = lenet,
    rate: float = 1e-3,
) -> tuple[float, float, float, float]:
    """Angle at the end and its mean over the second half, in degrees; accuracy turned and upright."""
    task, (images, labels) = make_task(data, network, seed, engine is not None)
    parameters, angles = trained(task, engine, rate, steps, seed)
    module, degrees = network(), angles.rad2deg()
    module.load_state_dict(dict(parameters))
    return (
        degrees[-1].item(),
        degrees[steps // 2 :].mean().item(),
        accuracy(module, rotated(images, torch.tensor(math.radians(DEGREES))), labels),
        accuracy(module, images, labels),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=mnist.FOLDER)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = mnist.read(options.data)
    print("| angle learned by | angle at the end | each seed | its mean over the second half | "
          "accuracy on turned images (%) | on upright images (%) | s per run |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, engine in ENGINES.items():
        begin = time.perf_counter()
        ends, means, right, upright = zip(
            *(study(data, engine, options.steps, seed) for seed in SEEDS), strict=True
        )
        seconds = (time.perf_counter() - begin) / len(SEEDS)
        each = ", ".join(f"{end:.1f}" for end in ends)
        print(
            f"| {name} | {mnist.mean_and_deviation(ends)} | {each} | "
            f"{mnist.mean_and_deviation(means)} | {mnist.mean_and_deviation(right, 100)} | "
            f"{mnist.mean_and_deviation(upright, 100)} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
