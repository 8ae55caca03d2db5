"""Items from anywhere: tables, trials, rows; scaled so that utility is linear and more is better."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from ..errors import nearest_name
from ..protocols import front
from ._attribute import Attribute, larger, scaled, smaller
from ._numbers import tensor
from ._prior import Gaussian, Prior, Tradeoffs
from ._sets import Catalogue

Row = TypeVar("Row")


class NoTradeoffError(ValueError):
    """One item is best in every attribute: nothing is to be asked."""


@final
@dataclass(frozen=True, eq=False)
class Items:
    """Items with names and attributes, and the catalogue that they are scaled to.

    Attributes:
        raw: Values as they came, shape (n, d).
        attributes: Of each column: which way is better, and how it is scaled.
        names: Of each item.
        widths: Of each attribute's range before scaling to 0..1, in logarithms where it counts ratios.
        catalogue: Scaled, of shape (n, d).
        left_out: Items that are not here: the same as another, or beaten in every attribute.

    Example:
        >>> items = Items.of([[0.1, 9.0], [0.2, 3.0]], [smaller("loss"), smaller("ms", log=True)])
        >>> items.catalogue.points.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    raw: Tensor
    attributes: tuple[Attribute, ...]
    names: tuple[str, ...]
    widths: Tensor
    catalogue: Catalogue
    left_out: int = 0

    @classmethod
    def of(
        cls,
        table: Any,
        attributes: Sequence[Attribute],
        names: Sequence[str] | None = None,
        *,
        only_front: bool = False,
    ) -> Items:
        """From a table.

        Args:
            table: An array of a column for each attribute, in their order; a data frame or mapping of
                columns; or a list of mappings, one for each item.
            attributes: Made by :func:`larger`, :func:`smaller`, :func:`either`.
            names: Of the items; default their numbers.
            only_front: Leave out items that another beats in every attribute.

        Raises:
            ValueError: One item, identical items, NaN, unknown attributes, one that is constant.
            NoTradeoffError: One item beats all others.
        """
        attributes = tuple(attributes)
        if len(attributes) < 2:
            raise ValueError(
                f"A choice needs at least two attributes, but got {[a.name for a in attributes]}. By one "
                "alone, take the item that is best in it."
            )
        if len({a.name for a in attributes}) < len(attributes):
            raise ValueError(
                f"`attributes` repeat a name: {[a.name for a in attributes]}. Name each once: smaller or "
                "larger."
            )
        raw = tensor("table", _array(table, [a.name for a in attributes]), 2)
        if raw.shape[1] != len(attributes):
            raise ValueError(f"{len(attributes)} attributes, but {raw.shape[1]} columns.")
        given = [f"item {k}" for k in range(len(raw))] if names is None else [str(n) for n in names]
        if len(given) != len(raw):
            raise ValueError(f"{len(raw)} items, but {len(given)} `names`.")
        kept = _different(raw)
        if len(kept) < 2:
            raise ValueError(
                f"{len(raw)} item(s), of which {len(kept)} differ: there is nothing to choose."
            )
        if only_front:
            kept = _unbeaten(raw, attributes, kept, given)
        points, widths = scaled(raw[kept], attributes)
        chosen = tuple(given[k] for k in kept)
        left_out = len(raw) - len(kept)
        return cls(raw[kept], attributes, chosen, widths, Catalogue(points), left_out)

    @classmethod
    def of_rows(
        cls, rows: Iterable[Row], objectives: Mapping[Attribute, Callable[[Row], Any]]
    ) -> Items:
        """The Pareto set of any rows, such as those of a comparison; a row is named by ``str``.

        Args:
            rows: Anything.
            objectives: Attribute -> its value in a row.
        """
        rows = list(rows)
        if not rows:
            raise ValueError("There are no rows, so that there is nothing to choose.")
        table = [[float(read(row)) for read in objectives.values()] for row in rows]
        names = [f"{row!s:.60}" for row in rows]
        return cls.of(table, tuple(objectives), names, only_front=True)

    @classmethod
    def of_trials(cls, trials: Iterable[Any], attributes: Sequence[Attribute]) -> Items:
        """The Pareto set of Optuna's trials, by their values in order: ``study.best_trials``."""
        done = [trial for trial in trials if trial.values is not None]
        if not done:
            raise ValueError("No trial has values: there is nothing to choose.")
        if len(done) == 1:
            raise NoTradeoffError(
                f"Trial {done[0].number} is the only one: choose it; there is no trade-off to ask about."
            )
        names = [f"trial {trial.number}" for trial in done]
        return cls.of([trial.values for trial in done], attributes, names, only_front=True)

    @classmethod
    def of_study(cls, study: Any) -> Items:
        """The Pareto set of a study of Optuna with several objectives, with its own directions and
        names."""
        if len(study.directions) < 2:
            raise NoTradeoffError(
                f"The study {study.study_name!r} has one objective, so that there is no trade-off: its "
                "best trial is study.best_trial."
            )
        names = study.metric_names or [f"value {k}" for k in range(len(study.directions))]
        ways = [smaller if way.name == "MINIMIZE" else larger for way in study.directions]
        return cls.of_trials(
            study.best_trials, [way(name) for way, name in zip(ways, names, strict=True)]
        )

    def __len__(self) -> int:
        return len(self.names)

    def prior(self) -> Prior:
        """What is believed at first: positive weights of sum 1 where every attribute has a better side,
        else standard normal ones."""
        if all(attribute.sign for attribute in self.attributes):
            return Tradeoffs(len(self.attributes))
        return Gaussian.standard(len(self.attributes))

    def described(self, member: int) -> str:
        """Name and attributes of an item."""
        cells = zip(self.attributes, self.raw[member].tolist(), strict=True)
        return f"{self.names[member]}: " + ", ".join(a.shown(value) for a, value in cells)

    def hypothetical(self, point: Tensor, shown: Sequence[int] | None) -> str:
        """The attributes of a scaled point, as they were before scaling."""
        cells = []
        for k in range(len(self.attributes)) if shown is None else shown:
            attribute, column = self.attributes[k], self.raw[:, k]
            origin = float(attribute.transformed(column).min())
            value = (origin + float(point[k] * self.widths[k])) * (attribute.sign or 1)
            cells.append(attribute.shown(math.exp(value) if attribute.log else value))
        return ", ".join(cells) + (", all else alike" if shown is not None else "")

    def scaling(self) -> list[str]:
        """How each attribute was scaled, a line for each."""
        lines = []
        for k, attribute in enumerate(self.attributes):
            worst, best = self.raw[:, k].min(), self.raw[:, k].max()
            if attribute.sign < 0:
                worst, best = best, worst
            ratios = ", by ratios" if attribute.log else ""
            lines.append(
                f"{attribute.name}: {attribute.wanted}{ratios}; 0 at {worst:.4g}, 1 at {best:.4g}"
            )
        return lines

    def fingerprint(self) -> str:
        """The same for the same items and scaling."""
        said = repr((self.attributes, self.names)).encode() + self.raw.numpy().tobytes()
        return hashlib.sha256(said).hexdigest()


