"""How a value is put into a parameter group of a ``torch.optim`` optimizer."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

RATE = "lr"  # torch's key of the learning rate

# How a value is set in a parameter group: the group's key, the key of a tuple and the place in it, or
# a function of the group and the value.
Setting = str | tuple[str, int] | Callable[[dict[str, Any], float], object]

# Names of this library -> the settings of torch's optimizers, of which the first that any group has
# decides. What is not listed is called in the groups as it is here.
KNOWN: dict[str, tuple[Setting, ...]] = {
    "learning_rate": (RATE,),
    "adam_learning_rate": ("adam_lr",),
    "momentum": ("momentum", ("betas", 0)),
    "beta1": (("betas", 0),),
    "beta2": (("betas", 1),),
    "smoothing": ("alpha",),
    "epsilon": ("eps",),
}


def base(name: str) -> tuple[str, str]:
    """``("weight_decay", "*bias")`` of ``weight_decay[*bias]``."""
    base, _, pattern = name.removesuffix("]").partition("[")
    return base, pattern


_FACTOR = "_factor"


def factor_name(setting: str, pattern: str) -> str:
    """What a schedule calls the factor of a group on a setting that all groups have in common."""
    return f"{setting}{_FACTOR}[{pattern}]"


def scaled_by(name: str, names: Collection[str]) -> str | None:
    """The setting, one of the names, that a factor of this name scales; None of what is no factor."""
    what, pattern = base(name)
    scaled = what.removesuffix(_FACTOR)
    return scaled if pattern and scaled != what and scaled in names else None


def has(group: Mapping[str, Any], setting: Setting) -> bool:
    """Whether a group has what would be set."""
    if isinstance(setting, str):
        return _settable(group.get(setting))
    return not isinstance(setting, tuple) or _settable(group.get(setting[0]), (tuple, list))


def put(group: dict[str, Any], setting: Setting, value: float) -> None:
    """Set a value that the group has."""
    if isinstance(setting, str):
        group[setting] = _filled(group[setting], value)
    elif isinstance(setting, tuple):
        (key, place), entries = setting, list(group[setting[0]])
        entries[place] = _filled(entries[place], value)
        group[key] = tuple(entries)
    else:
        setting(group, value)


def _settable(value: object, kinds: tuple[type, ...] = (int, float, Tensor)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _filled(held: Any, value: float) -> Any:
    """The value; of a tensor the tensor itself, filled, because captured graphs read its memory."""
    return held.fill_(value) if isinstance(held, Tensor) else value


def refuse_twice(plan: Iterable[tuple[str, Mapping[str, Any], Setting]]) -> None:
    """Raise ValueError where two names of a schedule set one thing: which of them holds, nobody knows."""
    seen = dict[tuple[int, Setting], str]()
    for name, group, setting in plan:
        other = seen.setdefault((id(group), setting), name)
        if other != name and not callable(setting):
            raise ValueError(
                f"The schedule sets {other!r} and {name!r}, which are one setting of the optimizer, "
                f"{setting!r}. Leave one of them out, or say what it sets: attach(..., settings=...)."
            )


def unshare(optimizer: Optimizer) -> None:
    """Give every group tensors of its own: those without settings of their own have the default's,
    where to fill one would be to fill all, and the default."""
    seen = set[int]()

    def own(value: Any) -> Any:
        if isinstance(value, tuple) and any(isinstance(part, Tensor) for part in value):
            return tuple(own(part) for part in value)
        if not isinstance(value, Tensor):
            return value
        if id(value) in seen:
            return value.detach().clone()
        seen.add(id(value))
        return value

    for settings in (*optimizer.param_groups, optimizer.defaults):
        settings.update({key: own(value) for key, value in settings.items() if key != "params"})


def unknown(name: str, optimizer: Optimizer) -> str:
    """What to say of a name that no group has."""
    kind, (what, pattern) = type(optimizer).__name__, base(name)
    if pattern:
        return (
            f"The schedule sets {name!r} of a parameter group that this {kind} does not have. Give "
            "it `optimizer.torch_groups(model.named_parameters())` of the Grouped or Scaled optimizer "
            "that the schedule was learned with."
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
        f"attach(..., settings={{{what!r}: key}}), where the key is one of the groups', or (key, "
        "place) for one number of a tuple, or a function of the group and the value. A "
        "nongreedy.Optimizer says the same in its `torch_settings`."
    )
