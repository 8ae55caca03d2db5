"""The values that a scheduler sets: of a whole run, or of the end that remains of it."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from ._curve import Curve
from ._ranges import out_of_range, whole
from ._settings import base

_TINY = 5e-324
_LONGEST = 10**8  # steps of a run whose end is all that is wanted of it


class Scheduled(Protocol):
    """Whatever has curves by name, and their values: a :class:`Schedule`."""

    @property
    def curves(self) -> Mapping[str, Curve]: ...

    def values(self, total_steps: int, /) -> Mapping[str, Tensor]: ...


def reach(total: int, first: int, remaining: int | None) -> tuple[int, int]:
    """Where the values begin, and the length of the run that they are of."""
    if remaining is None:
        return 0, total
    length = _stretched(total, first, whole("remaining", remaining))
    return length - remaining, length


def tables(
    schedule: Scheduled, names: list[str], begin: int, length: int, judged: bool
) -> dict[str, list[float]]:
    """Each name's values, of the whole run or of the end that remains of it."""
    values = schedule.values(length)
    for name in names:
        if not judged and (words := out_of_range(name, values[name], "step")):
            raise ValueError(words)
    return {name: _kept_up(name, values[name][begin:].tolist()) for name in names}


def unlike(
    state: Mapping[str, Any], total: int, reach: tuple[int, int], tables: Mapping[str, list[float]]
) -> str | None:
    """What to say of a state that goes on otherwise than its scheduler was attached to."""
    if (theirs := state.get("total_steps")) != total:
        what, ours = f"a run of {theirs} steps", f"one with total_steps={total}"
    elif tuple(state.get("reach", ())) == reach and state.get("tables") != tables:
        what, ours = "another schedule", "this one"
    else:
        return None
    return (
        f"The state is of {what}, which goes on, while the scheduler was attached to {ours}. To change "
        f"over, attach(..., from_step={state.get('last_epoch')}) without loading the scheduler's state."
    )


def _stretched(total: int, first: int, remaining: int) -> int:
    """How long a run is of which the part that is left after step `first` has `remaining` steps."""
    left = total - first
    if left < 1:
        raise ValueError(
            f"After step {first} of {total} nothing of the schedule is left to be stretched over "
            f"remaining={remaining} steps: leave `remaining` out, so that the last values stay, or "
            "give an earlier `from_step`."
        )
    length = round(remaining * total / left)
    if length > _LONGEST:
        raise ValueError(
            f"The last {left} of {total} steps, stretched to remaining={remaining}, are the end of a "
            f"run of {length} steps, above {_LONGEST}: leave `remaining` out, so that the last values "
            "stay, or give an earlier `from_step`."
        )
    return length


def _kept_up(name: str, table: list[float]) -> list[float]:
    """At a momentum of exactly 0 torch.optim.SGD and RMSprop neither make nor update their buffer; the
    smallest positive number keeps it up to date and multiplies it to zero all the same."""
    if base(name)[0] == "momentum" and any(table):
        return [value or _TINY for value in table]
    return table
