"""What is chosen: a kernel, an expansion and squeeze-and-excitation for each layer, or none of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import is_whole

FORMAT = "nongreedy.architecture"


@dataclass(frozen=True, order=True)
class Choice:
    """A layer that is there.

    Attributes:
        kernel: Of its depthwise convolution, in pixels.
        expansion: Channels inside per channel of its input.
        squeeze: Whether it has squeeze-and-excitation.
    """

    kernel: int
    expansion: float
    squeeze: bool = False

    def __str__(self) -> str:
        return f"k{self.kernel} e{self.expansion:g}{' se' if self.squeeze else ''}"


@dataclass(frozen=True)
class Architecture:
    """One choice per searched layer, None where the layer is skipped. Comparable and hashable.

    Example:
        >>> found = Architecture((Choice(3, 6), None))
        >>> Architecture.from_json(found.to_json()) == found
        True
        >>> print(found)
        k3 e6 | skip
    """

    choices: tuple[Choice | None, ...]

    def __str__(self) -> str:
        return " | ".join("skip" if each is None else str(each) for each in self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def to_json(self) -> dict[str, Any]:
        layers = [each and asdict(each) for each in self.choices]
        return {"format": FORMAT, "version": 1, "layers": layers}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Architecture:
        """What :meth:`to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        if content.get("format") != FORMAT or content.get("version") != 1:
            raise ValueError(f"This is no architecture of version 1: {str(content)[:80]}.")
        return cls(tuple(each and Choice(**each) for each in content["layers"]))

    def replaced(self, layer: int, choice: Choice | None) -> Architecture:
        """The same with another choice for one layer."""
        return Architecture((*self.choices[:layer], choice, *self.choices[layer + 1 :]))


@dataclass(frozen=True)
class LayerOptions:
    """What one layer may choose from, and the bits that say it.

    The bits are nested: first those of the kernels but the smallest, then those of the expansions but
    the smallest, then squeeze-and-excitation where it is searched, then whether there is a layer.

    Attributes:
        kernels: Odd, rising.
        expansions: Rising.
        squeezes: Of (False,), (True,), (False, True).
        skippable: Whether the layer may be left out.

    Raises:
        ValueError: Options that are empty, even, or do not rise.

    Example:
        >>> options = LayerOptions((3, 5), (3, 6), skippable=True)
        >>> options.encode(Choice(5, 3)), options.decode((1, 0, 1))
        ((1, 0, 1), Choice(kernel=5, expansion=3, squeeze=False))
    """

    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[float, ...] = (3, 6)
    squeezes: tuple[bool, ...] = (False,)
    skippable: bool = False

    def __post_init__(self) -> None:
        odd = all(is_whole(kernel) and kernel % 2 for kernel in self.kernels)
        if not (odd and _rising(self.kernels)):
            raise ValueError(
                f"`kernels` must be odd whole numbers that rise, but got {self.kernels!r}."
            )
        if not (_rising(self.expansions) and self.expansions[0] > 0):
            raise ValueError(
                f"`expansions` must be positive and rise, but got {self.expansions!r}."
            )
        if self.squeezes not in ((False,), (True,), (False, True)):
            raise ValueError(
                f"`squeezes` must be (False,), (True,) or (False, True), but got {self.squeezes!r}."
            )

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the bits, in order."""
        squeeze = ["squeeze"] if len(self.squeezes) == 2 else []
        return (
            *(f"kernel {kernel}" for kernel in self.kernels[1:]),
            *(f"expansion {expansion:g}" for expansion in self.expansions[1:]),
            *squeeze,
            *(["layer"] if self.skippable else []),
        )

    def split(self, bits: Iterable[Any]) -> tuple[list[Any], list[Any], Any, Any]:
        """Bits of kernels, of expansions, of squeeze-and-excitation and of the layer; None where there
        is no such bit."""
        rest = list(bits)
        kernels, rest = rest[: len(self.kernels) - 1], rest[len(self.kernels) - 1 :]
        widths, rest = rest[: len(self.expansions) - 1], rest[len(self.expansions) - 1 :]
        squeeze = rest.pop(0) if len(self.squeezes) == 2 else None
        return kernels, widths, squeeze, rest.pop(0) if self.skippable else None

    def choices(self) -> list[Choice | None]:
        """All of them, the smallest first."""
        found = [
            Choice(*c) for c in itertools.product(self.kernels, self.expansions, self.squeezes)
        ]
        return [*([None] if self.skippable else []), *found]

    def largest(self) -> Choice:
        return Choice(self.kernels[-1], self.expansions[-1], self.squeezes[-1])

    def encode(self, choice: Choice | None) -> tuple[int, ...]:
        """The bits of a choice; all zero where the layer is skipped.

        Raises:
            ValueError: It is none of the options.
        """
        if choice not in self.choices():
            options = ", ".join("skip" if each is None else str(each) for each in self.choices())
            said = "skip" if choice is None else str(choice)
            raise ValueError(f"This layer cannot choose {said}. Its options are: {options}.")
        if choice is None:
            return (0,) * len(self.gates)
        return (
            *(int(choice.kernel >= kernel) for kernel in self.kernels[1:]),
            *(int(choice.expansion >= expansion) for expansion in self.expansions[1:]),
            *([int(choice.squeeze)] if len(self.squeezes) == 2 else []),
            *([1] if self.skippable else []),
        )

    def decode(self, bits: Iterable[float]) -> Choice | None:
        """The choice of these bits, by the nesting: a bit counts where all before it of its kind do."""
        kernels, widths, squeeze, layer = self.split([float(bit) >= 0.5 for bit in bits])
        if layer is False:
            return None
        return Choice(
            self.kernels[_leading(kernels)],
            self.expansions[_leading(widths)],
            self.squeezes[0] if squeeze is None else squeeze,
        )


def _leading(bits: Sequence[bool]) -> int:
    return sum(1 for _ in itertools.takewhile(bool, bits))


def _rising(values: Sequence[float]) -> bool:
    return bool(values) and all(a < b for a, b in itertools.pairwise(values))
