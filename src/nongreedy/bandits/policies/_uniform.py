"""Random actions: what any policy must beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .._batch import Batch, Plan
from ..problems import Ball
from ._policy import Policy

_MANY = 1024


@dataclass(frozen=True)
class Uniform(Policy):
    """Actions uniform on the sphere, for ever; it keeps no choice.

    Example:
        >>> Uniform().to_json()
        {'class': 'Uniform'}
    """

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        while True:
            yield Batch(ball.sphere(_MANY, draw), heard=False)
