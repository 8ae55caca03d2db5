"""What an engine will take for one hypergradient of the whole run, from two short ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..engines import Engine, FiniteDifference, Forward, Reverse, Reversible
from ..errors import NongreedyError
from ._short_runs import Pair, ShortRuns

_VISIBLE = 1e-3  # a smaller part of a sum does not show


@dataclass(frozen=True)
class Forecast:
    """One engine's time and memory for one hypergradient of the whole run.

    Attributes:
        engine: Which.
        seconds: Of the run and its differentiation together.
        bytes: Peak of the process (on an accelerator: of what is allocated there).
        arithmetic: How the seconds come about.
        refused: Why it cannot be used here, else empty.
        inexact: Why its result is not the derivative itself, else empty.
    """

    engine: Engine
    seconds: float
    bytes: int
    arithmetic: str
    refused: str = ""
    inexact: str = ""


def engines_for(device: torch.device) -> list[Engine]:
    """Those that are chosen from, by preference; all that store states have the same bits as result."""
    host = [] if device.type == "cpu" else ["host"]
    stores = ["device", *host, "checkpoint", "disk"]
    return [*(Reverse(store) for store in stores), Reversible(), Forward(), FiniteDifference()]


def forecast(short: ShortRuns, engine: Engine) -> Forecast:
    """One engine's row; what it raises is the reason of a refusal."""
    try:
        return _forecast(short, engine)
    except Exception as error:  # a stranger's engine must not take the other rows along
        named = isinstance(error, (ValueError, NongreedyError, OSError))
        reason = str(error) if named else f"{type(error).__name__}: {error}"
        return Forecast(engine, math.inf, 0, "", reason or type(error).__name__)


def _forecast(short: ShortRuns, engine: Engine) -> Forecast:
    steps, (run, schedule, learn) = short.problem.steps, short.given(short.problem.steps)
    inexact = engine.inexact_because(run, schedule, learn) or ""
    held = engine.states_held(run, schedule, learn)

    def work(count: int) -> float:
        return count * (1 + engine.sweep_cost(*short.given(count)))

    pair = short.measured(engine.hypergradient, work)
    if pair is None:
        one, runs = seconds_of(short.plain, steps, float)[0], work(steps) / steps
        text = f"{runs:.4g} plain runs of {_time(one)}, by its own count: too long to measure"
        more = (steps if held is None else held) * run.state_bytes
        memory = short.plain[1].bytes + round(more)
        return Forecast(engine, runs * one, memory, text, inexact=inexact)
    seconds, text = seconds_of(pair, steps, work)
    shorter, longer = pair
    if held is None:
        more = _grown(shorter.bytes, longer.bytes, shorter.steps, longer.steps, steps)
    else:
        more = run.state_bytes * (held - (engine.states_held(*short.given(longer.steps)) or 0.0))
    return Forecast(engine, seconds, longer.bytes + round(more), text, inexact=inexact)


def seconds_of(pair: Pair, steps: int, work: Callable[[int], float]) -> tuple[float, str]:
    """Seconds of a run of so many steps, and how they come about.

    Args:
        pair: What a shorter run and a longer one took.
        work: Number of steps -> what a run of that length is worth, in any unit.
    """
    shorter, longer = pair
    done, whole = work(longer.steps), work(steps)
    mean, width = longer.seconds / done, done - work(shorter.steps)
    rate = (longer.seconds - shorter.seconds) / width if width > 0 else mean
    if (
        not 0 < rate < mean
    ):  # by noise: neither a step nor what is done once takes less than no time
        rate = mean
    once, looking = longer.seconds - rate * done, (shorter.looking + longer.looking) / 2
    if longer.looks > shorter.looks:  # at some steps, not at the end alone
        ends = shorter.looking, longer.looking, shorter.steps, longer.steps
        looking = longer.looking + _grown(*ends, steps)
    total = rate * whole + once + looking
    parts = {"once": once, "validation": looking}
    shown = (f" + {_time(v)} {name}" for name, v in parts.items() if v > _VISIBLE * total)
    return total, f"{steps} x {_time(rate * whole / steps)}" + "".join(shown)


def _grown(low: float, high: float, shorter: int, longer: int, steps: int) -> float:
    """What comes on top of `high` where something grows evenly with the steps."""
    return max(high - low, 0.0) / max(longer - shorter, 1) * (steps - longer)


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
