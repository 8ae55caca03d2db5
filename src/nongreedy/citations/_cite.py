"""Citations: BibTeX for exactly the methods that were used."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import nearest_name
from ..search import Result
from . import _citations as entry

Fields = Mapping[str, Any]  # an object's settings, by name; an absent one has its default
Rule = Callable[[Fields], list[str]]


def cite(*things: Any) -> str:
    """BibTeX for exactly the methods used, each publication once.

    Args:
        things: Engines, outer rules and optimizers (objects or their classes), or the
            :class:`Result` of a search. Settings count: momentum, Nesterov's form, clipping by norm
            and checkpoints have publications of their own. Without any: the library's core method.

    Returns:
        Entries separated by blank lines, to be written to a ``.bib`` file.

    Raises:
        ValueError: Something that has no entry; the message says what can be cited.

    Source: the publications themselves; a field that is not certain is left out.

    Cannot: cite your model, your data, or your own engine.

    Example:
        >>> from nongreedy import Adam
        >>> print(cite(Adam()).splitlines()[0])
        @inproceedings{kingma2015adam,
    """
    if not things:
        return entry.FDS + "\n"
    found = [text for thing in things for text in _entries(thing)]
    return "\n\n".join(dict.fromkeys(found)) + "\n"


def _entries(thing: Any) -> list[str]:
    if isinstance(thing, Result):
        return [text for described in _parts(thing) for text in _by_name(*_parsed(described))]
    kind = thing if isinstance(thing, type) else type(thing)
    # Someone else's `Adam` need not be ours.
    ours = kind.__module__.split(".")[0] == __name__.split(".")[0]
    if not ours:
        raise _unknown(kind.__name__, f"{kind.__module__}.{kind.__qualname__}")
    return _by_name(kind.__name__, {} if isinstance(thing, type) else vars(thing))


def _by_name(name: str, fields: Fields) -> list[str]:
    if name not in METHODS:
        raise _unknown(name, name)
    clipping = [entry.CLIPPING] if fields.get("clip_norm") is not None else []
    return METHODS[name](fields) + clipping


def _unknown(name: str, shown: str) -> ValueError:
    return ValueError(
        f"Nothing is known to cite for {shown!r}. A Result can be cited, and these, as objects or "
        f"classes.{nearest_name(name, METHODS)}"
    )


def _parts(result: Result) -> Iterable[str]:
    """The engine, the outer rule and the optimizer of a search, as they were written down."""
    for name in ("engine", "outer", "optimizer"):
        described = result.settings.get(name)
        # An online run has no outer rule, but a torch optimizer, whose name says nothing of ours.
        if described is not None and not described.startswith("online, "):
            yield described


def _parsed(described: str) -> tuple[str, Fields]:
    """Name and settings from an object's text, such as ``Reverse(store='checkpoint')``."""
    try:
        call = ast.parse(described, mode="eval").body
    except SyntaxError:
        call = None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise _unknown(described, described)
    return call.func.id, {word.arg: _value(word.value) for word in call.keywords if word.arg}


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return node  # a schedule: something that is learned


def _always(*entries: str) -> Rule:
    return lambda fields: list(entries)


def _reverse(fields: Fields) -> list[str]:
    replayed = fields.get("store") == "checkpoint"
    return [entry.FDS, entry.FORWARD_REVERSE, *([entry.REPLAY] if replayed else [])]


def _greedy(fields: Fields) -> list[str]:
    mu = fields.get("mu", 0.0)
    if mu == 0:
        return [entry.HYPERGRADIENT_DESCENT]
    return [entry.FORWARD_REVERSE if mu == 1 else entry.MARTHE]


def _sgd(fields: Fields) -> list[str]:
    nesterov = [entry.NESTEROV] if fields.get("nesterov") else []
    return [entry.SGD, *_momentum(fields), *nesterov]


def _rmsprop(fields: Fields) -> list[str]:
    return [entry.RMSPROP, *_momentum(fields)]


def _momentum(fields: Fields) -> list[str]:
    return [] if fields.get("momentum", 0.0) == 0.0 else [entry.MOMENTUM]


def _evograd(fields: Fields) -> list[str]:
    along = fields.get("noise", "validation_gradient") == "validation_gradient"
    return [entry.EVOGRAD, *([entry.DARTS] if along else [])]


def _implicit(fields: Fields) -> list[str]:
    solvers = {"neumann": entry.IMPLICIT, "cg": entry.CONJUGATE_GRADIENTS, "nystrom": entry.NYSTROM}
    chosen = fields.get("solver")
    return [solvers[chosen]] if chosen in solvers else list(solvers.values())


def _grouped(fields: Fields) -> list[str]:
    base = fields.get("base")
    if base is None:  # the class itself
        return []
    if isinstance(base, ast.Call) and isinstance(base.func, ast.Name):
        given = {word.arg: _value(word.value) for word in base.keywords if word.arg}
        return _by_name(base.func.id, given)
    return _entries(base)


# Name of a class -> what it stands on, given its settings.
METHODS: dict[str, Rule] = {
    "Forward": _always(entry.FDS, entry.FORWARD_REVERSE),
    "Reverse": _reverse,
    "Reversible": _always(entry.REVERSIBLE),
    "FiniteDifference": _always(entry.DIFFERENCES),
    "RandomDirections": _always(entry.FG2U, entry.FORWARD_GRADIENT),
    "Greedy": _greedy,
    "EvoGrad": _evograd,
    "Implicit": _implicit,
    "AgreementSearch": _always(entry.FDS),
    "SignDescent": _always(entry.FDS),
    "Trust": _always(entry.FDS, entry.REPLAY),
    "SGD": _sgd,
    "Adam": _always(entry.ADAM),
    "AdamW": _always(entry.ADAMW),
    "RMSprop": _rmsprop,
    "Adagrad": _always(entry.ADAGRAD),
    "Grouped": _grouped,
    "Lion": _always(entry.LION),
    "TorchLion": _always(entry.LION),
    "Muon": _always(entry.MUON, entry.ADAMW),
    "TorchMuon": _always(entry.MUON, entry.ADAMW),
}
