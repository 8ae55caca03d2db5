"""Other architectures beside the one that was found: uniform ones, and random ones that cost as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..protocols import generator, mix
from ..task._streams import RIVALS
from ._architecture import Architecture
from ._data import Data
from ._found import Found
from ._knapsack import knapsack
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe, batch_statistics, judge, recalibrated, train

_RECOUNTED = 20


@dataclass(frozen=True)
class Rival:
    """An architecture, judged.

    Attributes:
        kind: "found", "uniform", "random" or "random, as slow".
        predicted: By the table.
        shared: Accuracy with the weights of the super-network.
        trained: After training like the one that was found; None where it was not trained.
    """

    architecture: Architecture
    kind: str
    predicted: float
    shared: float
    trained: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "architecture": self.architecture.to_json()}


def random_at(table: CostTable, least: float, most: float, seed: int) -> Architecture | None:
    """A random architecture that costs between these: the best by values drawn at random, so that all
    layers spend what there is; None where none costs so much.

    Example:
        >>> from nongreedy import nas
        >>> space = nas.Space((nas.LayerOptions((3, 5), (1,)),) * 4)
        >>> table = nas.CostTable(space, ((1.0, 2.0),) * 4)
        >>> table.total(random_at(table, 6.0, 6.0, seed=0))
        6.0
    """
    draw = generator(seed)
    values = [torch.randn(len(row), generator=draw).tolist() for row in table.costs]
    chosen = knapsack(values, table.costs, most - table.fixed, least - table.fixed)
    if chosen is None:
        return None
    pairs = zip(table.space.layers, chosen, strict=True)
    return Architecture(tuple(options.choices()[k] for options, k in pairs))


def rivals(
    network: SuperNet,
    found: Found,
    train_data: Any,
    validation_data: Any,
    recipe: Recipe,
    *,
    scattered: int = 30,
    trained: int = 2,
    room: float = 0.05,
    seed: int = 0,
    on_rival: Callable[[Rival], None] | None = None,
) -> list[Rival]:
    """Judge architectures beside the one that was found, all with the weights of the same super-network.

    Those that are trained begin with the shared weights, as the one that was found, and take as many
    steps: the best uniform one that meets the target, and random ones that cost as much as the found.

    Args:
        network: The super-network after its search.
        found: What :func:`search` returned.
        train_data, validation_data: As in :func:`search`.
        recipe: How the found network was trained.
        scattered: Random architectures that are judged with the shared weights alone.
        trained: Random architectures that are trained.
        room: Share of the target that those may leave unused.
        seed: Of random architectures and of their training.
        on_rival: Called with each.
    """
    learn, held = Data.of(train_data, "train_data"), Data.of(validation_data, "validation_data")
    draw, table = generator(seed, RIVALS), found.table
    own = table.total(found.architecture)
    most = max(found.target, own)
    least = min(found.target, own) * (1 - room)
    near = [random_at(table, least, most, mix(seed, RIVALS, 0, k)) for k in range(trained)]
    rows = [("uniform", each) for each in network.space.uniform()]
    rows += [("random, as slow", each) for each in near if each is not None]
    rows += [("random", network.space.random(draw)) for _ in range(scattered)]
    judged = [_judged(network, table, held, *row) for row in rows]
    fits = [r for r in judged if r.kind == "uniform" and r.predicted <= most]
    best = max(fits, key=lambda row: row.shared, default=None)
    first = _judged(network, table, held, "found", found.architecture)
    done = [replace(first, trained=found.validation_accuracy)]
    for k, row in enumerate(judged):
        if row is best or row.kind == "random, as slow":
            plain = network.plain(row.architecture)
            recalibrated(plain, learn, recipe.batch_size, _RECOUNTED, mix(seed, 2))
            train(plain, learn, recipe, seed=mix(seed, RIVALS, 1, k))
            row = replace(row, trained=judge(plain, held)[1])
        done.append(row)
        if on_rival is not None:
            on_rival(row)
    return done


def _judged(
    network: SuperNet, table: CostTable, held: Data, kind: str, architecture: Architecture
) -> Rival:
    with network.fixed(architecture), batch_statistics(network):
        _, accuracy = judge(network, held)
    return Rival(architecture, kind, table.total(architecture), accuracy)


def best_of(rows: Sequence[Rival], kind: str) -> Rival | None:
    """The most accurate trained one of a kind."""
    return max(
        (row for row in rows if row.kind == kind and row.trained is not None),
        key=lambda row: row.trained or 0.0,
        default=None,
    )
