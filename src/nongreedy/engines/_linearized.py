"""The training gradient at one point, ready to be differentiated once more."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linearized:
    r"""A batch's gradient :math:`g(\theta, h)`, with its graph.

    Attributes:
        loss: Training loss, shape (), with its graph.
        parameters: theta, a leaf of shape (P,).
        hypers: h by name: leaves, those of the task's hyperparameters that are differentiated.
        gradient: g, shape (P,), with its graph.
    """

    loss: Tensor
    parameters: Tensor
    hypers: Mapping[str, Tensor]
    gradient: Tensor

    def pull_back(self, vector: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        r"""Adjoints of the point: :math:`v^\top \partial_\theta g = H v` and :math:`v^\top \partial_h g`.

        Args:
            vector: Adjoint of the gradient, shape (P,).
        """
        leaves = [self.parameters, *self.hypers.values()]
        if not self.gradient.requires_grad:  # a linear loss
            product, *rest = (torch.zeros_like(leaf) for leaf in leaves)
        else:
            product, *rest = torch.autograd.grad(
                self.gradient, leaves, vector, allow_unused=True, materialize_grads=True
            )
        return product, dict(zip(self.hypers, rest, strict=True))

    def push(self, tangent: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        r"""Tangent of the gradient: :math:`\partial_\theta g\, z + \partial_h g\, e`, shape (P,).

        Both are derivatives of one scalar, :math:`\nabla_\theta
        (\langle \nabla_\theta L, z \rangle + \langle \nabla_h L, e \rangle)`.

        Args:
            tangent: z, shape (P,).
            moved: e by name, each in its hyperparameter's shape.
        """
        outputs, directions = [self.gradient], [tangent]
        for name in moved:
            outputs.append(self._slopes[name])
            directions.append(moved[name])
        pairs = [(o, d) for o, d in zip(outputs, directions, strict=True) if o.requires_grad]
        if not pairs:
            return torch.zeros_like(tangent)
        (product,) = torch.autograd.grad(
            [output for output, _ in pairs],
            self.parameters,
            [direction for _, direction in pairs],
            retain_graph=True,
            allow_unused=True,
        )
        return torch.zeros_like(tangent) if product is None else product

    @functools.cached_property
    def _slopes(self) -> dict[str, Tensor]:
        """Derivatives of the loss by the hyperparameters, with their graph: one for all tangents."""
        slopes = torch.autograd.grad(
            self.loss,
            list(self.hypers.values()),
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return dict(zip(self.hypers, slopes, strict=True))
