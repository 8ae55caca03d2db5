"""Loading: recognise a format, choose the examples, fetch only those, standardise."""

import os
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError, check_path
from ._encoding import Encoded, encode
from ._formats import NAMES, read
from ._select import select
from ._source import Parts, Source
from ._target_scale import TargetScale


@dataclass(frozen=True)
class Splits:
    """Examples ready for a task.

    Attributes:
        name: Where they come from.
        train: Inputs, float32 ``(N, C, H, W)`` or of rows ``(N, D)``, standardised; and targets, int64
            ``(N,)``, or real ones, float32 ``(N, 1)``, standardised. Text: both int64 ``(N, context)``.
        validation: The same, by the mean and standard deviation of ``train``.
        test: The same.
        classes: Names, by class number; none where targets are real.
        scale: Of real targets, how they come back to their own units; else None.
        columns: Of rows, what each of the D inputs is: ``"age"``, or ``"city=Paris"``, 0 or 1.
        told: What was done to the columns, in sentences.
    """

    name: str
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor] | None
    classes: tuple[str, ...]
    scale: TargetScale | None = None
    columns: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def load(
    name_or_path: str | os.PathLike,
    *,
    target: str | None = None,
    drop: Collection[str] = (),
    validation: float = 0.15,
    test: float = 0.2,
    train_examples: int | None = None,
    validation_examples: int | None = None,
    test_examples: int | None = None,
    seed: int = 0,
) -> Splits:
    r"""Load images or the rows of a table with their targets, split and standardised.

    .. math:: x \leftarrow (x - \mu_c) / \sigma_c

    with the mean and standard deviation of each channel or column c over the training split alone,
    applied to all splits; a channel that is constant there is only centred, a column left out. Each
    word of a column of words in the training split is an input, 0 or 1; of a word that is not there,
    all of them are 0. Real targets are standardised likewise.

    Targets are classes where they are words, booleans, or whole numbers, of a table at most 20
    different ones on at least twice as many rows. All others are real: write whole ones as ``3.0``.

    Args:
        name_or_path: One of `NAMES`, or a path in one of the formats of `describe`.
        target: The column of a table that is to be predicted.
        drop: Columns of it that are left out, such as names.
        validation: Fraction of the examples outside the test split that is held out, strictly
            between 0 and 1; unused where the source has a validation split of its own.
        test: Fraction of all examples, likewise; unused where the source has a test split.
        train_examples: At most so many, chosen by the seed; fewer are decoded then. The smaller
            of two such choices is contained in the larger.
        validation_examples: Likewise.
        test_examples: Likewise.
        seed: Decides who is held out. Equal seeds give equal splits on every machine.

    Returns:
        The splits, disjoint, in an order that the seed shuffles.

    Raises:
        DataError: If the source is unknown, missing, empty, broken, or smaller than asked; of a table
            also if a value is missing, or words are too many to be inputs.
        MissingExtraError: If a package that reads it is not installed.

    Example:
        >>> splits = load("digits")
        >>> splits.train[0].shape
        torch.Size([1222, 1, 8, 8])
    """
    check_path("name_or_path", name_or_path, f" or one of the names {', '.join(NAMES)}")
    name, parts = read(name_or_path, target, _checked(drop))
    caps = {"train": train_examples, "validation": validation_examples, "test": test_examples}
    chosen = select(parts, validation=validation, test=test, caps=caps, seed=seed)
    encoded, scale = _inputs(name, parts, chosen), None
    targets = {split: source.targets for split, source in chosen.items()}
    if not parts.classes:
        scale = TargetScale.of(parts.target, targets["train"])
        targets = {split: scale.targets(values) for split, values in targets.items()}
    ready = {split: (encoded.inputs[split], targets[split]) for split in chosen}
    return Splits(
        name, ready["train"], ready["validation"], ready["test"], parts.classes,
        scale, encoded.names, parts.told + encoded.told,
    )  # fmt: skip


def _checked(drop: Collection[str]) -> tuple[str, ...]:
    if isinstance(drop, str) or not all(isinstance(name, str) for name in drop):
        raise TypeError(f"`drop` must be a list of names of columns, but got {drop!r:.80}.")
    return tuple(drop)


def _inputs(name: str, parts: Parts, chosen: dict[str, Source]) -> Encoded:
    if parts.columns is not None:
        rows = {split: source.fetch(torch.arange(len(source))) for split, source in chosen.items()}
        return encode(name, parts.columns, rows)
    images = {split: _fetched(name, split, source) for split, source in chosen.items()}
    _standardise(name, images)
    return Encoded(images, (), ())


def _fetched(name: str, split: str, source: Source) -> Tensor:
    images = source.fetch(torch.arange(len(source)))
    # The sum of squares too, which the standard deviation will need.
    if images.is_floating_point() and not images.square().sum().isfinite():
        raise DataError(
            f"{name} has NaN, infinite or huge pixels (beyond float32) among its {split} images. "
            f"Clean or rescale them."
        )
    return images.to(torch.float32)


def _standardise(name: str, inputs: dict[str, Tensor]) -> None:
    """Centre and scale every split in place, by the statistics of ``inputs["train"]``."""
    shape = inputs["train"].shape[1:]
    for split, images in inputs.items():
        if images.shape[1:] != shape or 0 in shape:
            raise DataError(
                f"{name} has {split} images of shape {tuple(images.shape[1:])}, but training "
                f"images of shape {tuple(shape)}. Give all of them one shape, of at least 1x1."
            )
    variance, mean = torch.var_mean(inputs["train"], (0, 2, 3), correction=0, keepdim=True)
    deviation = variance.sqrt()
    deviation[deviation == 0] = 1
    for images in inputs.values():
        images.sub_(mean).div_(deviation)