def _array(table: Any, names: Sequence[str]) -> Any:
    """Columns by name where the table has names, else the table."""
    named = _by_name(table)
    if named is None:
        return table
    columns, read = named
    for name in names:
        if name not in columns:
            raise ValueError(f"Unknown attribute {name!r}." + nearest_name(name, columns))
    return torch.stack([_column(name, read(name)) for name in names], 1)


def _by_name(table: Any) -> tuple[list[str], Callable[[str], Iterable[Any]]] | None:
    """Names of columns and what reads one; None for arrays."""
    if isinstance(table, Mapping):
        return [str(name) for name in table], table.__getitem__
    if hasattr(table, "columns"):
        return [str(name) for name in table.columns], table.__getitem__
    if isinstance(table, Sequence) and len(table) and isinstance(table[0], Mapping):
        return list(table[0]), lambda name: [row.get(name) for row in table]
    return None


def _column(name: str, values: Iterable[Any]) -> Tensor:
    found = list[float]()
    for row, value in enumerate(values):
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            raise ValueError(
                f"{name!r} must be a number in every row, but is {value!r} in row {row}, counting "
                "from 0. Leave that row out, or put a number there."
            ) from None
        if not math.isfinite(found[-1]):
            raise ValueError(
                f"{name!r} must be finite in every row, but is {value!r} in row {row}, counting "
                "from 0. Leave that row out, or put a number there."
            )
    return torch.tensor(found, dtype=torch.float64)


def _different(raw: Tensor) -> list[int]:
    """The first of each kind, in order."""
    _, kinds = raw.unique(dim=0, return_inverse=True)
    first = torch.full((int(kinds.max()) + 1,), len(raw))
    first.scatter_reduce_(0, kinds, torch.arange(len(raw)), "amin")
    return first.sort().values.tolist()


def _unbeaten(
    raw: Tensor, attributes: Sequence[Attribute], kept: list[int], names: Sequence[str]
) -> list[int]:
    free = [a.name for a in attributes if not a.sign]
    if free:
        raise ValueError(f"Of {free} either may be better, so that no item beats another there.")
    values = raw.tolist()
    objectives = {
        a.name: lambda row, k=k, a=a: -a.sign * values[row][k] for k, a in enumerate(attributes)
    }
    unbeaten = front(kept, objectives)
    if len(unbeaten) < 2:
        raise NoTradeoffError(
            f"{names[unbeaten[0]]!r} is best in every attribute of {len(raw)} items: choose it; there is no "
            "trade-off to ask about."
        )
    return unbeaten
