"""The conformance table: every engine x optimizer x hyperparameter x model."""

import functools
from collections.abc import Iterator, Mapping, Sequence

from ..engines import Engine
from ..optimizers import Optimizer
from ._cell import Cell, Finding
from ._engines import ENGINES
from ._exam import OWNERS, Exam
from ._models import MODELS, built
from ._optimizers import OPTIMIZERS
from ._tasks import HYPERPARAMETERS

# Shared by all tables, so that a second engine does not pay for the judge again.
_exam = functools.cache(Exam)


class Table:
    r"""Every engine x optimizer x hyperparameter x model, each cell checked when it is asked for.

    A cell is exact if the largest error of its hypergradient against central differences of the
    outer loss, in float64, is at most :math:`10^{-6}` of the largest difference quotient.

    Args:
        engines, optimizers: By name; those of the library if left out.
        models: Names in `MODELS` or `EDGE_MODELS`.

    Raises:
        ValueError: An empty table, or an unknown model.

    Source: this library's; finite differences are textbook.

    Cannot: find an error that shows on long runs or at other values only; judge what an engine calls
    inexact, unless it comes with standard errors.

    Example:
        >>> import nongreedy as ng
        >>> table = Table({"mine": ng.Reverse()}, {"sgd": OPTIMIZERS["sgd"]}, ["mlp"])
        >>> max(finding.error for finding in table) < 1e-6
        True
    """

    def __init__(
        self,
        engines: Mapping[str, Engine] = ENGINES,
        optimizers: Mapping[str, Optimizer] = OPTIMIZERS,
        models: Sequence[str] = tuple(MODELS),
    ):
        self.engines, self.optimizers, self.models = dict(engines), dict(optimizers), list(models)
        if not (self.engines and self.optimizers and self.models):
            raise ValueError(
                "A table needs at least one engine, one optimizer and one model, but got "
                f"{list(engines)}, {list(optimizers)}, {list(models)}."
            )
        for model in self.models:
            built(model)  # a misspelt name shows now

    def cells(self) -> list[Cell]:
        """All cells, those of one exam next to each other; nothing is computed."""
        return [
            Cell(engine, row, name, model)
            for model in self.models
            for row, optimizer in self.optimizers.items()
            for names in (optimizer.learnable, HYPERPARAMETERS)
            for engine in self.engines
            for name in names
        ]

    def check(self, cell: Cell) -> Finding:
        """Look into one cell; what cells of one exam share is computed once."""
        return self.exam(cell).finding(cell, self.engines[cell.engine])

    def exam(self, cell: Cell) -> Exam:
        """The run that a cell is about."""
        optimizer = self.optimizers[cell.optimizer]
        owner = OWNERS[cell.hyperparameter not in optimizer.learnable]
        return _exam(optimizer, cell.model, owner)

    def __iter__(self) -> Iterator[Finding]:
        return (self.check(cell) for cell in self.cells())
