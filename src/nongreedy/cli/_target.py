"""What a command works on: the user's own task, or data and a model by name."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nongreedy as ng

from . import _load
from ._exit import Mistake
from ._names import TABLES, flag

if TYPE_CHECKING:
    from nongreedy.optimizers import Optimizer
    from nongreedy.schedules import Basis

DATA, MODEL, BATCH_SIZE = "digits", "convnet", 128
ROWS_MODEL, ROWS_BATCH = "mlp", 32  # of examples that are no images, of which there are often few
KNOTS, WINDOWS = 5, 4  # by our rule straight pieces, by the paper's constant ones

# The options of every command that works on a task.
Argument = Annotated[
    str | None,
    typer.Argument(
        help="Your task, such as my_task.py:task. Without: handwritten digits.", metavar="TASK"
    ),
]
Data = Annotated[
    str | None,
    typer.Option(help="Data set by name, or a path: `nongreedy datasets`.", show_default=DATA),
]
Column = Annotated[
    str | None, typer.Option("--target", help="Of a table in --data, the column to predict.")
]
Drop = Annotated[
    str | None, typer.Option(help="Its columns to leave out, joined by commas, such as id,name.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="mlp, convnet, lenet or wrn-16-1.", show_default=f"{MODEL}; {ROWS_MODEL} for tables"
    ),
]
Epochs = Annotated[float, typer.Option(help="Length of one training run.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Examples per step.", show_default=f"{BATCH_SIZE}; {ROWS_BATCH} for tables"
    ),
]
Knots = Annotated[
    int | None,
    typer.Option(min=2, help="Learning rates, joined by straight lines.", show_default=str(KNOTS)),
]
Windows = Annotated[
    str | None,
    typer.Option(
        help="Instead, learning rates that hold for a window each: how many, or auto.",
        show_default=f"{WINDOWS} with --outer paper",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="cpu")]
TrainExamples = Annotated[
    int | None, typer.Option(min=1, help="Use only this many training examples.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads.", show_default="1 for digits, else PyTorch's"),
]


def settled(settings: Mapping[str, Any]) -> tuple[_load.Target, Optimizer, int]:
    """The task, the optimizer and the number of steps that a command's options ask for."""
    import torch

    # Tiny images gain nothing from a second thread, and lose much where a core is shared.
    small = not settings["target"] and settings["data"] in (None, DATA)
    if settings["threads"] is not None or small:
        torch.set_num_threads(settings["threads"] or 1)
    target = _own_target(settings) if settings["target"] else _named_target(settings)
    optimizer = target.optimizer or ng.SGD(
        learning_rate=_learning_rate(settings), momentum=ng.Windows(1), weight_decay=ng.Windows(1)
    )
    return target, optimizer, target.task.steps_for(settings["epochs"], None)


def _learning_rate(settings: Mapping[str, Any]) -> Basis:
    windows, knots = settings["windows"], settings["knots"]
    if windows not in (None, "auto"):
        if not (windows.isdecimal() and int(windows) >= 1):
            raise Mistake(f"--windows takes a number of at least 1, or auto, but got {windows!r}.")
        windows = int(windows)
    if windows and knots:
        raise Mistake(f"--windows {windows} and --knots {knots} exclude each other: give one.")
    if windows or (settings.get("outer") == "paper" and not knots):
        return ng.Windows(windows or WINDOWS)
    return ng.Linear(knots or KNOTS)


def _own_target(settings: Mapping[str, Any]) -> _load.Target:
    """The user's task, which answers by itself what these options would ask."""
    target = _load.own_task(settings["target"])
    fixed = ["data", "column", "drop", "model", "batch_size", "train_examples", "device"]
    bases = ["knots", "windows"] if target.optimizer is not None else []
    for option in [*fixed, *bases]:
        if settings[option] is not None:
            where = "its `optimizer`" if option in bases else "its ng.Task"
            raise Mistake(
                f"--{flag(option)} does not apply to {settings['target']!r}: set it in {where}."
            )
    return target


def _named_target(settings: Mapping[str, Any]) -> _load.Target:
    """One of our data sets, or a folder or file of data, and one of our models."""
    import torch

    data, name = settings["data"] or DATA, settings["model"]
    ng.models.build(
        name or MODEL, (3, 32, 32), 10
    )  # a misspelt name shows before large data are read
    if name not in (None, ROWS_MODEL) and data.lower().endswith(TABLES):
        raise Mistake(
            f"--model {name} is for images, but {data!r} is a table: its model is {ROWS_MODEL}."
        )
    splits = ng.data.load(
        data, target=settings["column"], drop=_listed(settings["drop"]),
        train_examples=settings["train_examples"],
    )  # fmt: skip
    if len(splits.classes) == 1:
        raise Mistake(
            f"{splits.name} has examples of one class alone, {splits.classes[0]!r}: there is nothing to tell "
            "apart. Give data of at least two classes: a folder of images has one folder for each."
        )
    inputs, _ = splits.train
    usual, size = (MODEL, BATCH_SIZE) if inputs.dim() > 2 else (ROWS_MODEL, ROWS_BATCH)
    name, scale, functional = name or usual, splits.scale, torch.nn.functional
    task = ng.Task(
        ng.models.build(name, tuple(inputs.shape[1:]), len(splits.classes) or 1),
        functional.cross_entropy if scale is None else functional.mse_loss,
        splits.train, splits.validation, splits.test,
        batch_size=settings["batch_size"] or min(size, len(inputs)),
        metric=None if scale is None else {f"RMSE of {scale.name}": scale.rmse},
        device=settings["device"] or "cpu",
    )  # fmt: skip
    return _load.Target(
        f"{splits.name}, {name}", task, told=_told(splits, settings["column"]), scale=scale
    )


def _listed(names: str | None) -> list[str]:
    return [] if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _told(splits: ng.data.Splits, column: str | None) -> tuple[str, ...]:
    """What became of a table, and what a loss of real targets is."""
    if (scale := splits.scale) is None:
        names = textwrap.shorten(", ".join(splits.classes), 100, placeholder=" ...")
        what = "labels" if column is None else repr(column)
        told = f"Predicted: {what}, {len(splits.classes)} classes: {names}."
        return (*splits.told, told) if splits.columns else ()
    return (
        *splits.told,
        f"Predicted: {scale.name!r}, standardised by the mean {scale.mean:.4g} and the deviation "
        f"{scale.deviation:.4g} of the training part. Losses are mean squared errors of that: the RMSE in "
        f"units of {scale.name!r} is {scale.deviation:.4g} times the root of a loss.",
    )
