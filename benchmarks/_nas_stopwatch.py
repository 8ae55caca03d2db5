"""Rows of the stopwatch: predictions against measurements, targets, and what the machine itself does."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nongreedy import nas
from nongreedy.protocols import generator

Piece = Callable[[], dict[str, Any]]
BACKENDS = {"eager": nas.Eager(), "onnx": nas.OnnxRuntime()}
# Of this process alone: other work on the machine moves it less.
WATCH = nas.Stopwatch(50, 10, time.process_time)


def table(small: bool) -> dict[str, Piece]:
    """SP8: 20 random networks, whose times the table has not seen, and a uniform one in the same rounds.

    `ratio` is the error of predicted ratios to the uniform one: the pace of the machine is in neither.
    """
    depth, count = (1, 4) if small else (2, 20)

    def one(backend: nas.Backend, seed: int) -> dict[str, Any]:
        net = nas.search_space(classes=10, resolution=32, width=0.5, depth=depth)
        raw = nas.profile(net, backend, stopwatch=WATCH, calibrate=1)
        fitted = nas.profile(net, backend, stopwatch=WATCH)
        chosen = [net.space.random(generator(seed, 9, k)) for k in range(count)]
        yard = net.space.uniform()[0]
        plain = [net.plain(each) for each in (yard, *chosen)]
        own, *times = nas.measure(plain, net.input_shape, backend, stopwatch=WATCH)
        ends = [fitted.total(each) for each in fitted.extremes()]
        errors = {
            name: nas.prediction_error(t, chosen, times)
            for name, t in {"raw": raw, "calibrated": fitted}.items()
        }
        scale = fitted.total(yard) / own
        errors["ratio"] = nas.prediction_error(fitted, chosen, [scale * each for each in times])
        return {**errors, "range_ms": ends, "load": os.getloadavg()[0]}

    seeds = range(1 if small else 3)
    return {
        f"{name}-{k}": lambda b=backend, k=k: one(b, k)
        for name, backend in BACKENDS.items()
        for k in seeds
    }


def targets(small: bool) -> dict[str, Piece]:
    """Row 3: the time of the network that was found, measured again after the search."""

    def one(backend: nas.Backend, share: float, seed: int) -> dict[str, Any]:
        draw = generator(seed)
        x, y = torch.randn(256, 3, 32, 32, generator=draw), torch.randint(4, (256,), generator=draw)
        x += 0.3 * (y[:, None, None, None] - 1.5)
        net = nas.search_space(
            classes=4, resolution=32, width=0.5, depth=1 if small else 2, head=320, seed=seed
        )
        costs = nas.profile(net, backend, stopwatch=WATCH, seed=seed)
        low, high = (costs.total(each) for each in costs.extremes())
        target = low + share * (high - low)
        found = nas.search(
            net, (x, y), (x, y), target=target, table=costs, backend=backend, stopwatch=WATCH,
            recipe=nas.Recipe(8, 16), final=nas.Recipe(1), judges=16, seed=seed,
        )  # fmt: skip
        # Beside the extremes, in the same rounds: on a busy machine the pace changes, ratios do not.
        ends = found.table.extremes()
        again, *yard = nas.measure(
            [found.network, *(net.plain(each) for each in ends)],
            net.input_shape,
            backend,
            stopwatch=WATCH,
        )
        pace = sum(yard) / sum(found.table.total(each) for each in ends)
        return {
            "target": target, "predicted": found.predicted, "measured": found.measured,
            "measured_again": again, "pace": pace, "off": again / target - 1,
            "off_at_its_pace": again / pace / target - 1, "range": [low, high],
            "load": os.getloadavg()[0],
        }  # fmt: skip

    shares, seeds = ((0.5,), range(1)) if small else ((0.25, 0.5, 0.75), range(3))
    return {
        f"{name}-{share:g}-{seed}": lambda b=backend, s=share, k=seed: one(b, s, k)
        for name, backend in BACKENDS.items()
        for share in shares
        for seed in seeds
    }


def drift(small: bool) -> dict[str, Piece]:
    """What a perfect choice would show: one network measured again and again, beside a uniform one.

    Its time at one moment is its target, its time at any later one is what a stopwatch then says of it.
    """

    def paces() -> dict[str, Any]:
        net = nas.search_space(classes=10, resolution=32, width=0.5, depth=2)
        plain = [
            net.plain(each) for each in (net.space.random(generator(0)), net.space.uniform()[0])
        ]
        clocks = {"process": time.process_time, "wall": time.perf_counter}
        rows: dict[str, list[list[float]]] = {}
        for _ in range(3 if small else 25):  # over two minutes
            time.sleep(0.0 if small else 5.0)
            for (where, backend), (name, clock) in itertools.product(
                BACKENDS.items(), clocks.items()
            ):
                watch = nas.Stopwatch(50, 10, clock)
                row = nas.measure(plain, net.input_shape, backend, stopwatch=watch)
                rows.setdefault(f"{where}, {name}", []).append(row)
        return {name: {**_told(pairs), "rows": pairs} for name, pairs in rows.items()}

    return {"paces": paces}


def _told(pairs: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"ms": _apart([a for a, _ in pairs]), "ratio": _apart([a / b for a, b in pairs])}


def _apart(values: Sequence[float]) -> dict[str, float]:
    """Of all pairs: how many differ by 5 % at most, and by how much."""
    off = [abs(later / first - 1) for first, later in itertools.combinations(values, 2)]
    within = sum(each <= 0.05 for each in off) / len(off)
    return {"within": within, "median": statistics.median(off), "largest": max(off)}
