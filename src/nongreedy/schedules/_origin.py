"""The kind of optimizer that a schedule was learned with."""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

# Ours that are called as torch's, or as everybody calls them. Of strangers' nothing is known: their
# twins have names of their own.
_OURS = {"Lion", "Muon", "ScheduleFreeAdamW", "ScheduleFreeSGD"}
_KINDS = {"Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "SGD", *_OURS}
# Of the package schedulefree, by what they are called here.
_CALLED = {"AdamWScheduleFree": "ScheduleFreeAdamW", "SGDScheduleFree": "ScheduleFreeSGD"}


def foreign(settings: Mapping[str, Any], optimizer: Optimizer) -> str | None:
    """What to say where a schedule meets another kind of optimizer than its settings tell of.

    None where they tell of none, or where one of the two is not known.
    """
    learned, here = _learned_with(settings.get("optimizer")), _kind(type(optimizer))
    if learned is None or here is None or learned == here:
        return None
    twin = (
        f"nongreedy.{learned}().torch_optimizer(...)"
        if learned in _OURS
        else f"torch.optim.{learned}"
    )
    return (
        f"The schedule was learned with {learned} (its settings say so) and is attached to {here}, "
        f"for which rates and decays of {learned} mean something else. Attach it to {twin}, or learn "
        f"a schedule of {here}: nongreedy.tune(task, nongreedy.{here}())."
    )


def _learned_with(made: Any) -> str | None:
    while isinstance(made, Mapping) and "base" in made:  # groups, and whatever else goes around one
        made = made["base"]
    name = made.get("class") if isinstance(made, Mapping) else made
    name = name.partition("(")[0].strip() if isinstance(name, str) else None
    return name if name in _KINDS else None


def _kind(made: type) -> str | None:
    # The nearest: torch's AdamW is an Adam.
    names = (kind.__name__.removeprefix("Torch") for kind in made.__mro__)
    names = (_CALLED.get(name, name) for name in names)
    return next((name for name in names if name in _KINDS), None)
