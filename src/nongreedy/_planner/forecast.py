"""What each engine will take for one hypergradient, from a sample of its pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._engine import Engine, FiniteDifference, Forward, Reverse, Reversible
from .sample import Sample


@dataclass(frozen=True)
class Forecast:
    """One engine's time and memory for one hypergradient of the whole run.

    Attributes:
        engine: Which.
        seconds: Of the run and its differentiation together.
        bytes: Peak of the process (on an accelerator: of what is allocated there).
        arithmetic: How the seconds come about.
        refused: Why it cannot be used here, else empty.
    """

    engine: Engine
    seconds: float
    bytes: int
    arithmetic: str
    refused: str = ""


def forecasts(sample: Sample, bits: float, parameters: int) -> list[Forecast]:
    """One row per exact engine, by preference where times are equal.

    Args:
        bits: Which an integer run spills per parameter, in all.
        parameters: P.
    """
    rows = [_reverse(sample, store) for store in ("device", "checkpoint", "disk")]
    return [*rows, _reversible(sample, bits, parameters), _forward(sample), _differences(sample)]


def _reverse(s: Sample, store: str) -> Forecast:
    again = s.step.seconds if store == "checkpoint" else 0.0
    interval = max(1, math.isqrt(max(s.steps - 1, 1)) + 1)
    kept = {"device": s.steps, "checkpoint": interval + -(-s.steps // interval), "disk": 1}[store]
    seconds = s.steps * (s.step.seconds + again + s.back.seconds) + _looks(s)
    pieces = [s.step.seconds, *([again] if again else []), s.back.seconds]
    held = max(s.step.bytes, s.back.bytes) + kept * s.state_bytes
    return Forecast(Reverse(store), seconds, held, _sum(s.steps, pieces, _looks(s)))


def _reversible(s: Sample, bits: float, parameters: int) -> Forecast:
    if s.integer is None or s.undo is None:
        return Forecast(Reversible(), math.inf, 0, "", s.refused)
    pieces = [s.integer.seconds, s.undo.seconds, s.back.seconds]
    buffer = 8 * parameters * (1 + math.ceil(bits / 62))
    held = max(s.integer.bytes, s.undo.bytes, s.back.bytes) + buffer + 8 * s.steps
    return Forecast(
        Reversible(), s.steps * sum(pieces) + _looks(s), held, _sum(s.steps, pieces, _looks(s))
    )


def _forward(s: Sample) -> Forecast:
    (few, one), (more, several) = min(s.tangents.items()), max(s.tangents.items())
    each = (several.seconds - one.seconds) / (more - few) if more > few else one.seconds / 2
    each = max(each, 0.0)  # noise
    base, (acting, columns) = max(one.seconds - each, 0.0), s.columns
    growth = (several.bytes - one.bytes) / (more - few) if more > few else s.state_bytes
    held = one.bytes + round(max(growth, s.state_bytes) * max(columns - 1, 0))
    looks = s.look_back.seconds
    return Forecast(
        Forward(), s.steps * base + s.steps * acting * each + looks, held,
        f"{s.steps} x ({_time(base)} + {acting:.3g} x {_time(each)}) + {_time(looks)}",
    )  # fmt: skip


def _differences(s: Sample) -> Forecast:
    engine, (_, columns) = FiniteDifference(), s.columns
    runs = 1 + engine.order * columns
    one = s.steps * s.step.seconds + s.look.seconds
    text = f"{runs} runs x ({s.steps} x {_time(s.step.seconds)} + {_time(s.look.seconds)})"
    return Forecast(engine, runs * one, s.step.bytes, text)


def _looks(s: Sample) -> float:
    return s.look.seconds + s.look_back.seconds


def _sum(steps: int, pieces: list[float], looks: float) -> str:
    return f"{steps} x ({' + '.join(_time(piece) for piece in pieces)}) + {_time(looks)}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
