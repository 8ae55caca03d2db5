"""Something to choose from: networks for handwritten digits, trained when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from ..data import load
from ..models._build import mlp
from ..schedules import cosine_schedule
from ..task import Task
from ..training import retrain
from ._attribute import Attribute, smaller

WIDTHS, EPOCHS, PEAKS = (4, 8, 16, 32, 64, 128), (1, 3, 10), (0.1, 0.3)
ATTRIBUTES: tuple[Attribute, ...] = (
    smaller("error", unit="%"),
    smaller("training", log=True, unit="million multiply-adds"),
    smaller("weights", log=True, unit="kB"),
)


def configurations(told: Callable[[str], None] = lambda line: None) -> list[dict[str, float | str]]:
    """Train networks of several widths for several lengths, each at the better of two learning rates.

    The same on every call: error on validation data, multiply-adds of training, size of the weights.

    Args:
        told: Called with the name of each, before it is trained.

    Returns:
        For each configuration its name and attributes.
    """
    data = load("digits")
    inputs, classes = data.train[0][0].numel(), len(data.classes)
    rows = list[dict[str, float | str]]()
    for width in WIDTHS:
        make = functools.partial(mlp, inputs, classes, width)
        loss = torch.nn.functional.cross_entropy
        task = Task(make, loss, data.train, data.validation, batch_size=32)
        weights = sum(parameter.numel() for parameter in make().parameters())
        for epochs in EPOCHS:
            name = f"{width} units, {epochs} epochs"
            told(name)
            runs = [retrain(task, cosine_schedule(peak), epochs=epochs) for peak in PEAKS]
            best = min(runs, key=lambda run: run.validation_loss)
            assert best.validation_accuracy is not None
            # Forward once, backward twice as much.
            work = 3 * weights * len(data.train[0]) * epochs / 1e6
            error = round(100 * (1 - best.validation_accuracy), 3)
            rows.append(
                {"name": name, "error": error, "training": work, "weights": weights * 4 / 1000}
            )
    return rows
