"""A learned schedule as an ordinary PyTorch scheduler."""

import contextlib
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..errors import check_name
from ._average import is_average
from ._averager import STATE, Averager
from ._free import is_free, refuse_settings
from ._ranges import whole
from ._rates import INITIAL, Given, decaying, note_ratios, ratio
from ._settings import (
    KNOWN,
    RATE,
    Setting,
    base,
    factor_name,
    has,
    put,
    refuse_twice,
    scaled_by,
    unknown,
    unshare,
)
from ._tables import Scheduled, reach, tables, unlike

SCALE, SAME = "scale", "same"
_OF_THIS_PROCESS = ("settings", "_plan", "_given", "_told", "_averager")  # not of the state


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
        refuse_settings(schedule.curves, names, optimizer)
        for name in (name for name in names if not is_average(name)):
            if not any(self._settings(name, optimizer, names)):
                raise ValueError(unknown(name, optimizer))
        total = whole("total_steps", total_steps)
        self.reach = reach(total, last_epoch + 1, remaining)  # first step, and length of its run
        self.tables = tables(schedule, names, *self.reach, judged)
        self.total_steps, last_epoch = (
            (total, last_epoch) if remaining is None else (int(remaining), -1)
        )
        self._averager = self._made_averager()
        self._told, self._plan = False, self._planned(optimizer)
        self._given = self._now(optimizer)
        for group in optimizer.param_groups:  # torch insists on it where steps have been taken
            group.setdefault(INITIAL, float(group[RATE]))
        super().__init__(optimizer, last_epoch)

    def _made_averager(self) -> Averager:
        begin, length = self.reach
        return Averager(self.tables, begin + 1, length)

    def _settings(
        self, name: str, optimizer: Optimizer, names: Collection[str]
    ) -> list[Setting | None]:
        """How to set what the schedule calls `name` in each group; None where it is not the group's.

        It is one thing in all of them: a momentum of some is not the first of the betas of others.
        """
        groups = optimizer.param_groups
        what, pattern = base(name)
        what = scaled_by(name, names) or what
        given = self.settings.get(what)
        choices = (*KNOWN.get(what, ()), what) if given is None else (given,)
        one = next((each for each in choices if any(has(group, each) for group in groups)), None)

        def is_of(own: str) -> bool:
            return pattern == own or not (pattern or f"{what}[{own}]" in names)

        fitting = (is_of(group.get("group", "")) and one and has(group, one) for group in groups)
        return [one if fits else None for fits in fitting]

    def _planned(self, optimizer: Optimizer) -> list[tuple[str, dict[str, Any], Setting, bool]]:
        """What is set where, and whether the group has its part of a common learning rate.

        Factors are set nowhere: they multiply what is.
        """
        unshare(optimizer)
        plan, decays = [], decaying(optimizer)
        rows = self.tables
        for name in (n for n in rows if not is_average(n) and scaled_by(n, rows) is None):
            each = zip(
                optimizer.param_groups, decays, self._settings(name, optimizer, rows), strict=True
            )
            for group, decaying_too, setting in each:
                if setting is not None and (decaying_too or name != "weight_decay"):
                    common = self.groups == SCALE and setting == RATE and not base(name)[1]
                    plan.append((name, group, setting, common))
        refuse_twice((name, group, setting) for name, group, setting, _ in plan)
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
            self.take_in()
        super().step(epoch)

    @property
    def averages(self) -> bool:
        """Whether the parameters to judge and keep are others than those that are trained."""
        return bool(self._averager.names) or is_free(self.optimizer)

    def take_in(self) -> None:
        """Average what this step has led to: for who counts steps elsewhere, before :meth:`move_to`."""
        self._averager.add(self.optimizer, self.last_epoch)
        optimizer: Any = self.optimizer
        if self.last_epoch == self.total_steps - 1 and is_free(optimizer):
            optimizer.eval()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """While it is entered, parameters are the averages that the schedule says, as to judge them.

        Where the schedule has no average, has not begun with it, or is done (its averages are then in
        the parameters), nothing changes. A schedule-free optimizer is put into evaluation and back.

        Raises:
            RuntimeError: A step inside.

        Example:
            >>> import torch
            >>> from nongreedy import Schedule
            >>> layer = torch.nn.Linear(1, 1, bias=False)
            >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.0)
            >>> schedule = Schedule.of(learning_rate=0.1, average_share=1.0)
            >>> scheduler = schedule.attach(sgd, total_steps=9)
            >>> with scheduler.averaged():
            ...     loss = layer(torch.ones(1))
        """
        optimizer: Any = self.optimizer
        free = is_free(optimizer) and any(g["train_mode"] for g in optimizer.param_groups)
        with self._averager.swapped():
            if free:
                optimizer.eval()
            try:
                yield
            finally:
                if free:
                    optimizer.train()

    def hold(self) -> None:
        """Set the values of this step again, for who cannot know what others did in between."""
        self._notice()
        self._set_values()

    def _notice(self) -> None:
        words = None if self._told else self._given.changed(self.optimizer.param_groups)
        if words is not None:
            self._told = True
            warnings.warn(words, stacklevel=3)

    def averages_state(self) -> dict[str, Any]:
        """The running averages, as plain values and tensors; :meth:`state_dict` has them, too."""
        return self._averager.state(self.optimizer)

    def move_to(self, step: int, averages: Mapping[str, Any] | None = None) -> None:
        """Be where `step` optimizer steps lead: for a run that is resumed, or counted elsewhere.

        Args:
            averages: What :meth:`averages_state` said there.

        Warns:
            UserWarning: No averages, where steps on the way count in them.
        """
        if averages is not None:
            self._averager.load(self.optimizer, averages)
        elif self._averager.lacks(step):
            words = "There are no averages of weights from before: they begin anew at step"
            warnings.warn(f"{words} {step} of {self.total_steps}.", stacklevel=3)
        self.last_epoch, self._step_count = step, step + 1
        self._last_lr = self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """Plain values; not how they are set, which may be functions."""
        rows = super().state_dict().items()
        state = {name: value for name, value in rows if name not in _OF_THIS_PROCESS}
        if self._averager.names:
            state[STATE] = self.averages_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was taken, also where the optimizer's was loaded before attaching.

        Warns:
            UserWarning: The state is of a run of another length, or of another schedule.
        """
        groups = self.optimizer.param_groups
        untouched = self._given.of(groups) and not self._given.changed(groups)
        state_dict = dict(state_dict)
        averages = state_dict.pop(STATE, None)
        if (words := unlike(state_dict, self.total_steps, self.reach, self.tables)) is not None:
            warnings.warn(words, stacklevel=2)
        super().load_state_dict(state_dict)
        self._averager = self._made_averager()
        if averages is not None:
            self._averager.load(self.optimizer, averages)
        self._plan = self._planned(self.optimizer)
        # Else the groups have what was loaded, or it is another scheduler's turn.
        if untouched:
            self._last_lr = self.get_lr()
        self._given = self._now(self.optimizer)
