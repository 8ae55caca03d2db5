"""Who follows the inner steps of a run or of a sweep, and may keep a state to go on from."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

OnStep = Callable[[int], None]
OnState = Callable[[int, Tensor], None]  # (t, s_t) before step t; what it raises ends the run
Parts = Mapping[str, Tensor | list[float]]


def ignore(step: int) -> None:
    """Report progress to nobody."""


class Progress:
    """Reports steps; keeps nothing, and nothing is gone on from.

    Before its loop an engine asks `begin` for what was kept. After each step it asks whether a state is
    `due`, which is cheap and mostly not so, and only then gathers it for `keep`. `what` names the loop;
    only the first of a run or sweep is kept.
    """

    def __init__(self, on_step: OnStep = ignore):
        self.on_step = on_step

    def __call__(self, step: int) -> None:
        self.on_step(step)

    def begin(self, what: str) -> dict[str, Any] | None:
        """What `keep` was given when the same loop was last kept: its step and its parts."""
        del what
        return None

    def due(self, what: str) -> bool:
        """Whether `keep` wants the state of this loop now."""
        del what
        return False

    def keep(self, what: str, step: int, parts: Parts) -> None:
        """The loop has `step` as its next step, and needs these parts to take it."""
        del what, step, parts


def progress_of(on_step: OnStep) -> Progress:
    """What a caller passed, or the progress that reports to a plain function."""
    return on_step if isinstance(on_step, Progress) else Progress(on_step)
