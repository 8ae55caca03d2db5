"""Which example holds NaN or infinity, where a loss is not finite and may be so because of data."""

from typing import Any

import torch
from torch import Tensor

from ._examples import Examples
from ._nest import tensors

_SLICE = 500


def not_finite(examples: Examples, batch: tuple[Any, Any], numbers: Tensor) -> str | None:
    """A sentence on the first example of a batch that is not finite; None where all are.

    Args:
        numbers: Of the batch's examples, shape (batch,).
    """
    for what, half in zip(("inputs", "targets"), batch, strict=True):
        for part in tensors(half):
            if not part.is_floating_point() or part.shape[:1] != numbers.shape:
                continue
            bad = ~part.isfinite().reshape(len(part), -1).all(1).cpu()
            if bool(bad.any()):
                number = int(numbers[bad].min())
                return (
                    f"`{examples.name}` holds NaN or infinity (in the {what} of example {number}), so that "
                    "its loss is not finite even where training begins. Leave such examples out, or fill "
                    "them, for example by torch.nan_to_num."
                )
    return None


def first_not_finite(examples: Examples) -> str | None:
    """The same of all examples."""
    for part in torch.arange(examples.count).split(_SLICE):
        if (found := not_finite(examples, examples.fetch(part), part)) is not None:
            return found
    return None
