"""A learned schedule as an ordinary PyTorch scheduler."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._curve import Curve

_TINY = 5e-324

# How a value is set in a parameter group: the group's key, the key of a tuple and the place in it, or
# a function of the group and the value.
Setting = str | tuple[str, int] | Callable[[dict[str, Any], float], object]

# Names of this library -> the settings of torch's optimizers, of which the first that a group has
# decides. What is not listed is called in the groups as it is here.
_KNOWN: dict[str, tuple[Setting, ...]] = {
    "learning_rate": ("lr",),
    "adam_learning_rate": ("adam_lr",),
    "momentum": ("momentum", ("betas", 0)),
    "beta1": (("betas", 0),),
    "beta2": (("betas", 1),),
    "smoothing": ("alpha",),
    "epsilon": ("eps",),
}


class Scheduled(Protocol):
    """Whatever has curves by name, and their values: a :class:`Schedule`."""

    @property
    def curves(self) -> Mapping[str, Curve]: ...

    def values(self, total_steps: int, /) -> Mapping[str, Tensor]: ...


def _settable(value: object, kinds: tuple[type, ...] = (int, float, Tensor)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _has(group: Mapping[str, Any], setting: Setting) -> bool:
    if isinstance(setting, str):
        return _settable(group.get(setting))
    return not isinstance(setting, tuple) or _settable(group.get(setting[0]), (tuple, list))


def _set(group: dict[str, Any], setting: Setting, value: float) -> None:
    if isinstance(setting, str):
        group[setting] = value
    elif isinstance(setting, tuple):
        (key, place), entries = setting, list(group[setting[0]])
        entries[place] = value
        group[key] = tuple(entries)
    else:
        setting(group, value)


def _base(name: str) -> tuple[str, str]:
    """``("weight_decay", "*bias")`` of ``weight_decay[*bias]``."""
    base, _, pattern = name.removesuffix("]").partition("[")
    return base, pattern


def initial_weight_decays(optimizer: Optimizer) -> list[float]:
    """Each group's weight decay before any schedule set it: kept in the groups, as "initial_lr" is."""
    return [
        group.setdefault("initial_weight_decay", group["weight_decay"])
        if "weight_decay" in group
        else 0.0
        for group in optimizer.param_groups
    ]


def _decaying(optimizer: Optimizer) -> list[bool]:
    """Whether the common weight decay concerns each group: not where 0 sets it apart from others."""
    first = initial_weight_decays(optimizer)
    return [bool(decay) or not any(first) for decay in first]


class ScheduleLR(LRScheduler):
    """Sets learning rate, momentum, weight decay and the like from a :class:`Schedule`.

    Made by :meth:`Schedule.attach`. Step it once after each ``optimizer.step()``.

    Args:
        optimizer: Any ``torch.optim`` optimizer whose groups hold the scheduled settings.
        schedule: The learned schedule.
        total_steps: Length of this run in optimizer steps, whatever the length it was learned on.
        last_epoch: Number of steps already taken, minus one, as in ``torch.optim.lr_scheduler``.
        settings: As in :meth:`Schedule.attach`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Scheduled,
        total_steps: int,
        last_epoch: int = -1,
        settings: Mapping[str, Setting] | None = None,
    ):
        self.settings = dict(settings or {})
        names = [n for n, curve in schedule.curves.items() if curve.owner == "optimizer"]
        for name in names:
            if not any(self._setting(name, group, names) for group in optimizer.param_groups):
                raise ValueError(_unknown(name, optimizer))
        self.total_steps = int(total_steps)
        values = schedule.values(self.total_steps)
        self.tables = {name: values[name].tolist() for name in names}
        for name, table in self.tables.items():
            if _base(name)[0] == "momentum" and any(table):
                # At a momentum of exactly 0 torch.optim.SGD and RMSprop neither make nor update
                # their buffer; the smallest positive number keeps it up to date and multiplies it to
                # zero all the same.
                self.tables[name] = [value or _TINY for value in table]
        super().__init__(optimizer, last_epoch)

    def _setting(
        self, name: str, group: Mapping[str, Any], names: Collection[str]
    ) -> Setting | None:
        """How to set what the schedule calls `name` in this group; None where it is not the group's."""
        (base, pattern), own = _base(name), group.get("group", "")
        if pattern != own and (pattern or f"{base}[{own}]" in names):
            return None
        setting = self.settings.get(base)
        choices = (*_KNOWN.get(base, ()), base) if setting is None else (setting,)
        return next((setting for setting in choices if _has(group, setting)), None)

    def get_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learning rate of each group at the current step; sets the other values as it goes."""
        position = min(self.last_epoch, self.total_steps - 1)
        decaying = _decaying(self.optimizer)
        for name, table in self.tables.items():
            for group, decays in zip(self.optimizer.param_groups, decaying, strict=True):
                setting = self._setting(name, group, self.tables)
                if setting is not None and (decays or name != "weight_decay"):
                    _set(group, setting, table[position])
        return [group["lr"] for group in self.optimizer.param_groups]

    def move_to(self, step: int) -> None:
        """Be where `step` optimizer steps lead: for a run that is resumed, or counted elsewhere."""
        self.last_epoch, self._step_count = step, step + 1
        self._last_lr = list(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """Plain values; not how they are set, which may be functions."""
        return {name: value for name, value in super().state_dict().items() if name != "settings"}


def _unknown(name: str, optimizer: Optimizer) -> str:
    kind, (base, pattern) = type(optimizer).__name__, _base(name)
    if pattern:
        return (
            f"The schedule sets {name!r} of a parameter group that this {kind} does not have. Give "
            "it `optimizer.torch_groups(model.named_parameters())` of the Grouped optimizer that the "
            "schedule was learned with."
        )
    have = sorted(
        {
            key
            for group in optimizer.param_groups
            for key, value in group.items()
            if key != "params" and _settable(value, (int, float, Tensor, tuple, list))
        }
    )
    return (
        f"The schedule sets {name!r}, which {kind} does not have (its groups have {have}). Attach it "
        "to the kind of optimizer it was learned with, such as torch.optim.SGD. Or say what it sets: "
        f"attach(..., settings={{{base!r}: key}}), where the key is one of the groups', or (key, "
        "place) for one number of a tuple, or a function of the group and the value. A "
        "nongreedy.Optimizer says the same in its `torch_settings`."
    )
