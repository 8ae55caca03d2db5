"""Data of the suite: each source is cut into a part for development and one that judges."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import nongreedy as ng

from .. import mnist

PARTS = ("development", "judged")
FOLDER, CACHE = Path("../shared/data"), Path("results/search-cache")

Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Split:
    """What a task trains on, what searches choose by, and what judges."""

    train: Examples
    validation: Examples
    test: Examples

    def shortened(self, **counts: int) -> Split:
        """The first so many examples of some of them."""
        parts = {name: getattr(self, name) for name in ("train", "validation", "test")}
        for name, count in counts.items():
            parts[name] = tuple(tensor[:count] for tensor in parts[name])
        return Split(**parts)


@dataclass(frozen=True)
class Data:
    """One part of every source.

    Args:
        part: One of :data:`PARTS`. No example of one is in the other.
        folder: Where MNIST, CIFAR-10 and the text lie.
        cache: Where decoded images and pretrained networks are kept; not where the data are.
    """

    part: str
    folder: Path = FOLDER
    cache: Path = CACHE

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"`part` must be one of {PARTS}, but got {self.part!r}.")

    @property
    def index(self) -> int:
        """0 for development, 1 for what judges."""
        return PARTS.index(self.part)

    def half(self, tensor: Tensor) -> Tensor:
        """This part's half of some examples, which lie in an order that means nothing."""
        size = len(tensor) // 2
        return tensor[self.index * size : (self.index + 1) * size]

    @functools.cached_property
    def digits(self) -> Split:
        """Half of scikit-learn's 1,797 images of 8x8 pixels: 400, 200 and 298."""
        loaded = ng.data.load("digits", validation=0.1, test=0.1)
        assert loaded.test is not None
        parts = (loaded.train, loaded.validation, loaded.test)
        x, y = (self.half(torch.cat(rows)) for rows in zip(*parts, strict=True))
        return _cut((x, y), 400, 200)

    @functools.cached_property
    def mnist(self) -> Split:
        """Half of the 10,000 t10k images of MNIST: 2,000, 1,000 and 2,000."""
        images, labels = mnist.read(self.folder / "mnist")
        order = self.half(mnist.shuffled(labels, seed=0))
        x, y = images[order], labels[order]
        mean, deviation = x[:2000].mean(), x[:2000].std()
        return _cut(((x - mean) / deviation, y), 2000, 1000)

    @functools.cached_property
    def cifar(self) -> Split:
        """6,000, 1,000 and 2,000 images of CIFAR-10, at 16x16 pixels; its own test images judge."""
        kept = self.kept("cifar-16.pt", lambda: _decoded(self.folder / "cifar10.zip"))
        return Split(*((self.half(x).float(), self.half(y)) for x, y in kept))

    @functools.cached_property
    def text(self) -> ng.data.Splits:
        """Half of Tiny Shakespeare, the first or the second, in sequences of 32 characters."""
        text = (self.folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
        middle = len(text) // 2
        half = text[middle:] if self.index else text[:middle]
        return ng.data.characters(half, context=32, validation=0.05, test=0.1)

    def kept(self, name: str, compute: Callable[[], Any]) -> Any:
        """What was computed once and is kept in the cache."""
        file = self.cache / name
        if not file.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            # Two processes may be here at once: each writes the same file, whole.
            beside = file.with_suffix(f".{os.getpid()}.tmp")
            torch.save(compute(), beside)
            beside.replace(file)
        return torch.load(file, weights_only=True)


def _decoded(archive: Path) -> list[Examples]:
    """Both parts at half the resolution, which quarters a run; half precision keeps the file small."""
    loaded = ng.data.load(
        archive, train_examples=12_000, validation_examples=2_000, test_examples=4_000
    )
    assert loaded.test is not None
    return [
        (functional.avg_pool2d(x, 2).half(), y)
        for x, y in (loaded.train, loaded.validation, loaded.test)
    ]


def _cut(examples: Examples, train: int, validation: int) -> Split:
    """The first to train on, the next to validate, the rest judges."""
    edges = [train, train + validation]
    x, y = (tensor.tensor_split(edges) for tensor in examples)
    return Split(*zip(x, y, strict=True))
