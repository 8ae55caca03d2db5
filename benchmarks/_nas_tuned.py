"""Settings by hypergradients against those of the library, on planted tasks that tuning has not seen.

One tuning per kind, on a task of its own. Then short searches of ten seeds, by default settings and by tuned
ones. What longer searches by default settings find is the row ``planted``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from nongreedy import nas

from . import _nas_planted as planted

STEPS, HORIZON, BUDGET, OWN = 60, 60, 30, 1000  # OWN: the seed of the task that is tuned on


@cache
def settings(kind: str, small: bool) -> nas.Tuned:
    net, table, needy = planted.plant(kind, nas.ScaleFreeGate(), OWN)
    learn = planted.examples(kind, needy, planted.EXAMPLES, 2 * OWN + 1000)
    held = planted.examples(kind, needy, planted.HELD, 2 * OWN + 1001)
    return nas.tune_search(
        net, learn, held, target=3.0, table=table, steps=6 if small else HORIZON,
        recipe=nas.Recipe(STEPS, 64), budget=12 if small else BUDGET, progress=False,
    )  # fmt: skip


def tuned(small: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The pieces: of each kind its settings, then ten seeds by two ways to search."""

    def found(kind: str, way: str, seed: int) -> dict[str, Any]:
        gate, level, recipe = nas.ScaleFreeGate(), nas.Validated(), nas.Recipe(STEPS, 64)
        if way == "tuned":
            made = settings(kind, small)
            gate, level, recipe = made.gate, made.level, made.recipe
        return planted.planted_search(kind, gate, level, seed, recipe)

    kinds = ("expansion",) if small else tuple(planted.KINDS)
    pieces = {f"{kind}-settings": lambda k=kind: _told(settings(k, small)) for kind in kinds}
    for way in ("default", "tuned"):
        for kind in kinds:
            for seed in range(1 if small else 10):
                pieces[f"{kind}-{way}-{seed}"] = lambda k=kind, w=way, s=seed: found(k, w, s)
    return pieces


def _told(made: nas.Tuned) -> dict[str, Any]:
    gain = made.result.gain
    return {
        "settings": str(made), "plain_runs": made.result.cost, "loss": made.result.validation_loss,
        "gain": gain.verdict if gain else None,
    }  # fmt: skip
