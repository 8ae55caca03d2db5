"""The running average of the parameters of a ``torch.optim`` optimizer, as a schedule has it."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._average import INTERPOLATED, is_average, one_average, weights
from ._settings import base, factor_name

RATE = "learning_rate"
_FACTOR = base(factor_name(RATE, ""))[0]
STATE = "averages"  # key of it in the state of a scheduler


class Averager:
    """Averages the parameters of every group, and leaves the averages in them after the last step.

    Args:
        tables: Name -> the setting's value at each step that there will be; a group that has an entry
            of its own has that.
        first: Number of the first of these steps in its run, from 1.
        steps: Length of that run.

    Attributes:
        names: The entries of the schedule that average.
    """

    def __init__(self, tables: Mapping[str, list[float]], first: int, steps: int):
        self.names = [name for name in tables if is_average(name)]
        one_average(self.names)
        self._weights = dict[str, list[tuple[float, float]]]()
        self._mixing = dict[str, list[float]]()  # of schedule-free averages, how much is in y
        for name in self.names:
            pattern = base(name)[1]
            if base(name)[0] != INTERPOLATED:
                self._weights[pattern] = weights(name, tables[name], first, steps)
        if any(base(name)[0] == INTERPOLATED for name in self.names):
            self._weigh_by_rates(tables)
        self._held = dict.fromkeys(self._weights, 0.0)  # the weight of all that was averaged
        self._averages = dict[Tensor, Tensor]()  # of parameters for which it is another tensor
        self._ways = dict[Tensor, Tensor]()  # from schedule-free ones to the last weights
        self._swapped = False

    def _weigh_by_rates(self, tables: Mapping[str, list[float]]) -> None:
        """By those of each group that has its own of them, or its own interpolation."""
        if RATE not in tables:
            raise ValueError(
                f"The schedule has {INTERPOLATED}, which weighs by learning rates, but no {RATE}. Add it."
            )
        of = (RATE, INTERPOLATED)
        named = (base(name) for name in tables)
        for pattern in {"", *(own for what, own in named if what in (*of, _FACTOR))}:
            rates, mixing = (tables.get(f"{name}[{pattern}]", tables[name]) for name in of)
            factors = tables.get(factor_name(RATE, pattern), [1.0] * len(rates))
            rows = zip(rates, factors, strict=True)
            self._weights[pattern] = [(1.0, (rate * factor) ** 2) for rate, factor in rows]
            self._mixing[pattern] = mixing

    def lacks(self, step: int) -> bool:
        """Whether steps before this one count, but none was taken in."""
        counting = (any(weight for _, weight in rows[:step]) for rows in self._weights.values())
        return any(counting) and not any(self._held.values())

    @torch.no_grad()
    def add(self, optimizer: Optimizer, step: int) -> None:
        """Take in what an optimizer step has led to: the first of them is 0."""
        ends = {name: step == len(rows) - 1 for name, rows in self._weights.items()}
        if not ends or step >= len(next(iter(self._weights.values()))):
            return
        if self._swapped:
            raise RuntimeError(
                "The parameters are the averaged ones: take optimizer steps outside of "
                "`with scheduler.averaged()`."
            )
        kept, further = dict[str, float](), dict[str, bool]()
        for pattern, rows in self._weights.items():
            keep, weight = rows[step]
            old = keep * self._held[pattern]
            self._held[pattern] = total = old + weight
            kept[pattern] = old / total if total > 0 else 0.0
            further[pattern] = total > 0 and not ends[pattern] and rows[step + 1][0] > 0
        for group in optimizer.param_groups:
            own = group.get("group", "")
            pattern = own if own in kept else ""
            if pattern not in kept:
                continue
            for parameter in group["params"]:
                if pattern in self._mixing:
                    mixing = self._mixing[pattern][step]
                    self._interpolate(parameter, kept[pattern], mixing, ends[pattern])
                else:
                    self._mix(parameter, kept[pattern], further[pattern], ends[pattern])

    def _mix(self, parameter: Tensor, kept: float, further: bool, end: bool) -> None:
        average = self._averages.pop(parameter, None)
        if average is not None and kept:
            average.lerp_(_resolved(parameter), 1.0 - kept)
        else:
            average = _resolved(parameter).clone() if further else None
        if end and average is not None:
            parameter.copy_(average)
        elif average is not None:
            self._averages[parameter] = average

    def _interpolate(self, parameter: Tensor, kept: float, mixing: float, end: bool) -> None:
        """From what the optimizer made of y to the next y, or in the end to the average."""
        average, way = self._averages.pop(parameter, None), self._ways.pop(parameter, None)
        last = _resolved(parameter)
        last = last.clone() if way is None else last + way
        average = last.clone() if average is None else average.lerp_(last, 1.0 - kept)
        if end:
            parameter.copy_(average)
            return
        parameter.copy_(torch.lerp(last, average, mixing))
        self._averages[parameter], self._ways[parameter] = average, last.sub_(parameter)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """The averages in the parameters, and afterwards what was in them."""
        if self._swapped:  # they are already
            yield
            return
        trained = {parameter: parameter.detach().clone() for parameter in self._averages}
        _put(self._averages)
        self._swapped = True
        try:
            yield
        finally:
            self._swapped = False
            _put(trained)

    def state(self, optimizer: Optimizer) -> dict[str, Any]:
        """What goes on needs: place of a parameter among all -> its average, and what that holds."""
        if self._swapped:
            raise RuntimeError(
                "The parameters are the averaged ones, with which no training goes on: take the state "
                "outside of `with scheduler.averaged()`."
            )
        rows = enumerate(_parameters(optimizer))
        averages = {k: self._averages[p].clone() for k, p in rows if p in self._averages}
        rows = enumerate(_parameters(optimizer))
        ways = {k: self._ways[p].clone() for k, p in rows if p in self._ways}
        return {"held": dict(self._held), "of": averages, "ways": ways}

    def load(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        rows = list(_parameters(optimizer))
        self._held.update(state["held"])
        self._averages, self._ways = (
            {
                rows[k]: held.to(rows[k].device, _resolved(rows[k]).dtype, copy=True)
                for k, held in state[name].items()
            }
            for name in ("of", "ways")
        )


def _resolved(parameter: Tensor) -> Tensor:
    """In float32 at least: half precision does not resolve what a step adds to an average."""
    return parameter.to(torch.promote_types(parameter.dtype, torch.float32))


@torch.no_grad()
def _put(values: Mapping[Tensor, Tensor]) -> None:
    for parameter, value in values.items():
        parameter.copy_(value)


def _parameters(optimizer: Optimizer) -> Iterable[Any]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
