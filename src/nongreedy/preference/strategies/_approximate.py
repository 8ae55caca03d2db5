"""Approximate search for the items of largest utility, by faiss, with its recall measured."""

from __future__ import annotations

import math
import warnings
import weakref
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from ..._extras import needed, optional
from ...errors import check_number, check_whole
from .._sets import Catalogue

# What faiss calls such an index of n items, and its parameter that buys recall by time.
KINDS = {
    "lists": (lambda n: f"IVF{max(1, round(math.sqrt(n)))},Flat", "nprobe"),
    "graph": (lambda n: "HNSW32,Flat", "efSearch"),
}
_FIRST, _NEAR, _TRAINED = 16, 4, 64  # effort to begin with, items found, items for each list
_LEVEL = 1e-12


class RecallWarning(UserWarning):
    """Approximate search found too few of the best items, and an exact one took its place."""


@final
@dataclass(frozen=True)
class Approximate:
    """Inner products with a few of many items, so that the largest is found nearly always.

    Only what may be asked about is found so; values of questions and recommendations stay exact. Of the
    directions of each search a sample is searched exactly, too: where that shows a recall below the bound,
    the effort is doubled, and where no effort helps, the exact search is used, with a `RecallWarning`.

    Args:
        kind: "lists": items in about sqrt(n) groups, of which the most promising are looked through;
            "graph": items linked to their like, which takes longer to build.
        recall: The share of directions whose best item must be found, in (0, 1].
        sample: Directions that are searched exactly as well.

    Raises:
        MissingExtraError: faiss is not installed.

    Source: faiss (arXiv:2401.08281): its inverted lists, and hierarchical graphs (arXiv:1603.09320).

    Cannot: be sure of the recall beyond its sample: of 64 directions, 0.95 is known to 0.03.

    Example:
        >>> Approximate(recall=0.9).kind
        'lists'
    """

    kind: str = "lists"
    recall: float = 0.95
    sample: int = 64

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, but got {self.kind!r}.")
        check_number("recall", self.recall)
        if self.recall > 1:
            raise ValueError(f"`recall` must be at most 1, but got {self.recall!r}.")
        check_whole("sample", self.sample)
        needed("Approximate search", "faiss")

    def index(self, items: Catalogue) -> Index:
        """That of a catalogue: built at the first call, and kept while the catalogue is."""
        kept = _INDEXES.setdefault(items, {})
        if self not in kept:
            kept[self] = Index(self, items)
        return kept[self]


@dataclass(eq=False)
class Index:
    """An index of a catalogue, and how well it has done.

    Attributes:
        effort: Lists or nodes that a search looks at.
        measured: The recall in the sample of the last search; NaN before any.
    """

    search: Approximate
    items: Catalogue
    effort: int = _FIRST
    measured: float = math.nan
    _faiss: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        faiss = optional("Approximate search", "faiss")
        self.items = weakref.proxy(self.items)  # else the catalogue would keep itself alive
        # A shift of all items changes no winner, and single precision has more to say of small numbers.
        points = (self.items.points - self.items.relaxed.centre).float().numpy()
        name, _ = KINDS[self.search.kind]
        self._faiss = faiss.index_factory(
            points.shape[1], name(len(points)), faiss.METRIC_INNER_PRODUCT
        )
        few = _TRAINED * round(math.sqrt(len(points)))
        self._faiss.train(points[:: max(1, len(points) // few)])
        self._faiss.add(points)

    def best(self, directions: Tensor, source: torch.Generator) -> Tensor:
        """Items of largest inner product with directions of shape (b, d), nearly always: shape (b,)."""
        drawn = torch.randperm(len(directions), generator=source)[: self.search.sample]
        exact, _ = self.items.best(directions[drawn])
        while True:
            values, places = self._found(directions)
            reached = values[drawn] >= exact - _LEVEL * exact.abs().clamp(min=1)
            self.measured = float(reached.double().mean())
            if self.measured >= self.search.recall:
                return places
            if self.effort >= len(self.items):
                break
            self.effort *= 2
        warnings.warn(
            f"{self.search} finds {self.measured:.0%} of the best items at its largest effort, so that all "
            "are looked through. Give another `kind`, or a lower `recall`.",
            RecallWarning,
            stacklevel=2,
        )
        return self.items.best(directions)[1]

    def _found(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The best of a few by exact products: those of faiss are in single precision."""
        faiss = optional("Approximate search", "faiss")
        _, parameter = KINDS[self.search.kind]
        faiss.ParameterSpace().set_index_parameter(self._faiss, parameter, self.effort)
        count = min(_NEAR, len(self.items))
        _, near = self._faiss.search(directions.float().numpy(), count)
        places = torch.from_numpy(near)
        values = (self.items.points[places] @ directions[:, :, None])[..., 0]
        values = values.masked_fill(places < 0, -torch.inf)  # fewer than asked for were met
        found, rank = values.max(1)
        return found, places.gather(1, rank[:, None])[:, 0].clamp(min=0)


_INDEXES: weakref.WeakKeyDictionary[Catalogue, dict[Approximate, Index]] = (
    weakref.WeakKeyDictionary()
)
