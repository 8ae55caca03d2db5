"""What each parameter group makes of the common learning rate, and whether others set it, too."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ._settings import RATE

Group = dict[str, Any]

# Kept in the groups, so that the state of an optimizer has them: torch's own name of a group's rate
# before any scheduler set it, and what the common rate was when the group had it.
INITIAL, REFERENCE = "initial_lr", "reference_lr"


def note_ratios(groups: Sequence[Group], default: Any) -> None:
    """Note, of groups that are seen for the first time, how their rate compares with the common one.

    At first that is the largest of theirs. A group that comes later has had its rate from someone
    who saw those of the others, or else the optimizer's default, as the first groups may have.
    """
    new = [group for group in groups if REFERENCE not in group]
    known = [group for group in groups if REFERENCE in group]
    late = [group for group in new if known and INITIAL not in group]
    for group in new:
        group[INITIAL] = float(group.get(INITIAL, group[RATE]))
    begun = known[0][REFERENCE] if known else max((group[INITIAL] for group in new), default=0.0)
    for group in new:
        group[REFERENCE] = begun
    for group in late:
        if default is None or group[INITIAL] != float(default):
            group[REFERENCE] = _common_rate(known) or begun


def ratio(group: Group) -> float:
    """The group's part of the common rate; 1 where no group had a rate."""
    return group[INITIAL] / group[REFERENCE] if group[REFERENCE] else 1.0


def _common_rate(known: Sequence[Group]) -> float:
    """What a group of ratio 1 has now."""
    rates = (float(group[RATE]) / part for group in known if (part := ratio(group)))
    return next((rate for rate in rates if rate), 0.0)


def rate_of(group: Group) -> float | None:
    """The learning rate of a group; None where it has none, or reading it is to wait for a device."""
    rate = group.get(RATE)
    if isinstance(rate, Tensor) and rate.device.type != "cpu":
        return None
    return None if rate is None else float(rate)


class Given:
    """The rates that a schedule has set, to see whether they are still there.

    A group that came of a loaded state is another one: what it has is nobody's meddling.

    Args:
        groups: Of the optimizer, as they are now.
        sets: Whether the schedule sets the rate of a group.
    """

    def __init__(self, groups: Sequence[Group], sets: Callable[[Group], bool]):
        self.rows = [(group, rate_of(group) if sets(group) else None) for group in groups]

    def of(self, groups: Sequence[Group]) -> bool:
        """Whether these are the groups."""
        pairs = zip(self.rows, groups, strict=False)
        return len(self.rows) == len(groups) and all(mine is other for (mine, _), other in pairs)

    def changed(self, groups: Sequence[Group]) -> str | None:
        """What to say where somebody else has set one."""
        for number, ((mine, given), group) in enumerate(zip(self.rows, groups, strict=False)):
            found = rate_of(group)
            if mine is group and given != found and None not in (given, found):
                return (
                    f"The learning rate of parameter group {number} is {found:g}, where the schedule "
                    f"had set {given:g}: another scheduler or callback, or the training loop, sets it "
                    "as well. The schedule sets it again at each of its steps. Leave out one of the "
                    "two; or let one follow the other, as torch.optim.lr_scheduler.SequentialLR does."
                )
        return None


def initial_weight_decays(optimizer: Optimizer) -> list[float]:
    """Each group's weight decay before any schedule set it: kept in the groups, as "initial_lr" is."""
    return [
        group.setdefault("initial_weight_decay", float(group["weight_decay"] or 0.0))
        if "weight_decay" in group
        else 0.0
        for group in optimizer.param_groups
    ]


def decaying(optimizer: Optimizer) -> list[bool]:
    """Whether the common weight decay concerns each group: not where 0 sets it apart from others.

    Decided when a group is first seen: one that comes later does not set the others apart.
    """
    first = initial_weight_decays(optimizer)
    return [
        group.setdefault("has_weight_decay", bool(decay) or not any(first))
        for group, decay in zip(optimizer.param_groups, first, strict=True)
    ]
