"""A learned schedule as an ordinary PyTorch scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._schedule import Schedule

_TINY = 5e-324


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, group["betas"][1])
    else:
        group["momentum"] = value


# Name -> (keys of which a parameter group must have one, how to set the value there).
_SETTERS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any], float], None]]] = {
    "learning_rate": (("lr",), lambda group, value: group.__setitem__("lr", value)),
    "momentum": (("momentum", "betas"), _set_momentum),
    "weight_decay": (
        ("weight_decay",),
        lambda group, value: group.__setitem__("weight_decay", value),
    ),
}


class ScheduleLR(LRScheduler):
    """Sets learning rate, momentum and weight decay of an optimizer from a :class:`Schedule`.

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
        for name in schedule.curves:
            keys, _ = _SETTERS.get(name, ((), None))
            if not any(key in group for key in keys for group in optimizer.param_groups):
                raise ValueError(
                    f"The schedule sets {name!r}, which {type(optimizer).__name__} does not have "
                    f"(its settings: {sorted(optimizer.defaults)}). Attach it to the kind of "
                    "optimizer it was learned with, such as torch.optim.SGD."
                )
        self.total_steps = int(total_steps)
        self.tables = {n: v.tolist() for n, v in schedule.values(self.total_steps).items()}
        if any(self.tables.get("momentum", ())):
            # At a momentum of exactly 0 torch.optim.SGD neither makes nor updates its buffer; the
            # smallest positive number keeps it up to date and multiplies it to zero all the same.
            self.tables["momentum"] = [value or _TINY for value in self.tables["momentum"]]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learning rate of each group at the current step; sets the other values as it goes."""
        position = min(self.last_epoch, self.total_steps - 1)
        for name, table in self.tables.items():
            for group in self.optimizer.param_groups:
                _SETTERS[name][1](group, table[position])
        return [group["lr"] for group in self.optimizer.param_groups]
