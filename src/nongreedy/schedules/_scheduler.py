"""A learned schedule as an ordinary PyTorch scheduler."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..errors import check_name
from ._curve import Curve
from ._ranges import out_of_range, whole
from ._rates import INITIAL, Given, decaying, note_ratios, ratio
from ._settings import (
    KNOWN,
    RATE,
    Setting,
    base,
    factor_name,
    has,
    put,
    scaled_by,
    unknown,
    unshare,
)

_TINY = 5e-324
_LONGEST = 10**8  # steps of a run whose end is all that is wanted of it

SCALE, SAME = "scale", "same"
_OF_THIS_PROCESS = ("settings", "_plan", "_given", "_told")  # not of the state


class Scheduled(Protocol):
    """Whatever has curves by name, and their values: a :class:`Schedule`."""

    @property
    def curves(self) -> Mapping[str, Curve]: ...

    def values(self, total_steps: int, /) -> Mapping[str, Tensor]: ...


class ScheduleLR(LRScheduler):
    """Sets learning rate, momentum, weight decay and the like from a :class:`Schedule`.

    Made by :meth:`Schedule.attach`. Step it once after each ``optimizer.step()``. Its state and the
    optimizer's may be loaded in any order, before or after the optimizer's.

    Args:
        optimizer: Any ``torch.optim`` optimizer whose groups hold the scheduled settings.
        schedule: The learned schedule.
        total_steps: Length of this run in optimizer steps, whatever the length it was learned on.
        last_epoch: Number of steps already taken, minus one, as in ``torch.optim.lr_scheduler``.
        settings, groups, remaining: As in :meth:`Schedule.attach`.
        judged: Whether a schedule is trained with whatever it holds, in order to be judged: one that a
            search proposed may have a negative learning rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Scheduled,
        total_steps: int,
        last_epoch: int = -1,
        settings: Mapping[str, Setting] | None = None,
        groups: str = SCALE,
        remaining: int | None = None,
        judged: bool = False,
    ):
        check_name("groups", groups, (SCALE, SAME))
        self.settings, self.groups = dict(settings or {}), groups
        names = [n for n, curve in schedule.curves.items() if curve.owner == "optimizer"]
        for name in names:
            if not any(self._setting(name, group, names) for group in optimizer.param_groups):
                raise ValueError(unknown(name, optimizer))
        total = whole("total_steps", total_steps)
        self.tables = _tables(schedule, names, total, last_epoch + 1, remaining, judged)
        self.total_steps, last_epoch = (
            (total, last_epoch) if remaining is None else (int(remaining), -1)
        )
        self._told, self._plan = False, self._planned(optimizer)
        self._given = self._now(optimizer)
        for group in optimizer.param_groups:  # torch insists on it where steps have been taken
            group.setdefault(INITIAL, float(group[RATE]))
        super().__init__(optimizer, last_epoch)

    def _setting(
        self, name: str, group: Mapping[str, Any], names: Collection[str]
    ) -> Setting | None:
        """How to set what the schedule calls `name` in this group; None where it is not the group's."""
        (what, pattern), own = base(name), group.get("group", "")
        what = scaled_by(name, names) or what
        if pattern != own and (pattern or f"{what}[{own}]" in names):
            return None
        setting = self.settings.get(what)
        choices = (*KNOWN.get(what, ()), what) if setting is None else (setting,)
        return next((setting for setting in choices if has(group, setting)), None)

    def _planned(self, optimizer: Optimizer) -> list[tuple[str, dict[str, Any], Setting, bool]]:
        """What is set where, and whether the group has its part of a common learning rate.

        Factors are set nowhere: they multiply what is.
        """
        unshare(optimizer)
        plan, decays = [], decaying(optimizer)
        for name in (name for name in self.tables if scaled_by(name, self.tables) is None):
            for group, decaying_too in zip(optimizer.param_groups, decays, strict=True):
                setting = self._setting(name, group, self.tables)
                if setting is not None and (decaying_too or name != "weight_decay"):
                    common = self.groups == SCALE and setting == RATE and not base(name)[1]
                    plan.append((name, group, setting, common))
        note_ratios([group for _, group, _, common in plan if common], optimizer.defaults.get(RATE))
        return plan

    def _now(self, optimizer: Optimizer) -> Given:
        rated = {id(group) for _, group, setting, _ in self._plan if setting == RATE}
        return Given(optimizer.param_groups, lambda group: id(group) in rated)

    def _set_values(self) -> None:
        """What the schedule has at this step, in every group."""
        if not self._given.of(self.optimizer.param_groups):  # some were added, or all were loaded
            self._plan = self._planned(self.optimizer)
        position = min(max(self.last_epoch, 0), self.total_steps - 1)
        for name, group, setting, common in self._plan:
            part = ratio(group) if common else 1.0
            factor = self.tables.get(factor_name(name, group.get("group", "")))
            part *= 1.0 if factor is None else factor[position]
            put(group, setting, self.tables[name][position] * part)
        self._given = self._now(self.optimizer)

    def get_lr(self) -> list[Any]:
        """Learning rate of each group at the current step; sets the other values as it goes."""
        self._set_values()
        found = (group[RATE] for group in self.optimizer.param_groups)
        return [rate.clone() if isinstance(rate, Tensor) else rate for rate in found]

    def step(self, epoch: int | None = None) -> None:
        """Set the values of the next step; warns, once, where another hand has changed the rates."""
        first = not self._step_count  # anew, in a sequence of schedulers
        if epoch is None and not first:
            self._notice()
        super().step(epoch)

    def hold(self) -> None:
        """Set the values of this step again, for who cannot know what others did in between."""
        self._notice()
        self._set_values()

    def _notice(self) -> None:
        words = None if self._told else self._given.changed(self.optimizer.param_groups)
        if words is not None:
            self._told = True
            warnings.warn(words, stacklevel=3)

    def move_to(self, step: int) -> None:
        """Be where `step` optimizer steps lead: for a run that is resumed, or counted elsewhere."""
        self.last_epoch, self._step_count = step, step + 1
        self._last_lr = self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """Plain values; not how they are set, which may be functions."""
        state = super().state_dict()
        return {name: value for name, value in state.items() if name not in _OF_THIS_PROCESS}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was taken, also where the optimizer's was loaded before attaching."""
        groups = self.optimizer.param_groups
        untouched = self._given.of(groups) and not self._given.changed(groups)
        super().load_state_dict(state_dict)
        self._plan = self._planned(self.optimizer)
        # Else the groups have what was loaded, or it is another scheduler's turn.
        if untouched:
            self._last_lr = self.get_lr()
        self._given = self._now(self.optimizer)


def _tables(
    schedule: Scheduled,
    names: list[str],
    total: int,
    first: int,
    remaining: int | None,
    judged: bool,
) -> dict[str, list[float]]:
    """Each name's values, of the whole run or of the end that remains of it."""
    length, begin = total, 0
    if remaining is not None:
        length = _stretched(total, first, whole("remaining", remaining))
        begin = length - remaining
    values = schedule.values(length)
    for name in names:
        if not judged and (words := out_of_range(name, values[name], "step")):
            raise ValueError(words)
    return {name: _kept_up(name, values[name][begin:].tolist()) for name in names}


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
