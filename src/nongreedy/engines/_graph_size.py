"""How much memory the graph of a training gradient takes, and whether it has the gradient's bits."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..schedules import Schedule
from ._linearized import Linearized
from ._run import Run, Values, at

# Bytes of an operation's bookkeeping: 800 to 1,200 by the resident memory of thousands of kept graphs of
# three small networks.
_NODE = 1000


@dataclass(frozen=True)
class GraphSize:
    """Of the gradient of a run's first step.

    Attributes:
        bytes: That its graph holds beyond the state.
        exact: Whether the gradient has the bits of one without a graph, so that a run whose graphs are
            kept is the run that it would be without.
    """

    bytes: int
    exact: bool


_known: weakref.WeakKeyDictionary[Any, dict[tuple[Any, ...], GraphSize]] = (
    weakref.WeakKeyDictionary()
)


def graph_size(run: Run) -> GraphSize:
    """By taking the gradient twice, once per task and precision."""
    task = run.task
    if task.accumulate > 1:  # whose parts' graphs shall not be held together
        return GraphSize(0, exact=False)
    sizes = _known.setdefault(task.plan, {})
    key = id(task.model), tuple(task.learnable), run.dtype, task.device
    if key not in sizes:
        sizes[key] = _measured(run)
    return sizes[key]


def _measured(run: Run) -> GraphSize:
    own = Schedule.initial(run.task.hyperparameters(run.steps))
    values = at(run.values(own), 0)
    with run.isolated():
        theta = run.initial_parameters(values).detach()
        loss, gradient = run.unread_gradient(theta, 0, values)
        size, point = _weighed(run, theta, values)
    same = torch.equal(point.loss.detach(), loss) and torch.equal(point.gradient.detach(), gradient)
    return GraphSize(size, same)


def _weighed(run: Run, theta: Tensor, values: Values) -> tuple[int, Linearized]:
    if theta.device.type == "cuda":
        before = torch.cuda.memory_allocated(theta.device)
        point = run.linearize(theta, 0, values, run.learned)
        return torch.cuda.memory_allocated(theta.device) - before, point
    with _Storages() as storages:
        point = run.linearize(theta, 0, values, run.learned)
    return storages.held, point


class _Storages(TorchDispatchMode):
    """The memory that operations take, as long as something holds it."""

    def __init__(self) -> None:
        super().__init__()
        self._given, self._made, self._operations = set[int](), dict[int, Any](), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for storage in _storages((args, kwargs)):
            if storage._cdata not in self._made:
                self._given.add(storage._cdata)
        result = func(*args, **kwargs)
        self._operations += 1
        for storage in _storages(result):
            if storage._cdata not in self._given:
                self._made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        return result

    @property
    def held(self) -> int:
        """Bytes."""
        alive = (size for reference, size in self._made.values() if not reference.expired())
        return sum(alive) + _NODE * self._operations


def _storages(nest: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(nest) if isinstance(leaf, Tensor)]
