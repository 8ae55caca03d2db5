"""What a schedule was learned with: the kind of optimizer, the length of runs."""

from collections.abc import Mapping
from typing import Any

# Ours that are called as torch's, or as everybody calls them. Of strangers' nothing is known: their
# twins have names of their own.
_OURS = {"Lion", "Muon", "ScheduleFreeAdamW", "ScheduleFreeSGD"}
_KINDS = {"Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "SGD", *_OURS}
_FAR = 3  # times as long, or as short, as the runs that it was learned in
# Of the package schedulefree, by what they are called here.
_CALLED = {"AdamWScheduleFree": "ScheduleFreeAdamW", "SGDScheduleFree": "ScheduleFreeSGD"}


def check_kind(settings: Mapping[str, Any], optimizer: Any, strict: bool) -> None:
    """Refuse what is no optimizer and, if `strict`, another kind than a schedule's settings tell of.

    Where they tell of none, or where one of the two is not known, nothing is refused.

    Raises:
        TypeError: A model, a list of optimizers, or one of this library.
        ValueError: Another kind of optimizer.
    """
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"A schedule is attached to an optimizer of torch.optim, one at a time, but got "
            f"{type(optimizer).__name__}. Make one, such as torch.optim.SGD(model.parameters(), lr=0.1)."
        )
    learned, here = _learned_with(settings.get("optimizer")), _kind(type(optimizer))
    if not strict or learned is None or here is None or learned == here:
        return
    twin = (
        f"nongreedy.{learned}().torch_optimizer(...)"
        if learned in _OURS
        else f"torch.optim.{learned}"
    )
    raise ValueError(
        f"The schedule was made for {learned} (its settings say so), but this optimizer is {here}, for "
        f"which rates and decays of {learned} mean something else. Attach it to {twin}, or learn a "
        f"schedule of {here}: nongreedy.tune(task, nongreedy.{here}()). To insist, pass strict=False."
    )


def far_from(settings: Mapping[str, Any], total_steps: int) -> str | None:
    """What to say where a run is far longer or shorter than those that a schedule was learned in."""
    steps = settings.get("steps")
    if not isinstance(steps, int) or steps < 1 or steps / _FAR < total_steps < steps * _FAR:
        return None
    return (
        f"The schedule was learned in runs of {steps} steps, and this one has total_steps={total_steps}: "
        "how high and how fast a learning rate should fall differs by length. If these are epochs, give "
        f"steps of the optimizer. Else search on from here, nongreedy.tune(..., steps={total_steps}, "
        "start=schedule), or pass strict=False to insist."
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
