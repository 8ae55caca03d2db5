"""The conformance table, for the library's own engines and optimizers and for a stranger's."""

from ._cell import Cell as Cell
from ._cell import Finding as Finding
from ._cell import Verdict as Verdict
from ._conformance import EngineConformance as EngineConformance
from ._conformance import OptimizerConformance as OptimizerConformance
from ._engines import ENGINES as ENGINES
from ._judge import TOLERANCE as TOLERANCE
from ._judge import Judge as Judge
from ._judge import assert_same as assert_same
from ._models import EDGE_MODELS as EDGE_MODELS
from ._models import MODELS as MODELS
from ._models import classes as classes
from ._optimizers import BASES as BASES
from ._optimizers import CLIPPINGS as CLIPPINGS
from ._optimizers import OPTIMIZERS as OPTIMIZERS
from ._problem import OWNERS as OWNERS
from ._problem import SEED as SEED
from ._problem import Problem as Problem
from ._table import Table as Table
from ._tasks import COUNT as COUNT
from ._tasks import HYPERPARAMETERS as HYPERPARAMETERS
from ._tasks import STEPS as STEPS
from ._tasks import tiny_task as tiny_task
