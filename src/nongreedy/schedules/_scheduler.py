"""A learned schedule as an ordinary PyTorch scheduler."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._schedule import Schedule

_TINY = 5e-324


Setter = Callable[[dict[str, Any], float], None]


def _plain(key: str) -> Setter:
    return lambda group, value: group.__setitem__(key, value)


def _beta(position: int) -> Setter:
    def set_beta(group: dict[str, Any], value: float) -> None:
        betas = list(group["betas"])
        betas[position] = value
        group["betas"] = tuple(betas)

    return set_beta


# Name -> the keys of which a parameter group must have one, the first that it has decides, and how
# to set the value there.
_SETTERS: dict[str, dict[str, Setter]] = {
    "learning_rate": {"lr": _plain("lr")},
    "adam_learning_rate": {"adam_lr": _plain("adam_lr")},
    "momentum": {"momentum": _plain("momentum"), "betas": _beta(0)},
    "beta1": {"betas": _beta(0)},
    "beta2": {"betas": _beta(1)},
    "smoothing": {"alpha": _plain("alpha")},
    "epsilon": {"eps": _plain("eps")},
    "weight_decay": {"weight_decay": _plain("weight_decay")},
}


def _setter(name: str, group: dict[str, Any], names: Collection[str]) -> Setter | None:
    """How to set what the schedule calls `name` in this group; None where it does not concern it."""
    base, _, pattern = name.removesuffix("]").partition("[")
    own = group.get("group", "")
    if pattern != own and (pattern or f"{base}[{own}]" in names):
        return None
    return next((how for key, how in _SETTERS.get(base, {}).items() if key in group), None)


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


def _unknown(name: str, optimizer: Optimizer) -> str:
    if "[" in name:
        return (
            f"The schedule sets {name!r} of a parameter group that this {type(optimizer).__name__} "
            "does not have. Give it `optimizer.torch_groups(model.named_parameters())` of the "
            "Grouped optimizer that the schedule was learned with."
        )
    return (
        f"The schedule sets {name!r}, which {type(optimizer).__name__} does not have "
        f"(its settings: {sorted(optimizer.defaults)}). Attach it to the kind of optimizer it was "
        "learned with, such as torch.optim.SGD."
    )


class ScheduleLR(LRScheduler):
    """Sets learning rate, momentum, weight decay and the like from a :class:`Schedule`.

    Made by :meth:`Schedule.attach`. Step it once after each ``optimizer.step()``.

    Args:
        optimizer: Any ``torch.optim`` optimizer whose groups hold the scheduled settings.
        schedule: The learned schedule.
        total_steps: Length of this run in optimizer steps, whatever the length it was learned on.
        last_epoch: Number of steps already taken, minus one, as in ``torch.optim.lr_scheduler``.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Schedule, total_steps: int, last_epoch: int = -1
    ):
        schedule = Schedule({n: c for n, c in schedule.curves.items() if c.owner == "optimizer"})
        for name in schedule.curves:
            if not any(_setter(name, group, schedule.curves) for group in optimizer.param_groups):
                raise ValueError(_unknown(name, optimizer))
        self.total_steps = int(total_steps)
        self.tables = {n: v.tolist() for n, v in schedule.values(self.total_steps).items()}
        for name, table in self.tables.items():
            if name.startswith("momentum") and any(table):
                # At a momentum of exactly 0 torch.optim.SGD and RMSprop neither make nor update
                # their buffer; the smallest positive number keeps it up to date and multiplies it to
                # zero all the same.
                self.tables[name] = [value or _TINY for value in table]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learning rate of each group at the current step; sets the other values as it goes."""
        position = min(self.last_epoch, self.total_steps - 1)
        decaying = _decaying(self.optimizer)
        for name, table in self.tables.items():
            for group, decays in zip(self.optimizer.param_groups, decaying, strict=True):
                setter = _setter(name, group, self.tables)
                if setter is not None and (decays or name != "weight_decay"):
                    setter(group, table[position])
        return [group["lr"] for group in self.optimizer.param_groups]

    def move_to(self, step: int) -> None:
        """Be where `step` optimizer steps lead: for a run that is resumed, or counted elsewhere."""
        self.last_epoch, self._step_count = step, step + 1
        self._last_lr = list(self.get_lr())
