"""Image folders: ``train/<class>/*`` and ``test/<class>/*``, or plain ``<class>/*``."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError, nearest_name
from ._image_files import SUFFIXES, ImageFiles, has_image_files, open_image_files
from ._source import Parts, Source

_SPLITS = {"train": "train", "test": "test"}
_SPLITS |= dict.fromkeys(("val", "valid", "validation"), "validation")


def is_image_folder(path: Path) -> bool:
    return path.suffix.lower() == ".zip" if path.is_file() else has_image_files(path)


def read_image_folder(path: Path) -> Parts:
    """List a directory or zip archive of images; pixels are decoded when they are fetched.

    One directory around everything is looked through. Class names are the directories' names, in
    alphabetical order; images may lie deeper inside them.

    Raises:
        DataError: If there are no images, an image lies outside a class, a split has a class
            that training lacks, or (when fetched) an image is broken or of another size.
    """
    files = open_image_files(path)
    if not files.names:
        raise DataError(
            f"{path} holds no images ({', '.join(SUFFIXES)}). Expected train/<class>/* and "
            f"test/<class>/*, or <class>/*."
        )
    labelled = _labelled(files)
    classes = tuple(sorted({label for _, label in labelled["train"]}))
    sources = {split: _source(files, split, labelled[split], classes) for split in labelled}
    return Parts.of(sources, classes)


def _labelled(files: ImageFiles) -> dict[str, list[tuple[str, str]]]:
    """Return, for each split, pairs of a file's name and its class."""
    parts = _unwrapped([name.split("/") for name in files.names])
    has_splits = any(part[0].lower() in _SPLITS for part in parts)
    labelled: dict[str, list[tuple[str, str]]] = {}
    for name, part in zip(files.names, parts, strict=True):
        split = _SPLITS.get(part[0].lower()) if has_splits else "train"
        below = part[1:] if has_splits else part
        if split is None or len(below) < 2:
            raise DataError(
                f"The image {name} in {files.root} lies outside the layout "
                f"{'train/<class>/*, test/<class>/*' if has_splits else '<class>/*'}. Move it "
                f"into a class, or remove it."
            )
        labelled.setdefault(split, []).append((name, below[0]))
    if "train" not in labelled:
        raise DataError(
            f"{files.root} has {', '.join(sorted(labelled))} images but none under train/. Add "
            f"them, or point to the directory which holds the classes."
        )
    return labelled


def _unwrapped(parts: list[list[str]]) -> list[list[str]]:
    """Drop the directories around everything, as archives often have."""
    while (
        len({part[0] for part in parts}) == 1
        and parts[0][0].lower() not in _SPLITS
        and all(len(part) > 2 for part in parts)
    ):
        parts = [part[1:] for part in parts]
    return parts


def _source(
    files: ImageFiles, split: str, labelled: Iterable[tuple[str, str]], classes: tuple[str, ...]
) -> Source:
    names, labels = zip(*labelled, strict=True)
    number = {label: position for position, label in enumerate(classes)}
    for label in labels:
        if label not in number:
            raise DataError(
                f"{files.root} has the class {label!r} in its {split} images but not under "
                f"train/.{nearest_name(label, classes)}"
            )

    def fetch(indices: torch.Tensor) -> torch.Tensor:
        # The first of all, not of the selection: whether a size is an error must not depend on the seed.
        shape = files.pixels(names[0]).shape
        images = np.empty((len(indices), *shape), dtype=np.uint8)
        for row, index in enumerate(indices.tolist()):
            pixels = files.pixels(names[index])
            if pixels.shape != shape:
                raise DataError(
                    f"All images in {files.root} must have one size, but {names[0]} is "
                    f"{_described(shape)} and {names[index]} is {_described(pixels.shape)}. Resize "
                    f"or convert them to the same."
                )
            images[row] = pixels
        return torch.from_numpy(images)

    targets = torch.tensor([number[label] for label in labels])
    return Source(f"{files.root} ({split})", targets, fetch)


def _described(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
