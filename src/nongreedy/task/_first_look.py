"""What is looked at once, at the first batch of a task, before anything is spent."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._advice import IGNORED, Case, check_labels
from ._examples import Examples

_ENTROPIES = (nn.CrossEntropyLoss, nn.NLLLoss)
_FUNCTIONS = (functional.cross_entropy, functional.nll_loss)


def warn_of(train: Examples, validation: Examples, same: bool) -> None:
    """Warn of data that no learning can come of; `same`: whether both were given as one object."""
    if same:
        warnings.warn(
            "`train` and `validation` are the same data: what is learned is how to fit them, not how to "
            "generalise. Hold a part out, as by validation=0.2.",
            stacklevel=3,
        )
    for examples in (train, validation):
        labels = _labels(examples)
        if labels is not None and examples.count > 1 and bool((labels == labels[0]).all()):
            warnings.warn(
                f"All {examples.count} labels of `{examples.name}` are {int(labels[0])}: there is nothing to "
                "tell apart. Are the data sorted, and was one end of them taken?",
                stacklevel=3,
            )


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
def refusing_broadcasts() -> Iterator[None]:
    """Make an error of PyTorch's warning that a loss compares each output with each target."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Using a target size")
        yield


def _labels(examples: Examples) -> Tensor | None:
    """The targets of all examples, where they are whole numbers in memory, one each."""
    if not examples.is_tensors:
        return None
    targets = examples.source[1]
    return targets if _whole(targets) and targets.dim() == 1 else None


def _whole(targets: Any) -> bool:
    return isinstance(targets, Tensor) and targets.dtype in (torch.int64, torch.uint8)
