"""What each engine will take for one hypergradient, from the pieces that were measured."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..engines import Engine, FiniteDifference, Forward, Reverse, Reversible
from ._sample import Core, Integers, Piece, Tangents
from ._walk import Walk

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
    """

    engine: Engine
    seconds: float
    bytes: int
    arithmetic: str
    refused: str = ""


def forecasts(walk: Walk, core: Core) -> Iterator[Forecast]:
    """One row per engine, by preference; what a row needs is measured when it is asked for."""
    yield from (reverse(core, store) for store in core.stores)
    yield reversible(core, walk.integers())
    tangents = walk.tangents()
    yield forward(core, tangents)
    yield differences(core, tangents)


def stores(device: torch.device) -> list[str]:
    """Where states can be kept, by preference; all with the same bits as result."""
    host = [] if device.type == "cpu" else ["host"]
    return ["device", *host, "checkpoint", "disk"]


def held(store: str, steps: int) -> int:
    """The most states that a store holds on the device: those on the host or disk pass through."""
    interval = max(1, math.isqrt(max(steps - 1, 1)) + 1)
    return {"device": steps, "checkpoint": interval + -(-steps // interval)}.get(store, 2)


def reverse(s: Core, store: str) -> Forecast:
    """A run, its states kept, and the sweep back over them."""
    kept = s.stores[store]
    pieces = {
        "step": s.step.seconds, "write": kept.write,
        "replay": kept.replay, "read": kept.read, "back": s.back.seconds,
    }  # fmt: skip
    seconds, text = _sum(s.steps, pieces, s.look.seconds + s.look_back.seconds)
    most = max(s.step.bytes, s.back.bytes, s.look_back.bytes) + held(store, s.steps) * s.state_bytes
    return Forecast(Reverse(store), seconds, most, text, kept.refused)


def reversible(s: Core, integers: Integers) -> Forecast:
    """A run in integers, and the sweep back that undoes it."""
    if integers.refused:
        return Forecast(Reversible(), math.inf, 0, "", integers.refused)
    parts = {"step": integers.step, "undo": integers.undo, "back": integers.back}
    pieces = {name: piece.seconds for name, piece in parts.items()}
    seconds, text = _sum(s.steps, pieces, s.look.seconds + s.look_back.seconds)
    spilled = 8 * s.parameters * integers.limbs + 8 * s.steps
    most = max(s.look_back.bytes, *(piece.bytes for piece in parts.values())) + spilled
    return Forecast(Reversible(), seconds, most, text)


def forward(s: Core, tangents: Tangents) -> Forecast:
    """One run whose steps become dearer as tangents start."""
    last, points, steps = s.look_back, tangents.steps, tangents.started.items()
    total = sum(many * _between(points, k) for k, many in steps)
    most, measured = max(tangents.started), max(points)
    each = (points[measured].bytes - points[min(points)].bytes) / max(measured - min(points), 1)
    beyond = round(max(each, s.state_bytes) * max(most - measured, 0))
    shown = ", ".join(f"{_time(piece.seconds)} with {k}" for k, piece in points.items())
    return Forecast(
        Forward(), total + last.seconds, max(points[measured].bytes + beyond, last.bytes),
        f"{s.steps} x {_time(total / s.steps)} with {min(tangents.started)} to {most} tangents "
        f"({shown}) + {_time(last.seconds)} validation",
    )  # fmt: skip


def differences(s: Core, tangents: Tangents) -> Forecast:
    """Plain runs, some for each coefficient."""
    engine = FiniteDifference()
    runs = 1 + engine.order * max(tangents.started)
    seconds, text = _sum(s.steps, {"step": s.step.seconds}, s.look.seconds)
    most = max(s.step.bytes, s.look.bytes)
    return Forecast(engine, runs * seconds, most, f"{runs} runs x ({text})")


def _between(points: Mapping[int, Piece], count: int) -> float:
    """Seconds of a step with so many tangents, on the line through its two neighbours."""
    known = sorted(points)
    if len(known) == 1:
        return points[known[0]].seconds
    right = min(max(bisect.bisect_left(known, count), 1), len(known) - 1)
    low, high = known[right - 1], known[right]
    slope = (points[high].seconds - points[low].seconds) / (high - low)
    return max(points[low].seconds + slope * (count - low), 0.0)


def _sum(steps: int, pieces: Mapping[str, float], looks: float) -> tuple[float, str]:
    """Seconds of a run whose steps have these pieces, and how they come about."""
    each = sum(pieces.values())
    shown = (f"{_time(v)} {name}" for name, v in pieces.items() if v > _VISIBLE * each)
    text = f"{steps} x ({' + '.join(shown)}) + {_time(looks)} validation"
    return steps * each + looks, text


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
