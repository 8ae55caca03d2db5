"""The conformance table, for the library's own engines and optimizers and for a stranger's."""

from ..schedules._export import export
from ._cell import Cell, Finding, Grade
from ._conformance import EngineConformance, OptimizerConformance
from ._engines import ENGINES
from ._exam import OWNERS, SEED, Exam
from ._judge import TOLERANCE, Judge, assert_same
from ._models import EDGE_MODELS, MODELS, classes
from ._optimizers import OPTIMIZERS
from ._table import Table
from ._tasks import COUNT, HYPERPARAMETERS, STEPS, tiny_task

__all__ = [
    "COUNT", "EDGE_MODELS", "ENGINES", "HYPERPARAMETERS", "MODELS", "OPTIMIZERS", "OWNERS",
    "SEED", "STEPS", "TOLERANCE", "Cell", "EngineConformance", "Exam", "Finding", "Grade",
    "Judge", "OptimizerConformance", "Table", "assert_same", "classes", "tiny_task",
]  # fmt: skip

export(globals())
