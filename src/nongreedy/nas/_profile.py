"""The table of costs of a network, measured on the machine at hand."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from ..errors import check_whole
from ..protocols import generator
from ._architecture import Architecture
from ._backends import Backend, Eager
from ._machine import machine
from ._stopwatch import Stopwatch
from ._supernet import SuperNet
from ._table import CostTable


def profile(
    network: SuperNet,
    backend: Backend | None = None,
    *,
    batch: int = 1,
    stopwatch: Stopwatch | None = None,
    calibrate: int = 8,
    seed: int = 0,
) -> CostTable:
    """Measure every distinct choice of every layer, and some whole networks to calibrate them by.

    Args:
        network: The searched one.
        backend: :class:`Eager` on one thread by default.
        batch: Examples per call.
        stopwatch: How times are taken.
        calibrate: Whole networks that are measured, at least 1: first the smallest, then the largest, then
            random ones. From the third on they set a factor on all costs; one sets what is fixed.
        seed: Of the random networks.

    Raises:
        ValueError: Bad settings.

    Cannot: be better than the machine is quiet. Other work moves medians, too.

    Example:
        >>> from nongreedy import nas
        >>> net = nas.search_space(classes=2, resolution=8, width=0.25, depth=(1, 0, 0, 0, 0), head=8)
        >>> table = nas.profile(net, stopwatch=nas.Stopwatch(5, 1), calibrate=2)
        >>> table.unit, table.total(net.space.largest()) > 0
        ('ms', True)
    """
    backend, stopwatch = backend or Eager(), stopwatch or Stopwatch()
    check_whole("batch", batch)
    check_whole("calibrate", calibrate)
    table = CostTable(
        network.space, _layers(network, backend, batch, stopwatch), 0.0, "ms", network.fingerprint(),
        {
            "machine": machine(), "backend": backend.to_json(), "batch": batch,
            "stopwatch": stopwatch.to_json(), "calibrated_on": calibrate,
            "versions": {**backend.versions(), "python": platform.python_version()},
        },
    )  # fmt: skip
    draw = generator(seed)
    wanted = [network.space.smallest(), network.space.largest()]
    wanted += [network.space.random(draw) for _ in range(calibrate)]
    chosen = list(dict.fromkeys(wanted))[:calibrate]
    times = measure(
        [network.plain(each) for each in chosen], network.input_shape, backend,
        batch=batch, stopwatch=stopwatch,
    )  # fmt: skip
    fitted = table.calibrated(list(zip(chosen, times, strict=True)))
    if len(chosen) < 3:  # a line through two noisy points would explain nothing
        fitted = replace(
            table, fixed=sum(t - table.total(a) for a, t in zip(chosen, times, strict=True)) / len(times)
        )  # fmt: skip
    return fitted


def measure(
    networks: Sequence[nn.Module],
    input_shape: Sequence[int],
    backend: Backend | None = None,
    *,
    batch: int = 1,
    stopwatch: Stopwatch | None = None,
) -> list[float]:
    """Milliseconds that each plain network takes, all measured in the same rounds.

    Raises:
        ValueError: A clock too coarse to see one of them.
    """
    backend, stopwatch = backend or Eager(), stopwatch or Stopwatch()
    x = torch.randn(batch, *input_shape, generator=generator(0))
    with backend.running():
        calls = {k: backend.prepared(network, x) for k, network in enumerate(networks)}
        times = stopwatch.milliseconds(calls)
    if min(times.values()) <= 0:
        raise ValueError(
            f"The clock {stopwatch.clock!r} says that a network takes {min(times.values()):g} ms. Use a "
            "finer one, such as time.perf_counter, or a larger `batch`."
        )
    return [times[k] for k in range(len(networks))]


def _layers(
    network: SuperNet, backend: Backend, batch: int, stopwatch: Stopwatch
) -> tuple[tuple[float, ...], ...]:
    """The time of every choice of every layer by itself; those that are alike are measured once."""
    keys: list[list[tuple[str, tuple[int, ...]] | None]] = []
    calls = {}
    with backend.running():
        for block, shape in zip(network.blocks, network.shapes, strict=True):
            keys.append([])
            for choice in block.options.choices():
                module = block.plain(choice)
                key = None if choice is None else (repr(module), shape)
                keys[-1].append(key)
                if key is not None and key not in calls:
                    x = torch.randn(batch, *shape, generator=generator(0))
                    calls[key] = backend.prepared(module, x)
        times = stopwatch.milliseconds(calls)
    return tuple(tuple(0.0 if key is None else times[key] for key in row) for row in keys)


def prediction_error(
    table: CostTable, architectures: Sequence[Architecture], measured: Sequence[float]
) -> float:
    """The mean of |predicted - measured| / measured.

    Example:
        >>> from nongreedy import nas
        >>> table = nas.CostTable(nas.Space((nas.LayerOptions((3,), (1,)),)), ((2.0,),))
        >>> nas.prediction_error(table, [table.space.largest()], [2.5])
        0.2
    """
    pairs = list(zip(architectures, measured, strict=True))
    return sum(abs(table.total(each) - time) / time for each, time in pairs) / len(pairs)
