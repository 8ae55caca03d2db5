"""A machine that does not exist: times by a formula, so that a miss of the target is the search's own.

Each layer of a network takes an overhead and its multiply-adds at a pace of its kind, times a factor of its
own. Layers by themselves take longer than in a network; a whole network has an error that no table of layers
can know; one measurement differs from the next; and from round to round the machine drifts.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from nongreedy import nas
from nongreedy.protocols import generator

Piece = Callable[[], dict[str, Any]]
_OVERHEAD, _ALONE = 0.01, 1.3  # ms of a layer; a block by itself takes so many times as long
_PACE = {"dense": 2e-8, "depthwise": 2e-7}  # ms for each multiply-add


@dataclass(eq=False)
class Simulated(nas.Backend):
    """Backend and clock in one.

    Args:
        seed: Of the machine.
        layer: Standard deviation of the logarithm of what each kind of layer takes.
        network: Likewise, of what each whole network has of its own.
        noise: Likewise, from one call to the next.
        drift: Likewise, of the machine's pace, from round to round; it adds up.
    """

    seed: int = 0
    layer: float = 0.0
    network: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    now: float = field(default=0.0, init=False)
    pace: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        self._draw = generator(self.seed, 81)

    def __call__(self) -> float:
        return self.now

    @property
    def stopwatch(self) -> nas.Stopwatch:
        return nas.Stopwatch(repeats=1, warm_up=0, clock=self)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.pace *= self._factor(self.drift)
        yield

    def prepared(self, network: nn.Module, x: Tensor) -> Callable[[], None]:
        takes = self.milliseconds(network, x)

        def once() -> None:
            self.now += takes * self.pace * self._factor(self.noise) / 1e3

        return once

    def milliseconds(self, network: nn.Module, x: Tensor) -> float:
        """What it takes when the machine has not drifted."""
        total = 0.0
        for layer, size in _layers(network, x):
            kind = "depthwise" if getattr(layer, "groups", 1) > 1 else "dense"
            own = _OVERHEAD + _PACE[kind] * size
            total += own * self._own(f"{layer} {size}", self.layer)
        whole = any(isinstance(each, nn.Linear) for each in network.modules())
        return total * (self._own(repr(network), self.network) if whole else _ALONE)

    def versions(self) -> dict[str, str]:
        return {"simulated": "1"}

    def to_json(self) -> dict[str, Any]:
        return {"class": "Simulated", "seed": self.seed}

    def _factor(self, deviation: float) -> float:
        return float(torch.exp(deviation * torch.randn((), generator=self._draw)))

    def _own(self, said: str, deviation: float) -> float:
        """The same for the same words."""
        digest = int.from_bytes(sha256(said.encode()).digest()[:4], "big")
        return float(torch.exp(deviation * torch.randn((), generator=generator(self.seed, digest))))


def _layers(network: nn.Module, x: Tensor) -> list[tuple[nn.Module, int]]:
    """Layers with weights in the order of a pass, and their multiply-adds."""
    seen = list[tuple[nn.Module, int]]()

    def note(layer: Any, _: Any, out: Tensor) -> None:
        seen.append((layer, layer.weight[0].numel() * out[0].numel()))

    chosen = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [each.register_forward_hook(note) for each in chosen]
    before = network.training
    with torch.no_grad():
        network.eval()(x)
    network.train(before)
    for hook in hooks:
        hook.remove()
    return seen


def on_target(machine: Simulated, share: float, seed: int) -> dict[str, Any]:
    """A short search for a target that lies so far from the fastest network to the slowest."""
    draw = generator(seed)
    x, y = torch.randn(64, 3, 16, 16, generator=draw), torch.randint(4, (64,), generator=draw)
    net = nas.search_space(
        classes=4, resolution=16, width=0.25, depth=(2, 2, 2, 0, 0), head=32, seed=seed
    )
    table = nas.profile(net, machine, stopwatch=machine.stopwatch, seed=seed)
    like = torch.zeros(1, *net.input_shape)
    low, high = (machine.milliseconds(net.plain(end), like) for end in table.extremes())
    target = machine.pace * (low + share * (high - low))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the pace, which is meant here
        found = nas.search(
            net, (x, y), (x, y), target=target, table=table, backend=machine, judges=16, seed=seed,
            stopwatch=machine.stopwatch, recipe=nas.Recipe(4, 16), final=nas.Recipe(1, 16),
        )  # fmt: skip
    takes = machine.pace * machine.milliseconds(found.network, like)
    return {"target": target, "measured": found.measured, "takes": takes, "off": takes / target - 1}


MACHINES = {
    "layers 10 %": {"layer": 0.1},
    "layers 20 %": {"layer": 0.2},
    "layers 10 %, networks 2 %": {"layer": 0.1, "network": 0.02},
    "layers 10 %, networks 5 %": {"layer": 0.1, "network": 0.05},
    "layers 10 %, noise 2 %": {"layer": 0.1, "noise": 0.02},
    "layers 10 %, drift 5 %": {"layer": 0.1, "drift": 0.05},
}


def simulated(small: bool) -> dict[str, Piece]:
    """Row 3 where the machine is known: how far the network that was found is from its target."""
    seeds, shares = (range(1), (0.5,)) if small else (range(3), (0.1, 0.5, 0.9))
    rows = itertools.product(MACHINES.items(), shares, seeds)
    return {
        f"{name}-{share:g}-{seed}": lambda m=made, s=share, k=seed: on_target(
            Simulated(1000 + k, **m), s, k
        )
        for (name, made), share, seed in rows
    }
