"""Which hyperparameters a search has left where they were, and why."""

from collections.abc import Iterable

import torch
from torch import Tensor

from ...schedules import Hyperparameter, Schedule
from ._model_state import ModelState

_UNHELD = "what lowered the loss in the search did not on fresh seeds"


def unmoved(state: ModelState, start: Schedule, chosen: Schedule) -> dict[str, str]:
    """Name -> the reason, of those that have the values of the start."""
    found = dict[str, str]()
    for name, hyper in state.hyperparameters.items():
        if name not in start.curves or name not in chosen.curves:
            continue
        if torch.equal(start[name], chosen[name]):
            part = state.space.slices[name]
            slopes = [o.slope[part] for o in state.observations if o.slope is not None]
            tried = any(not torch.equal(one[name], chosen[name]) for one in state.contenders)
            found[name] = _UNHELD if tried else _reason(slopes, hyper, chosen[name])
    return found


def _reason(slopes: Iterable[Tensor], hyper: Hyperparameter, values: Tensor) -> str:
    rows = list(slopes)
    if hyper.free:
        return "runs to both sides were no better, or none was affordable"
    if not rows:
        return "not differentiated: the budget is too small"
    told = torch.stack(rows)
    if not bool(told.any()):
        return "no effect on the loss at these values: every hypergradient is 0"
    mean = told.mean(0)
    if bool(hyper.blocked(values, mean).all()):
        return "at a bound, beyond which hypergradients point"
    if len(rows) > 1:
        error = told.std(0) / len(rows) ** 0.5
        if bool((mean.abs() <= error).all()):
            return f"hypergradients of {len(rows)} seeds do not agree"
    return "no move lowered the loss by more than the noise"
