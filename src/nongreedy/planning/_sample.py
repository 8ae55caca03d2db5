"""What was measured: the pieces that hypergradients are made of, on this task and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Median seconds of one call, and the most bytes that were held meanwhile.

    States that the sample itself kept are not among the bytes.
    """

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Storing:
    """Seconds of keeping one state and of having it again.

    Attributes:
        write, read: Of every step. In memory, what it takes to touch that of a state first.
        replay: Computing a step once more, where that is how a state is had again.
        refused: Why states cannot be kept so, else empty.
    """

    write: float = 0.0
    read: float = 0.0
    replay: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Core:
    """What a run and a sweep over stored states take.

    Attributes:
        steps: T of the whole run.
        parameters: P.
        state_bytes: Size of one state.
        step: A plain step.
        back: A step of the reverse sweep.
        look, look_back: Validation loss; the same with its gradient.
        stores: By the store's name, in order of preference.
    """

    steps: int
    parameters: int
    state_bytes: int
    step: Piece
    back: Piece
    look: Piece
    look_back: Piece
    stores: Mapping[str, Storing]


@dataclass(frozen=True)
class Integers:
    """What a reversible run takes.

    Attributes:
        step: In integers, its checksum included.
        undo: Of such a step.
        back: The step of the sweep that follows.
        limbs: Which the buffers spill over the whole run, 64 bits per parameter each.
        refused: Why there is none, else empty.
    """

    step: Piece = Piece(0.0, 0)
    undo: Piece = Piece(0.0, 0)
    back: Piece = Piece(0.0, 0)
    limbs: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Tangents:
    """What steps with tangents take.

    Attributes:
        started: Number of started tangents -> at how many steps of the run it is that.
        steps: Number of tangents -> a step that pushes so many; linear in between.
    """

    started: Mapping[int, int]
    steps: Mapping[int, Piece]
