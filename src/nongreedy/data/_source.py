"""Sources: examples that are counted and labelled now, and decoded only when they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError


@dataclass(frozen=True)
class Source:
    """Examples with targets that can be fetched by index.

    Attributes:
        name: Where they come from; quoted by errors.
        targets: Labels, int64, or real numbers, float64; shape ``(N,)``.
        fetch: Maps int64 indices of shape ``(n,)`` to fresh images ``(n, C, H, W)``, uint8 or
            floating, or rows ``(n, columns)``, float64. The units are the source's own: standardisation
            removes them.
    """

    name: str
    targets: Tensor
    fetch: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: Tensor) -> Source:
        """These examples alone, in this order; none is fetched yet."""
        return Source(self.name, self.targets[indices], lambda chosen: self.fetch(indices[chosen]))

    def split(self, size: int) -> tuple[Source, Source]:
        """The first `size` examples, and the others."""
        indices = torch.arange(len(self))
        return self.take(indices[:size]), self.take(indices[size:])


@dataclass(frozen=True)
class Parts:
    """What a reader gives: the splits that the source itself makes, and what is in them.

    Attributes:
        classes: Their names; none where targets are real numbers.
        columns: Of rows, name -> words, of which the rows have the numbers; None for images.
        target: What real targets are called.
        told: What the reader has to say of the columns, in sentences.
    """

    train: Source
    classes: tuple[str, ...]
    validation: Source | None = None
    test: Source | None = None
    columns: Mapping[str, tuple[str, ...]] | None = None
    target: str = ""
    told: tuple[str, ...] = ()

    def __post_init__(self):
        for source in (self.train, self.validation, self.test):
            if source is not None and self.classes:
                _check_labels(source, self.classes)
            elif source is not None:
                _check_numbers(source)

    @classmethod
    def of(cls, sources: Mapping[str, Source], classes: tuple[str, ...], **more: Any) -> Parts:
        """From the sources by their splits; a lone one is train."""
        if len(sources) == 1:
            sources = {"train": next(iter(sources.values()))}
        return cls(classes=classes, **sources, **more)


@contextmanager
def reading(what: Any, advice: str) -> Iterator[None]:
    """Say which file cannot be read, whatever a decoder raises: NumPy, Pillow and zip have many ways."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"Cannot read {what}: {error}. {advice}") from error


_HARMLESS, _RATIO = 2**30, 200  # bytes; times as many as packed: of pictures usual are 1 to 10


def unpacked_limit(packed: int) -> int:
    """How many bytes an archive of so many may hold."""
    return max(_HARMLESS, _RATIO * packed)


def check_unpacked(what: Any, packed: int, unpacked: int) -> None:
    """Raise DataError where a small archive would fill the memory."""
    if unpacked > unpacked_limit(packed):
        raise DataError(
            f"{what} has {packed} bytes and would unpack to {unpacked / 2**30:.1f} GiB or more, as only an "
            "archive does that is to fill a machine. If it is yours, unpack it by hand and give that."
        )


def stored(name: str, inputs: Tensor, targets: Tensor) -> Source:
    """Return a source whose inputs lie in memory already.

    Raises:
        DataError: If the numbers of inputs and targets differ.
    """
    if len(inputs) != len(targets):
        what = (
            "rows" if inputs.dim() == 2 else "images",
            "targets" if _real(targets) else "labels",
        )
        raise DataError(
            f"{name} holds {len(inputs)} {what[0]} but {len(targets)} {what[1]}. One of the two is "
            f"incomplete or belongs to another split: get it again."
        )
    targets = targets.double() if _real(targets) else targets.long()
    return Source(name, targets, lambda indices: inputs[indices])


def _real(targets: Tensor) -> bool:
    return targets.is_floating_point()


def _check_numbers(source: Source) -> None:
    """Raise ``DataError`` unless there are real targets, all finite."""
    wrong = int((~source.targets.isfinite()).sum())
    if wrong:
        raise DataError(
            f"{source.name} has targets that are NaN or infinite in {wrong} of {len(source)} examples. "
            "Leave these out."
        )


def _check_labels(source: Source, classes: tuple[str, ...]) -> None:
    """Raise ``DataError`` unless there are labels and each is the position of a class."""
    low, high = _range(source.name, source.targets)
    if low < 0 or high >= len(classes):
        raise DataError(
            f"{source.name} has labels from {low} to {high}, but with {len(classes)} classes "
            f"they must lie in 0..{len(classes) - 1}. Renumber them, for example with "
            f"np.unique(labels, return_inverse=True)."
        )


def counted_classes(name: str, sources: Iterable[Source]) -> tuple[str, ...]:
    """Name classes by number, ``("0", "1", ...)``, up to the largest label.

    Raises:
        DataError: If the largest label is so large that labels cannot be class numbers.
    """
    labels = torch.cat([source.targets for source in sources])
    _, high = _range(name, labels)
    if high >= len(labels):
        raise DataError(
            f"{name} has a label {high} but only {len(labels)} examples, so labels are not class "
            f"numbers. Renumber them, for example with np.unique(labels, return_inverse=True); numbers "
            "that are to be predicted as they are belong into an array of floats."
        )
    return tuple(str(number) for number in range(high + 1))


def _range(name: str, labels: Tensor) -> tuple[int, int]:
    if len(labels) == 0:
        raise DataError(f"{name} holds no examples. Point to a data set that is not empty.")
    return int(labels.min()), int(labels.max())
