"""What the user's own functions see of the hyperparameters that they take."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import nearest_name


class Hypers(Mapping[str, Tensor]):
    """The task's hyperparameters at one step, by name, and where in the run this is.

    Handed to those of the task's functions that have an argument called ``hypers``.

    Attributes:
        step: Number of the step, from 0.

    Example:
        >>> import torch
        >>> hypers = Hypers({"smoothing": torch.tensor(0.5)}, 0, dict, lambda: torch.arange(2))
        >>> hypers["smoothing"].item(), hypers.index.tolist()
        (0.5, [0, 1])
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        step: int,
        parameters: Callable[[], Mapping[str, Tensor]],
        index: Callable[[], Tensor] | None = None,
    ):
        self.step, self._values, self._parameters, self._index = step, values, parameters, index

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            names = nearest_name(name, self._values) if self._values else " It has none."
            raise KeyError(f"The task has no hyperparameter {name!r}.{names}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def index(self) -> Tensor:
        """Which training examples form the batch, shape (batch,), int64."""
        if self._index is None:
            raise ValueError("There is no batch at the initialization, so no `hypers.index`.")
        return self._index()

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """The network's parameters by name: what a penalty of weights is made of."""
        return self._parameters()


def takes_hypers(function: Callable[..., Any] | None) -> bool:
    """Whether a function has an argument called ``hypers``."""
    if function is None:
        return False
    function = function.forward if isinstance(function, nn.Module) else function
    try:
        return "hypers" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins have no signature
        return False


def accepting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which may be called with ``hypers=`` whether it takes them or not."""
    if takes_hypers(function):
        return function
    return lambda *arguments, hypers: function(*arguments)
