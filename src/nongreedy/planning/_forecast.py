"""What an engine will take for one hypergradient of the whole run, from two short ones."""

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
    steps, (run, schedule, learn) = short.problem.steps, short.squeezed(short.problem.steps)
    inexact = engine.inexact_because(run, schedule, learn) or ""
    held = engine.states_held(run, schedule, learn)

    def work(count: int) -> float:
        return count * (1 + engine.sweep_cost(*short.squeezed(count)))

    pair = short.measured(engine.hypergradient, work)
    longer = (pair or short.plain)[1]
    if pair is None:
        plain, runs = seconds_of(short.plain, steps, float)[0], work(steps) / steps
        seconds = runs * plain
        text = f"{runs:.4g} plain runs of {_time(plain)}, by its own count: too long to measure"
        more = (steps if held is None else held) * run.state_bytes
    else:
        seconds, text = seconds_of(pair, steps, work)
        if held is None:
            more = _grown(pair, "bytes", steps)
        else:
            of_longer = engine.states_held(*short.squeezed(longer.steps)) or 0.0
            more = run.state_bytes * (held - of_longer)
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
    if not 0 < rate < mean:  # noise: neither a step nor what is done once takes less than no time
        rate = mean
    once = longer.seconds - rate * done
    validating = (shorter.validation_seconds + longer.validation_seconds) / 2
    if longer.validations > shorter.validations:  # at some steps, not at the end alone
        validating = longer.validation_seconds + _grown(pair, "validation_seconds", steps)
    total = rate * whole + once + validating
    parts = {"once": once, "validation": validating}
    shown = (f" + {_time(v)} {name}" for name, v in parts.items() if v > _VISIBLE * total)
    return total, f"{steps} x {_time(rate * whole / steps)}" + "".join(shown)


def _grown(pair: Pair, what: str, steps: int) -> float:
    """What comes on top of the longer run's where this grows evenly with the steps."""
    shorter, longer = pair
    more = max(getattr(longer, what) - getattr(shorter, what), 0.0)
    return more / max(longer.steps - shorter.steps, 1) * (steps - longer.steps)


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
