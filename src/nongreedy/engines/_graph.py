"""What the graph behind a tensor tells: its leaves, and how coarsely it was computed."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def nodes(loss: Tensor | None) -> Iterator[Any]:
    """Of the graph behind a tensor."""
    seen, front = set[int](), [getattr(loss, "grad_fn", None)]
    kept = []  # ids are of living objects
    while front:
        node = front.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        kept.append(node)
        yield node
        front += [following for following, _ in node.next_functions]


def leaves(loss: Tensor) -> dict[int, Tensor]:
    """What a loss depends on that requires a gradient, by identity."""
    found = [getattr(node, "variable", None) for node in nodes(loss)]
    return {id(x): x for x in found if x is not None}


def coarsest(loss: Tensor) -> float:
    """Half a digit of the least precise number on the way, such as those of autocast: its epsilon."""
    rows = (row for node in nodes(loss) for row in getattr(node, "_input_metadata", ()))
    kinds = {row.dtype for row in rows if row.dtype.is_floating_point} | {loss.dtype}
    return max(torch.finfo(kind).eps for kind in kinds)
