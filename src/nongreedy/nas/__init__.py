"""Single-Path NAS: an architecture that meets a latency on this machine, in one search."""

from ..schedules._export import export
from ._architecture import Architecture, Choice, LayerOptions
from ._backends import Backend, Eager, OnnxRuntime
from ._block import MBConv
from ._build import search_space
from ._control import Averages, DualPrice, FixedPrice
from ._counts import flops, memory, parameters
from ._found import Found
from ._gates import Gate, PaperGate, ScaleFreeGate, straight_through
from ._knapsack import knapsack
from ._levels import Joint, Level, Validated
from ._onnx import to_onnx
from ._profile import measure, prediction_error, profile
from ._progress import Progress, Watch, tenths
from ._readout import Readout
from ._rivals import Rival, random_at, rivals
from ._save import ExportError, check_onnx, save
from ._search import printed, search
from ._searchable import searchable
from ._space import Space
from ._stopwatch import Stopwatch
from ._superkernel import effective_kernel
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe, judge, redraw, train
from ._tune_search import Tuned, tune_search
from ._tuned import optuna_objective

__all__ = [
    "Architecture", "Averages", "Backend", "Choice", "CostTable", "DualPrice", "Eager",
    "ExportError", "FixedPrice", "Found", "Gate", "Joint", "LayerOptions", "Level", "MBConv",
    "OnnxRuntime", "PaperGate", "Progress", "Readout", "Recipe", "Rival", "ScaleFreeGate",
    "Space", "Stopwatch", "SuperNet", "Tuned", "Validated", "Watch", "check_onnx", "effective_kernel",
    "flops", "judge", "knapsack", "measure", "memory", "optuna_objective", "parameters", "prediction_error",
    "printed", "profile", "random_at", "redraw", "rivals", "save", "search", "search_space", "searchable",
    "straight_through", "tenths", "to_onnx", "train",
    "tune_search",
]  # fmt: skip

export(globals())
