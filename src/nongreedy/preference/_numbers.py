"""Numbers of users: whatever they come as, float64 tensors that are finite."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor(name: str, given: Any, dimensions: int) -> Tensor:
    """A float64 tensor of that many dimensions.

    Raises:
        ValueError: Another number of dimensions, none in one of them, or a number that is not finite:
            with its place.
    """
    if isinstance(given, Tensor):
        value = given.detach().to("cpu", torch.float64)
    else:
        try:
            value = torch.from_numpy(np.array(given, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{name}` must be numbers, but got {given!r:.100}.") from error
    if value.dim() != dimensions or 0 in value.shape:
        raise ValueError(
            f"`{name}` must have {dimensions} dimensions and something in each, but has the shape "
            f"{tuple(value.shape)}."
        )
    wrong = (~torch.isfinite(value)).nonzero()
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(
            f"`{name}` must be finite, but is {float(value[place])} at {place}, and not finite at "
            f"{len(wrong)} places in all. Leave those out, or put a number there."
        )
    return value
