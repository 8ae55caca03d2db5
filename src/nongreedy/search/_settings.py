"""What a repetition of a search needs, and which engine a search goes on with."""

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..engines import Engine, Problem, engine_from, engine_from_json
from ..errors import VerificationError
from ..planning import Choice, settle
from ..schedules import identity
from ..schedules._version import __version__
from ._budget import Budget
from ._memory import Memory
from ._outlook import Outlook
from .rules import OuterRule

_OUTER_STEPS = 10  # where nothing else limits a search


def most_outer_steps(settings: Mapping[str, Any]) -> float:
    """What was asked for, or else 10, or no limit where `budget` or `timeout` is one."""
    if (asked := settings["outer_steps"]) is not None:
        return asked
    limited = settings["budget"] is not None or settings.get("timeout") is not None
    return math.inf if limited else _OUTER_STEPS


def most_to_spend(settings: Mapping[str, Any]) -> float:
    """The budget."""
    return math.inf if settings["budget"] is None else settings["budget"]


# Settings that may be raised, so that a search goes on for longer, and how far they let it go. (A timeout is
# none: it is of one call.)
LIMITS = {"outer_steps": most_outer_steps, "budget": most_to_spend}


def settings_of(
    problem: Problem,
    engine: str | Engine,
    rule: OuterRule,
    outer_steps: int | None,
    seed: int,
    budget: float | None,
    threads: int | str | None = None,
) -> dict[str, Any]:
    """What was asked for, as plain JSON values: part of every schedule file and study.

    Raises:
        TypeError: An engine or a rule holds what JSON cannot say.
    """
    begun, own = problem.start, {} if threads is None else {"threads": threads}
    return {
        **versions(),
        **own,
        **problem.fingerprint(),
        "engine": engine if engine == "auto" else identity(engine_from(engine)),
        "outer": identity(rule),
        "start": {n: curve.to_json() for n, curve in begun.curves.items()} if begun else None,
        "outer_steps": outer_steps,
        "seed": seed,
        "budget": budget,
    }


def outlook_of(problem: Problem, rule: OuterRule, outer_steps: float, budget: Budget) -> Outlook:
    """What the search may take."""
    learned = problem.learned
    sizes = {name: hyper.basis.size(problem.steps) for name, hyper in learned.items()}
    return Outlook(sizes, outer_steps, budget, rule.final, getattr(rule, "patience", None))


def versions() -> dict[str, Any]:
    """Under which a repetition has the same bits."""
    return {
        "nongreedy": __version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def settled(engine: str | Engine, problem: Problem, seed: int, memory: Memory) -> Choice:
    """The engine, which a search that goes on keeps: other free memory may suggest another now."""
    noted = memory.noted("engine")
    if noted is not None and engine == "auto":
        return Choice(engine_from_json(noted["engine"]), noted["reason"])
    chosen = settle(engine, problem, problem.initial, seed)
    if noted is not None and chosen.engine != engine_from(engine):
        return Choice(engine_from_json(noted["engine"]))
    what = {"engine": identity(chosen.engine), "reason": chosen.reason}
    found = {"verification": problem.verification.summary, "task": problem.task.name}
    memory.note("engine", {**what, **found})
    told = memory.noted("engine")  # of many processes one decides
    if told is None or told["engine"] == what["engine"]:
        return chosen
    return Choice(engine_from_json(told["engine"]), told["reason"])


def verified(problems: Iterable[Problem], engine: Engine) -> list[Problem]:
    """Those of some other ways of training a verified task that are verified, too.

    Warns:
        UserWarning: Of each that is left out.
    """
    kept = list[Problem]()
    for problem in problems:
        try:
            problem.verified(engine.differentiates)
        except VerificationError as error:
            warnings.warn(f"Not tried: {problem.optimizer.average}. {error}", stacklevel=3)
        else:
            kept.append(problem)
    return kept
