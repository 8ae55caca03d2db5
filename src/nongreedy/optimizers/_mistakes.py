"""First mistakes with optimizers: what was meant, in the words of this library."""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from ..errors import nearest_name

# What torch.optim calls a setting -> what it is called here.
_OURS = {
    "lr": "learning_rate=",
    "betas": "beta1= and beta2=",
    "eps": "epsilon=",
    "alpha": "smoothing=",
    "max_grad_norm": "clip_norm=",
    "params": "nothing: the task's model has the parameters",
}
# Its optimizers that have another name here, or none.
_NAMES = {"SparseAdam": "Adam", "Adamax": "Adam", "RAdam": "Adam", "Adadelta": "RMSprop"}


def refuse_unknown(kind: Any, settings: Mapping[str, Any]) -> None:
    """Raise TypeError where an optimizer has no setting of such a name, and say what it is called."""
    known = {row.name for row in fields(kind) if row.init}
    unknown = [name for name in settings if name not in known]
    if not unknown:
        return
    parameters = inspect.signature(kind.__init__).parameters
    takes_any = any(row.kind is row.VAR_KEYWORD for row in parameters.values())
    unknown = [name for name in unknown if name not in parameters and not takes_any]
    if unknown:
        name = unknown[0]
        ours = _OURS.get(name)
        raise TypeError(
            f"{kind.__name__} has no setting {name!r}"
            + (f"; here it is {ours}." if ours else "." + nearest_name(name, known))
        )


def checked_optimizer(given: Any, kind: type) -> Any:
    """An optimizer of this library, or a TypeError that spells the one that was meant.

    Args:
        kind: The contract, ``Optimizer``, whose subclasses are those that there are.
    """
    if isinstance(given, kind):
        return given
    raise TypeError(_meant(given, kind, _made_here(kind)))


def _meant(given: Any, kind: type, ours: Mapping[str, type]) -> str:
    if isinstance(given, type) and issubclass(given, kind):
        return (
            f"`optimizer` is the class {given.__name__}; pass an instance: ng.{given.__name__}()."
        )
    if isinstance(given, torch.optim.Optimizer) or (
        isinstance(given, type) and issubclass(given, torch.optim.Optimizer)
    ):
        return _of_torch(given, ours)
    if isinstance(given, (tuple, list)):
        return (
            f"`optimizer` is a {type(given).__name__} of {len(given)}, but one optimizer trains all "
            "parameters: ng.Grouped gives groups of them settings of their own. Networks that train "
            "against each other (GANs) are no task of this library."
        )
    if isinstance(given, str):
        names = nearest_name(given, ours)
        return f"`optimizer` is the string {given!r}; pass an object, such as ng.SGD().{names}"
    return f"`optimizer` must be an optimizer such as ng.SGD(), but got {type(given).__name__}."


def _of_torch(given: Any, ours: Mapping[str, type]) -> str:
    """The optimizer of this library that a ``torch.optim`` one has for its counterpart, spelled."""
    kind = given if isinstance(given, type) else type(given)
    name = kind.__name__ if kind.__name__ in ours else _NAMES.get(kind.__name__, "SGD")
    found = {} if isinstance(given, type) else settings_of(given.defaults, ours[name])
    rows: Any = getattr(ours[name], "__dataclass_fields__", {})
    settings = {key: value for key, value in found.items() if value != rows[key].default}
    spelled = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    close = "Pass" if name == kind.__name__ else "There is none of this name; the nearest is"
    several = not isinstance(given, type) and len(given.param_groups) > 1
    groups = (
        " Groups of parameters become an ng.Grouped by ng.optimizer_of(optimizer, model)." * several
    )
    return (
        f"`optimizer` is torch.optim.{kind.__name__}, which cannot be differentiated. {close} "
        f"ng.{name}({spelled}), where a schedule in place of a number is learned, such as "
        f"learning_rate=ng.Windows(7, initial={settings.get('learning_rate', 0.1)!r}).{groups}"
    )


def settings_of(group: Mapping[str, Any], ours: type) -> dict[str, Any]:
    """What a group of ``torch.optim``, or its defaults, has of the settings of one of ours."""
    betas = group.get("betas", ())
    given = {"learning_rate": group.get("lr"), "epsilon": group.get("eps"), **group}
    given |= {
        "smoothing": group.get("alpha"),
        "decoupled": group.get("decoupled_weight_decay"),
        **dict(zip(("beta1", "beta2"), betas, strict=False)),
    }
    return {
        name: _number(value) if isinstance(value, torch.Tensor) else value
        for name, value in given.items()
        if name in getattr(ours, "__dataclass_fields__", {}) and value is not None
    }


def _number(value: torch.Tensor) -> float:
    """The shortest decimal that is this number in its precision: 0.1, not 0.10000000149."""
    wide = value.dtype in (torch.float64, torch.int64)
    return float(str((value.double() if wide else value.float()).detach().cpu().numpy()))


def counterpart(given: Any, kind: type) -> type:
    """The optimizer of this library that makes the updates of one of ``torch.optim``, or a TypeError."""
    ours, name = _made_here(kind), type(given).__name__
    theirs = not type(given).__module__.startswith("torch.")  # of the same name, or a subclass
    if not isinstance(given, torch.optim.Optimizer) or name not in ours or theirs or name == "Muon":
        raise TypeError(_meant(given, kind, ours))  # torch's Muon takes matrices alone
    return ours[name]


def _made_here(kind: type) -> dict[str, type]:
    """The optimizers of this library, by name."""
    found = dict[str, type]()
    for row in kind.__subclasses__():
        if not (inspect.isabstract(row) or row.__name__.startswith("_")):
            found |= {row.__name__: row} if row.__module__.startswith("nongreedy.") else {}
        found |= _made_here(row)
    return found
