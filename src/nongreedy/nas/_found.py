"""What a search returns."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..schedules._files import plain, replace_file
from ..schedules._version import __version__
from ._architecture import Architecture
from ._table import CostTable


@dataclass(frozen=True)
class Found:
    """An architecture, and its trained network.

    Attributes:
        architecture: What was chosen.
        network: The trained network, an ordinary module in evaluation mode.
        table: Costs, corrected by what was measured.
        target: Asked for, in the table's unit.
        predicted: By the table, before the network was measured.
        measured: On this machine, in milliseconds; None where the table is of another unit or machine.
        validation_loss: Cross-entropy of the trained network.
        validation_accuracy: Likewise, from 0 to 1; NaN of targets that are no classes.
        search_cost: Gradient steps of the whole super-network, forward passes counted as thirds.
        final_cost: Gradient steps of the chosen network.
        history: Of each step in which gates moved: number, cost, its average, price.
        averages: How often each bit was open.
        judged: Losses of architectures with the shared weights.
        settings: What was asked for.
    """

    architecture: Architecture
    network: nn.Module
    table: CostTable
    target: float
    predicted: float
    measured: float | None
    validation_loss: float
    validation_accuracy: float
    search_cost: float
    final_cost: float
    history: Sequence[tuple[int, float, float, float]]
    averages: Sequence[Sequence[float]]
    judged: Mapping[Architecture, float]
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything but the network."""
        names = ("target", "predicted", "measured", "validation_loss", "validation_accuracy")
        return plain(
            {
                "format": "nongreedy.nas", "version": 1,
                "versions": {
                    "nongreedy": __version__, "torch": torch.__version__,
                    "python": platform.python_version(),
                },
                "architecture": self.architecture.to_json(), "unit": self.table.unit,
                **{name: getattr(self, name) for name in names},
                "search_cost": self.search_cost, "final_cost": self.final_cost,
                "averages": self.averages, "history": self.history, "table": self.table.to_json(),
                "judged": [[each.to_json()["layers"], loss] for each, loss in self.judged.items()],
                "settings": dict(self.settings),
            }
        )  # fmt: skip

    def save(self, directory: Path) -> list[Path]:
        """Write ``nas.json``, and the network as :func:`save` does."""
        from ._save import save

        shape = tuple(self.settings["input_shape"])
        directory.mkdir(parents=True, exist_ok=True)
        numbers = directory / "nas.json"
        replace_file(numbers, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        return [numbers, *save(self.network, shape, directory)]

    def __str__(self) -> str:
        measured = "" if self.measured is None else f", measured {self.measured:.4g}"
        return (
            f"{self.architecture}\n{self.table.unit}: target {self.target:.4g}, predicted "
            f"{self.predicted:.4g}{measured}; validation accuracy {self.validation_accuracy:.4f}"
        )
