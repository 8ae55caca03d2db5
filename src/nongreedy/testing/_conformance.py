"""Classes of tests that a stranger's engine or optimizer joins by subclassing. For pytest."""

import unittest
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..engines import Engine
from ..optimizers import Optimizer
from ._cell import Cell, Grade
from ._engines import ENGINES
from ._models import MODELS
from ._optimizers import OPTIMIZERS
from ._table import Table


class _Conformance:
    """One test for each cell of a table. No plug-in: pytest asks a test class for its parameters."""

    engines: ClassVar[Mapping[str, Engine]] = ENGINES
    optimizers: ClassVar[Mapping[str, Optimizer]] = OPTIMIZERS
    models: ClassVar[Sequence[str]] = tuple(MODELS)

    @classmethod
    def table(cls) -> Table:
        """What is checked."""
        return Table(cls.engines, cls.optimizers, cls.models)

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Called by pytest for each test: one per cell."""
        if "cell" in metafunc.fixturenames:
            metafunc.parametrize("cell", cls.table().cells(), ids=str)

    def test_hypergradient(self, cell: Cell) -> None:
        """Exact against finite differences to 1e-6, or skipped with a reason."""
        finding = self.table().check(cell)
        if finding.grade is Grade.skipped:
            # The standard library's own way to skip, which pytest honours: no import of pytest.
            raise unittest.SkipTest(finding.reason)
        if not finding.passed:
            raise AssertionError(str(finding))


class EngineConformance(_Conformance):
    """The tests of an engine. Subclass it in a file of pytest's, and name your engine.

    Args:
        engine: An instance. What it calls exact (:meth:`Engine.inexact_because`) is checked.
        optimizers: Name -> optimizer, all of the library's unless narrowed.
        models: Names of `MODELS` and `EDGE_MODELS`.

    Raises:
        TypeError: A subclass without an engine.

    Cannot: tell whether an engine is fast, or right on long runs.

    Example:
        >>> import nongreedy as ng
        >>> class TestMyEngine(EngineConformance):
        ...     engine = ng.Forward(chunk=3)
        ...     models = ("mlp",)
        >>> TestMyEngine.table().models
        ['mlp']
    """

    engine: ClassVar[Engine]

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        engine = _given(cls, "engine", Engine, "MyEngine()")
        cls.engines = {type(engine).__name__: engine}


class OptimizerConformance(_Conformance):
    """The tests of an optimizer. Subclass it in a file of pytest's, and name your optimizer.

    Args:
        optimizer: An instance with a basis for everything that it can learn, at values where all of
            it matters within five steps; what is fixed is skipped.
        engines: Name -> engine, all of the library's unless narrowed.
        models: Names of `MODELS` and `EDGE_MODELS`.

    Raises:
        TypeError: A subclass without an optimizer.

    Cannot: compare an optimizer with its ``torch_optimizer``; judge across a kink, where no
    derivative exists: move the values a little.

    Example:
        >>> import nongreedy as ng
        >>> class TestMyOptimizer(OptimizerConformance):
        ...     optimizer = ng.SGD(ng.Windows(2, initial=0.3), momentum=ng.Constant(initial=0.5))
        ...     engines = {"reverse": ng.Reverse()}
        >>> list(TestMyOptimizer.table().engines)
        ['reverse']
    """

    optimizer: ClassVar[Optimizer]

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        optimizer = _given(cls, "optimizer", Optimizer, "MyOptimizer(learning_rate=...)")
        cls.optimizers = {type(optimizer).__name__: optimizer}


def _given(cls: type, name: str, kind: type, example: str) -> Any:
    value = getattr(cls, name, None)
    if not isinstance(value, kind):
        raise TypeError(
            f"{cls.__name__}.{name} must be a nongreedy.{kind.__name__}, but is {value!r}. Write "
            f"`{name} = {example}` in the body of the class."
        )
    return value
