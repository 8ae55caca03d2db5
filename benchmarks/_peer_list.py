"""The methods that are compared, by the names that options and logs use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nongreedy as ng

from ._peer_libraries import Higher, TorchOpt
from ._peer_methods import Method, Ours, Paper
from ._peer_unrolled import Autograd


@dataclass(frozen=True)
class Entry:
    """A method with its title in tables and figures, and its colour there.

    Attributes:
        distinct: Whether it does anything else than another entry where the optimizer is SGD.
    """

    title: str
    method: Method
    colour: str
    distinct: bool = True


# Ours in blues, the rest in warm colours.
METHODS: Mapping[str, Entry] = {
    "autograd": Entry("plain autograd, unrolled", Autograd(), "#b5651d"),
    "higher": Entry("higher", Higher(), "#c8342c"),
    "torchopt": Entry("torchopt", TorchOpt(), "#d98a00"),
    "torchopt-eps-root": Entry(
        "torchopt, eps_root=1e-16", TorchOpt(1e-16), "#e8b04a", distinct=False
    ),
    "paper": Entry("the paper's algorithm", Paper(), "#8a6f9e"),
    "stored": Entry('ng.Reverse("device")', Ours(ng.Reverse("device")), "#8fbfe0"),
    "checkpoint": Entry('ng.Reverse("checkpoint")', Ours(ng.Reverse("checkpoint")), "#0b3c6f"),
    "reversible": Entry("ng.Reversible()", Ours(ng.Reversible()), "#1a8a7a"),
    "forward": Entry("ng.Forward()", Ours(ng.Forward()), "#3f86c0"),
}

# Those that the studies of cost compare.
ON_SGD = {name: entry for name, entry in METHODS.items() if entry.distinct}


def installed(names: Sequence[str] | None, every: Mapping[str, Entry]) -> dict[str, Entry]:
    """Those that were asked for and can be imported; of the others it is said how to get them."""
    found = {}
    for name, entry in every.items():
        if names is None or name in names:
            missing = entry.method.missing()
            if missing:
                print(f"Without {entry.title}: {missing}")
            else:
                found[name] = entry
    return found
