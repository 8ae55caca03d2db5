"""What a schedule was learned with: the kind of optimizer, the length of runs."""

from collections.abc import Mapping
from typing import Any

# Ours that are called as torch's, or as everybody calls them. Of strangers' nothing is known: their
# twins have names of their own.
_OURS = {"Lion", "Muon", "ScheduleFreeAdamW", "ScheduleFreeSGD"}
_KINDS = {"Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "SGD", *_OURS}
# Of torch's groups, what makes another update of the same kind -> the field of ours, and what those have
# that lack the field; None is that nothing is known.
_DECOUPLED = "decoupled_weight_decay"
_VARIANTS = {
    "nesterov": ("nesterov", False),
    "dampening": ("dampening", 0.0),
    _DECOUPLED: ("decoupled", None),
    "amsgrad": ("amsgrad", False),
    "centered": ("centered", False),
    "lr_decay": ("lr_decay", 0.0),
    "initial_accumulator_value": ("initial_accumulator_value", 0.0),
}
_FAR = 3  # times as long, or as short, as the runs that it was learned in
# Of the package schedulefree, by what they are called here.
_CALLED = {"AdamWScheduleFree": "ScheduleFreeAdamW", "SGDScheduleFree": "ScheduleFreeSGD"}


def check_kind(settings: Mapping[str, Any], optimizer: Any, strict: bool) -> None:
    """Refuse what is no optimizer and, if `strict`, another update than a schedule's settings tell of.

    Where they tell of none, or where one of the two is not known, nothing is refused.

    Raises:
        TypeError: A model, a list of optimizers, or one of this library.
        ValueError: Another kind of optimizer, or another update of that kind.
    """
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"A schedule is attached to an optimizer of torch.optim, one at a time, but got "
            f"{type(optimizer).__name__}. Make one, such as torch.optim.SGD(model.parameters(), lr=0.1)."
        )
    made = innermost(settings.get("optimizer"))
    learned, here = _learned_with(made), _kind(optimizer)
    if not strict or learned is None or here is None:
        return
    if learned == here:
        _check_variant(made, optimizer)
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


def _check_variant(made: Any, optimizer: Any) -> None:
    """Refuse another update of the same kind, where it is known with which one it was learned."""
    if not isinstance(made, Mapping):
        return
    for name, (field, usual) in _VARIANTS.items():
        learned = made.get(field, usual)
        for found in (group[name] for group in optimizer.param_groups if name in group):
            if learned is not None and found != learned:
                raise ValueError(
                    f"The schedule was learned with {field}={learned!r} (its settings say so), but this "
                    f"{type(optimizer).__name__} has {name}={found!r}, which is another update. Make it with "
                    f"{name}={learned!r}, or learn a schedule of that. To insist, pass strict=False."
                )


def innermost(made: Any) -> Any:
    """Of an optimizer in the settings of a schedule, what others go around."""
    while isinstance(made, Mapping) and "base" in made:  # groups, and whatever else goes around one
        made = made["base"]
    return made


def _learned_with(made: Any) -> str | None:
    name = made.get("class") if isinstance(made, Mapping) else made
    name = name.partition("(")[0].strip() if isinstance(name, str) else None
    return name if name in _KINDS else None


def _kind(optimizer: Any) -> str | None:
    # The nearest: torch's AdamW is an Adam.
    names = (kind.__name__.removeprefix("Torch") for kind in type(optimizer).__mro__)
    names = (_CALLED.get(name, name) for name in names)
    found = next((name for name in names if name in _KINDS), None)
    apart = any(group.get(_DECOUPLED) for group in optimizer.param_groups)
    return "AdamW" if found == "Adam" and apart else found
