"""Losses that a network computes itself: what it returns holds them, and its labels go into it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from ..errors import DataError
from ._accuracy import Answers, Tally, of_scores
from ._examples import pair_of
from ._loader import Loading
from ._loss_calls import Call


class OwnLoss:
    """Takes the loss out of an output: a mapping or object with ``loss``, a tuple that begins with it."""

    def __call__(self, output: Any, target: Any) -> Tensor:
        found = output[0] if isinstance(output, tuple) and output else part_of(output, "loss")
        if not isinstance(found, Tensor):
            has = ", ".join(map(str, output)) if isinstance(output, Mapping) else "no `loss`"
            raise ValueError(
                f"loss=None takes the loss that the model computes itself, but its output, a "
                f'{type(output).__name__}, holds {has}. Return it as "loss", or give a function: '
                "loss=lambda output, target: ..."
            )
        return found


class OwnAnswers(Answers):
    """By the one loss of PyTorch's that the network called; else by ``logits`` and numbers of classes."""

    def tally(self, calls: Sequence[Call], output: Any, targets: Any) -> Tally | None:
        found = super().tally(calls, output, targets)
        logits = None if found or calls else part_of(output, "logits")
        return of_scores(logits, targets) if isinstance(logits, Tensor) else found


def part_of(output: Any, name: str) -> Any:
    """What an output holds under a name; None where it does not."""
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def with_labels(loading: Loading, name: str) -> Loading:
    """The same data, whose inputs have the target among them: as ``labels``.

    Raises:
        DataError: Inputs that are not given to the model by name.
    """
    data: Any = loading.data.tensors if type(loading.data) is TensorDataset else loading.data
    if loading.collate is None and isinstance(data, (Mapping, tuple)):
        return replace(loading, data=_labelled(data, f"`{name}` is"))
    collate = loading.collate or default_collate
    return replace(
        loading, collate=functools.partial(_collated, collate, f"`{name}` gives batches")
    )


def _collated(collate: Callable[[list[Any]], Any], whose: str, items: list[Any]) -> Any:
    return _labelled(collate(items), whose)


def _labelled(value: Any, whose: str) -> tuple[dict[str, Any], Any]:
    inputs, targets = pair_of(value, whose)
    if not isinstance(inputs, Mapping):
        raise DataError(
            f"{whose} a {type(value).__name__}, but loss=None has the model compute its loss, which is then "
            "called by name: give dictionaries with `labels`, or a loss, a function of (output, target)."
        )
    return {**inputs, "labels": targets}, targets
