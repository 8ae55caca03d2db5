"""What is looked at once, at the first batch of a task, before anything is spent."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..errors import DataError
from ._advice import BROADCAST, IGNORED, Case, check_labels, wrong_weights
from ._examples import Examples
from ._nest import tensors

_ENTROPIES = (nn.CrossEntropyLoss, nn.NLLLoss)
_LOOK_UP = ("__getitem__", "index_select")


def warn_of(train: Examples, validation: Examples) -> None:
    """Warn of data that no learning can come of."""
    if _same(train, validation):
        warnings.warn(
            "`train` and `validation` are the same data: what is learned is how to fit them, not how to "
            "generalise. Hold a part out, as by validation=0.2.",
            stacklevel=3,
        )
    for examples in (train, validation):
        if (only := _constant(examples)) is not None:
            warnings.warn(
                f"All {examples.count} labels of `{examples.name}` are {only}: there is nothing to "
                "tell apart. Are the data sorted, and was one end of them taken?",
                stacklevel=3,
            )


def _same(one: Examples, other: Examples) -> bool:
    """Whether two sets were given as one object, or as the same tensors."""
    if one.is_tensors and other.is_tensors:
        pairs = zip(tensors(one.source), tensors(other.source), strict=False)
        return all(mine is theirs for mine, theirs in pairs)
    return one.source is other.source


def _constant(examples: Examples) -> str | None:
    """The target of all examples, where they are one number in memory each and alike."""
    targets = examples.source[1] if examples.is_tensors else None
    if not isinstance(targets, Tensor) or targets.numel() != examples.count or examples.count < 2:
        return None
    row = targets.reshape(-1)
    return f"{row[0].item() + 0:g}" if bool((row == row[0]).all()) else None


def check_classes(loss: Any, output: Any, sets: Iterable[Examples], case: Case) -> None:
    """Raise DataError where a cross-entropy is given a label that the model has no output for.

    Beforehand, because on an accelerator such a label ends the process' use of it.
    """
    entropy = isinstance(loss, _ENTROPIES) or loss in (
        functional.cross_entropy,
        functional.nll_loss,
    )
    if not entropy or not isinstance(output, Tensor) or output.dim() < 2:
        return
    ignored, classes = getattr(loss, "ignore_index", IGNORED), output.shape[1]
    cases = [case] + [Case(examples, None, _labels(examples)) for examples in sets]
    for each in cases:
        if _whole(each.targets):
            check_labels(each, classes, ignored)


@contextlib.contextmanager
def refusing(output: Any, targets: Any, case: Case | None = None) -> Iterator[None]:
    """Make an error of a loss that compares each output with each target, (N, 1) with (N,): of PyTorch's
    warning, and of the same in a loss that is written out; likewise of weights of other examples."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Using a target size")
        with _Refusing(output, targets, case):
            yield


class _Refusing(TorchFunctionMode):
    """Follows what comes of outputs and of targets, to see where the two meet.

    An operation of one with the other is refused where both have as many numbers and the result has more,
    unless each has its own dimension, as in ``output[:, None] - target[None, :]``: that is meant.
    """

    def __init__(self, output: Any, targets: Any, case: Case | None):
        super().__init__()
        self.case = case
        # By identity; the tensors are held, so that no other gets the number of one that is gone.
        self.of_outputs = {id(x): x for x in tensors(output)}
        self.of_targets = {id(x): x for x in tensors(targets)}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [x for x in (*args, *(kwargs or {}).values()) if isinstance(x, Tensor)]
        if isinstance(result, Tensor):
            if len(given) == 2:
                self._check(given[0], given[1], result)
            for followed in (self.of_outputs, self.of_targets):
                if any(id(x) in followed for x in given):
                    followed[id(result)] = result
        if self.case is not None and getattr(func, "__name__", "") in _LOOK_UP:
            _check_weights(self.case, args)
        return result

    def _check(self, one: Tensor, other: Tensor, result: Tensor) -> None:
        kinds = [(id(x) in self.of_outputs, id(x) in self.of_targets) for x in (one, other)]
        if sorted(kinds) != [(False, True), (True, False)] or one.dim() == other.dim():
            return
        if one.numel() == other.numel() < result.numel():
            raise UserWarning(f"it would compare {BROADCAST}, {result.numel()} pairs")


def _check_weights(case: Case, args: Any) -> None:
    """Raise DataError where numbers of examples look up a row of a hyperparameter with more rows."""
    if case.hypers is None or len(args) < 2:
        return
    for name, value in case.hypers.items():
        if args[0] is value and value.dim() and len(value) > case.examples.count:
            place = args[-1]
            if isinstance(place, Tensor) and torch.equal(place, case.hypers.index):
                raise DataError(wrong_weights(case, name))


def _labels(examples: Examples) -> Tensor | None:
    """The targets of all examples, where they are whole numbers in memory, one each."""
    if not examples.is_tensors:
        return None
    targets = examples.source[1]
    return targets if _whole(targets) and targets.dim() == 1 else None


def _whole(targets: Any) -> bool:
    return isinstance(targets, Tensor) and targets.dtype in (torch.int64, torch.uint8)
